"""`tokens.in`: close to exact counts, corrected by what deployments count themselves."""

import pytest

from tests.signals.conversations import ASK, asked, at_moment, candidate, said
from turnout.engine.sense import reference_tokens, with_signals
from turnout.signals.tokens import TOKENS_IN, TOKENS_OUT_HAT
from turnout.signals.tokens.estimate import estimate
from turnout.signals.tokens.families import factor_of
from turnout.stores.live import Ratio
from turnout.strategies.base import Context
from turnout.types.chat import Facts
from turnout.types.signal import Signal, Tokens

TEXTS = {
    "prose": "The quick brown fox jumps over the lazy dog while the farmer looks for his keys. " * 4,
    "code": "def add(a: int, b: int) -> int:\n    return a + b\n\n\nprint(add(1, 2))\n" * 4,
    "chinese": "今天的天气很好，我们去公园散步吧。请告诉我哪条路最短。" * 4,
    "russian": "Сегодня хорошая погода, давайте пойдём гулять в парк и поговорим о книге. " * 4,
}


@pytest.mark.parametrize("name", TEXTS)
def test_estimates_are_near_exact_counts(name: str) -> None:
    bpe = pytest.importorskip("bpe_openai", reason="the extra `tokens` is not installed")
    exact = len(bpe.get_encoding("o200k_base").encode_ordinary(TEXTS[name]))

    assert estimate(TEXTS[name]) == pytest.approx(exact, rel=0.3)


def test_a_blob_has_more_tokens_than_words_of_its_length() -> None:
    assert estimate("QWxhZGRpbjpvcGVuIHNlc2FtZQ" * 40) > 2 * estimate("the door of a house " * 52)


@pytest.mark.parametrize(("text", "n"), [("", 0.0), ("\ud800", 1.0)])
def test_odd_texts_have_an_estimate(text: str, n: float) -> None:
    assert estimate(text) == n


@pytest.mark.parametrize(
    ("model", "factor"),
    [("anthropic/claude-haiku-4-5", 1.13), ("groq/meta/llama-4", 1.06), ("openai/gpt-5", 1.0)],
)
def test_a_family_has_a_factor(model: str, factor: float) -> None:
    assert factor_of(model) == factor


def test_each_candidate_has_its_own_number_and_the_value_is_the_largest() -> None:
    request = asked(said("word " * 1000), facts=Facts(n_chars=5000))
    so_far = at_moment(
        candidate("openai/gpt-5"), candidate("anthropic/claude-x"), candidate("a/b", tokens_ratio=2.0)
    )

    tokens = TOKENS_IN.read(request, ASK, so_far)

    own = tokens.per_deployment
    assert tokens.value == tokens.largest == own["a/b"] == pytest.approx(2 * own["openai/gpt-5"], abs=8)
    assert own["anthropic/claude-x"] == pytest.approx(1.13 * tokens.reference, abs=8)


def test_a_long_conversation_is_estimated_from_a_sample() -> None:
    request = asked(*(said("word " * 20_000) for _ in range(3)), facts=Facts(n_chars=300_000))

    tokens = TOKENS_IN.read(request, ASK, {}).reference

    assert tokens == pytest.approx(300_000 / 5_000 * estimate("word " * 1000), rel=0.01)


def test_expected_output_is_the_limit_or_the_default() -> None:
    values = [TOKENS_OUT_HAT.read(asked(max_tokens=limit), ASK, {}).value for limit in (None, 100, 9_000)]

    assert values == [512, 100, 512]


def test_the_context_takes_the_numbers() -> None:
    context = Context(request=asked(), ask=ASK, n_tokens_in=1, n_tokens_out=512, max_tokens_out=100)
    signals = {
        "tokens.in": Tokens(value=70, largest=70, reference=60, per_deployment={"a/b": 70}),
        "tokens.out_hat": Signal(value=300),
    }

    found = with_signals(context, signals)

    assert (found.n_tokens_in, found.tokens_in, found.n_tokens_out) == (70, {"a/b": 70}, 100)
    assert reference_tokens(signals) == 60


def test_a_ratio_follows_what_is_counted() -> None:
    ratio = Ratio()

    used = [
        ratio.add(counted, estimated) for counted, estimated in ((120, 100), (100, 100), (10, 20), (0, 100))
    ]

    assert used == [True, True, False, False]
    assert ratio.value == pytest.approx(1.1)


def test_one_absurd_observation_cannot_ruin_a_ratio() -> None:
    ratio = Ratio()
    for counted in [*[100] * 40, 10**9]:
        ratio.add(counted, 100)

    assert ratio.value == pytest.approx(1.15)
