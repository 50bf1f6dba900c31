"""From a sample to its certificate."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from turnout.errors import ConfigError
from turnout.evaluate.certify import certify, items_for_more
from turnout.evaluate.certify_items import Item, Option, Subject
from turnout.evaluate.metrics import generator
from turnout.learn.calibrate import Promise
from turnout.learn.certificate import Naive, Observed, Scorer, decode, encode

NOW = datetime(2026, 11, 2, tzinfo=UTC)
SUBJECT = Subject(
    surface="support-chat",
    reference="large",
    candidates=("small",),
    policy_sha256="a" * 64,
    begins=NOW - timedelta(days=7),
    ends=NOW,
    sampling="uniform 2 %",
    scorer=Scorer(kind="gold", id="exact match"),
)
PROMISE = Promise(epsilon=0.02)


def sample(n, seed=0):
    """The cheap model fails more often where the gap is wide; the reference is always right."""
    random = generator("sample", seed)
    gaps, luck = random.random(n), random.random(n)
    return [
        Item(
            id=f"{i:05}",
            options=(Option(model="small", gap=float(gap), score=float(u > gap / 4), cost_nusd=10),),
            reference_score=1.0,
            reference_cost_nusd=100,
        )
        for i, (gap, u) in enumerate(zip(gaps, luck, strict=True))
    ]


def with_option(item, **changes):
    return msgspec.structs.replace(item, options=(msgspec.structs.replace(item.options[0], **changes),))


def other_gaps(n=1000):
    return generator("other", 0).random(n).tolist()


def made(items, promise=PROMISE, **options):
    return certify(items, other_gaps(), promise, SUBJECT, created=NOW, **options)


def test_a_sample_is_certified_with_what_it_showed():
    certificate = made(sample(3000))
    routed = [item for item in sample(3000) if item.options[0].gap <= certificate.tau]
    failed = sum(item.options[0].score == 0 for item in routed)
    assert certificate.observed == Observed(
        loss=failed / 3000,
        share_routed=len(routed) / 3000,
        saving_share=pytest.approx(0.9 * len(routed) / 3000),
        wins=0,
        losses=failed,
        log_K=pytest.approx(certificate.observed.log_K),
    )
    assert certificate.observed.log_K >= 2.302
    assert 0.15 < certificate.observed.share_routed < certificate.naive.share_routed
    assert (certificate.n, certificate.n_min, certificate.order) == (3000, 127, "averaged")
    assert certificate.expires == NOW + timedelta(days=30)
    assert decode(encode(certificate)) == certificate


def test_the_order_of_rows_changes_nothing():
    items = sample(1000)
    assert made(items) == made(items[::-1])


def test_other_data_has_another_hash():
    assert made(sample(300)).sample.sha256 != made(sample(300, seed=1)).sample.sha256


def test_too_small_a_sample_shows_nothing():
    certificate = made(sample(100))
    assert (certificate.tau, certificate.n_min) == (None, 127)
    assert certificate.observed == Observed(loss=0, share_routed=0, saving_share=0, wins=0, losses=0)


def test_where_even_the_safest_policy_loses_too_much_nothing_is_routed():
    items = [with_option(item, score=0.0) for item in sample(500)]
    certificate = made(items)
    assert (certificate.tau, certificate.naive) == (None, Naive(tau=None, share_routed=0, saving_share=0))


def test_clopper_pearson_serves_scores_of_zero_and_one_only():
    certificate = made(sample(3000), method="clopper-pearson/1")
    assert (certificate.method, certificate.order, certificate.n_min) == ("clopper-pearson/1", None, 114)
    assert certificate.tau is not None
    graded = [with_option(item, score=0.5) for item in sample(300)]
    with pytest.raises(ConfigError, match="needs scores of 0 and 1"):
        made(graded, method="clopper-pearson/1")


def test_a_cheap_model_that_is_not_cheaper_saves_nothing():
    items = [with_option(item, cost_nusd=150) for item in sample(1000)]
    observed = made(items).observed
    assert observed.saving_share == pytest.approx(-0.5 * observed.share_routed)


def test_more_items_certify_more_traffic():
    needed = items_for_more(sample(500), other_gaps(), PROMISE, more=0.05)
    assert needed is not None
    assert 750 <= needed <= 4000
    assert items_for_more(sample(500), other_gaps(), PROMISE, more=1.0) is None


def changed(item, name, value):
    own = {"gap", "score", "model"}
    return (
        with_option(item, **{name: value}) if name in own else msgspec.structs.replace(item, **{name: value})
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("gap", float("nan"), "row 2: gap is nan"),
        ("score", 1.5, r"row 2: scores are 1.0 and 1.5; expected 0-1"),
        ("score", None, r"row 2: scores are 1.0 and None; expected 0-1"),
        ("reference_score", float("nan"), "row 2: scores are nan"),
        ("id", "00000", "row 2: id '00000' appears twice; it is in row 1 too"),
        ("model", "other", "row 2: model 'other' is none of the candidates"),
        ("options", (), "row 2: no candidate answered it"),
        ("probability", 0.0, "row 2: probability is 0.0; expected above 0"),
    ],
)
def test_items_that_cannot_be_used_are_refused_by_their_row(name, value, problem):
    items = sample(3)
    items[1] = changed(items[1], name, value)
    with pytest.raises(ConfigError, match=problem):
        made(items)
    with pytest.raises(ConfigError, match="no items"):
        made([])


def test_of_many_faulty_rows_twenty_are_told():
    with pytest.raises(ConfigError) as told:
        made([with_option(item, score=2.0) for item in sample(30)])
    assert told.value.problems[20:] == ("… and 10 more problems",)


def test_among_several_models_the_one_wished_for_most_is_asked_within_the_threshold():
    random = generator("three", 0)
    items = [
        Item(
            id=f"{i:05}",
            options=(
                Option(model="tiny", gap=2 * float(g), score=float(u > g / 2), cost_nusd=1, wish=2.0),
                Option(model="small", gap=float(g), score=float(v > g / 4), cost_nusd=10, wish=1.0),
            ),
            reference_score=1.0,
            reference_cost_nusd=100,
        )
        for i, (g, u, v) in enumerate(random.random((3000, 3)))
    ]
    subject = msgspec.structs.replace(SUBJECT, candidates=("tiny", "small"))
    certificate = certify(items, other_gaps(), PROMISE, subject, created=NOW)
    tau = certificate.tau
    losses, saved = 0, 0
    for item in items:
        within = [option for option in item.options if option.gap <= tau]
        if within:
            asked = max(within, key=lambda option: option.wish)
            losses, saved = losses + (asked.score == 0), saved + 100 - asked.cost_nusd
    assert (certificate.observed.losses, certificate.observed.wins) == (losses, 0)
    assert certificate.observed.saving_share == pytest.approx(saved / 300_000)


def test_a_session_is_one_item_with_its_first_gap_and_its_mean_loss():
    turns = [
        Item(
            id=f"{name}{turn}",
            options=(Option(model="small", gap=gap, score=score),),
            reference_score=1.0,
            group=name,
            turn=turn,
        )
        for name in map("{:04}".format, range(400))
        for turn, gap, score in ((1, 0.1, 1.0), (2, 0.9, 1.0))
    ]
    subject = msgspec.structs.replace(SUBJECT, unit="session")
    certificate = certify(turns, [0.1, 0.5, 0.9], PROMISE, subject, created=NOW)
    assert (certificate.n, certificate.unit, certificate.observed.share_routed) == (400, "session", 1.0)
    with pytest.raises(ConfigError, match="row 1: no session"):
        certify(sample(3), [0.1], PROMISE, subject, created=NOW)
    mixed = [turns[0], with_option(turns[1], model="tiny"), *turns[2:]]
    both = msgspec.structs.replace(subject, candidates=("small", "tiny"))
    with pytest.raises(ConfigError, match="session '0000': small did not answer every turn"):
        certify(mixed, [0.1], PROMISE, both, created=NOW)


def test_requests_drawn_with_known_chances_are_weighed_by_them():
    random = generator("drawn", 0)
    items = []
    for item in sample(6000):
        chance = 1.0 if item.options[0].gap > 0.5 else 0.5
        if random.random() < chance:
            items.append(msgspec.structs.replace(item, probability=chance))
        else:
            bare = with_option(item, score=None)
            items.append(msgspec.structs.replace(bare, probability=chance, reference_score=None))
    certificate = made(items)
    assert certificate.sample.least_probability == 0.5
    assert certificate.n_min == 255
    assert 0.1 < certificate.observed.share_routed < made(sample(6000)).observed.share_routed
    assert certificate.observed.loss < 0.02


def test_a_surface_with_enough_items_is_shown_by_itself_and_a_small_one_is_not():
    items = [
        msgspec.structs.replace(item, segment="chat" if i % 20 else "mail")
        for i, item in enumerate(sample(2000))
    ]
    chat, mail = made(items).segments
    assert (chat.name, chat.scope, chat.n) == ("chat", "own", 1900)
    assert (mail.name, mail.scope, mail.n, mail.tau) == ("mail", "marginal only", 100, None)
    assert made(items).threshold("chat") == min(chat.tau, made(items).tau)


@pytest.mark.parametrize("gaps", [[], [0.1, float("inf")]])
def test_thresholds_need_predictions_for_other_requests(gaps):
    with pytest.raises(ConfigError, match="other requests: thresholds need at least one predicted gap"):
        certify(sample(3), gaps, PROMISE, SUBJECT, created=NOW)
