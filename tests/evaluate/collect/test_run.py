"""Collections over real sockets, against the emulator."""

import json

import pytest

from tests.server.kit import SECRET
from turnout.client import AsyncClient
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.evaluate.collect.calibration import calibrate_judge
from turnout.evaluate.collect.compare import Comparison, read_pairs
from turnout.evaluate.collect.prompts import Prompt
from turnout.evaluate.collect.rows import PairRow, Row, Sheet, finish, read
from turnout.evaluate.collect.run import GIVE_UP, Collection, Forecast, Options, Summary
from turnout.evaluate.dataset import load_outcomes, load_preferences, prompt_id
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects
from turnout.testing.emulator.script import recorded, reply_with
from turnout.testing.emulator.serve import serving_in_thread
from turnout.types.chat import Text

WISE = {"One and one?": "The answer is 2", "Two and two?": "4"}
RASH = {"One and one?": "3, surely", "Two and two?": "It makes 4."}
PROMPTS = tuple(
    Prompt(row=n, prompt_id=prompt_id(q), prompt=q, expected=(a,), dataset="sums", split="train")
    for n, (q, a) in enumerate((("One and one?", "2"), ("Two and two?", "4")), start=1)
)
NUMBER = Options(models=("oai/wise", "oai/rash"), scoring="number", max_tokens=100)


def says(text):
    """A model that always says the same."""
    return lambda request: reply_with(request, (Text(text),), model="judge")


@pytest.fixture
def emulator():
    made = Emulator(dialects())
    made.add("wise", recorded("wise", WISE))
    made.add("rash", recorded("rash", RASH))
    return made


@pytest.fixture
def config(emulator):
    with serving_in_thread(emulator) as url:
        yield parse_config(
            f"""
providers:
  oai: {{vendor: openai, base_url: "{url}/v1", secret: {SECRET}}}
models:
  - {{model: oai/wise, price: {{input: 10, output: 20}}}}
  - {{model: oai/rash, price: {{input: 1, output: 2}}}}
  - {{model: oai/judge, price: {{input: 1, output: 1}}}}
  - oai/unpriced
routes: [{{name: main, models: [oai/wise, oai/rash]}}]
journal: {{enabled: false}}
retry: {{enabled: false}}
""",
            env={},
        )


async def collected(config, path, options=NUMBER, prompts=PROMPTS):
    async with AsyncClient(config) as client:
        sheet = Sheet(path)
        try:
            return await Collection(client, prompts, options).run(sheet)
        finally:
            sheet.close()


async def test_every_model_is_asked_every_prompt_and_scored(config, emulator, tmp_path):
    path = tmp_path / "out.jsonl"
    summary = await collected(config, path)
    rows = finish(path)
    assert {(r.prompt, r.model): r.score for r in rows} == {
        ("One and one?", "oai/wise"): 1.0,
        ("Two and two?", "oai/wise"): 1.0,
        ("One and one?", "oai/rash"): 0.0,
        ("Two and two?", "oai/rash"): 1.0,
    }
    spent = sum(row.cost_nusd for row in rows)
    assert summary == Summary(n_asked=4, n_scored=4, n_already=0, spent_nusd=spent)
    assert [emulator.served[name].calls for name in ("wise", "rash")] == [2, 2]
    assert all(row.latency_s > 0 and row.input_tokens and row.response and row.collected_at for row in rows)


async def test_the_file_is_an_outcome_table(config, tmp_path):
    path = tmp_path / "out.jsonl"
    await collected(config, path)
    table = load_outcomes(path)
    assert (table.models, len(table.rows), table.rows[0].dataset) == (("oai/rash", "oai/wise"), 4, "sums")


async def test_a_second_run_asks_only_what_is_missing(config, emulator, tmp_path):
    path = tmp_path / "out.jsonl"
    await collected(config, path, prompts=PROMPTS[:1])
    path.write_bytes(path.read_bytes() + b'{"prompt_id": "cut')  # the process ended in the middle of a line
    summary = await collected(config, path)
    assert (summary.n_asked, summary.n_already) == (2, 2)
    assert [emulator.served[name].calls for name in ("wise", "rash")] == [2, 2]
    assert len(read(path)) == 4


async def test_a_failed_answer_is_asked_again_and_replaced(config, emulator, tmp_path):
    path = tmp_path / "out.jsonl"
    emulator.add("rash", behaviour=Behaviour(faults=(Fault(kind="error", share=1.0),)))
    first = await collected(config, path)
    assert (first.n_asked, first.n_scored, sum(first.errors.values())) == (4, 2, 2)
    emulator.add("rash", behaviour=Behaviour())
    second = await collected(config, path)
    assert (second.n_asked, second.n_scored, second.errors) == (2, 2, {})
    assert len(read(path)) == 6
    rows = finish(path)
    assert [row.score is None for row in rows] == [False] * 4


async def test_a_model_that_keeps_failing_is_left_alone(config, emulator, tmp_path):
    emulator.add("rash", behaviour=Behaviour(faults=(Fault(kind="error", share=1.0),)))
    prompts = [Prompt(row=n, prompt_id=f"p{n}", prompt=f"q{n}", expected=("1",)) for n in range(12)]
    options = Options(models=("oai/rash",), scoring="number", concurrency=1)
    summary = await collected(config, tmp_path / "out.jsonl", options, prompts)
    assert (summary.n_asked, summary.left_alone) == (GIVE_UP, ("oai/rash",))


async def test_a_budget_is_never_exceeded_and_the_rest_is_left_for_later(config, emulator, tmp_path):
    path = tmp_path / "out.jsonl"
    async with AsyncClient(config) as client:
        forecast = Collection(client, PROMPTS, NUMBER).forecast([])
    assert forecast.n_calls == 4
    assert 0 < forecast.expected_nusd <= forecast.worst_nusd
    tight = Options(
        models=NUMBER.models, scoring="number", max_tokens=100, budget_nusd=forecast.worst_nusd // 2
    )
    summary = await collected(config, path, tight)
    assert summary.stopped == "budget"
    assert 0 < summary.spent_nusd <= forecast.worst_nusd // 2
    assert 0 < summary.n_asked < 4
    again = await collected(config, path, NUMBER)
    assert again.n_asked + summary.n_asked == 4


async def test_a_model_without_a_price_is_refused_under_a_budget(config, tmp_path):
    options = Options(models=("oai/unpriced",), scoring="number", budget_nusd=10**9)
    with pytest.raises(ConfigError) as error:
        await collected(config, tmp_path / "out.jsonl", options)
    assert error.value.problems == ("oai/unpriced: no price is known, so no budget can hold",)


async def test_a_forecast_sends_nothing(config, emulator):
    async with AsyncClient(config) as client:
        found = Collection(client, PROMPTS, Options(models=("oai/unpriced",), scoring="number")).forecast([])
    assert found == Forecast(
        n_calls=2, n_already=0, expected_nusd=0, worst_nusd=0, unpriced=("oai/unpriced",)
    )
    assert emulator.served == {}


async def test_a_judge_grades_what_has_no_right_answer(config, emulator, tmp_path):
    emulator.add("judge", says('{"score": 7}'))
    path = tmp_path / "out.jsonl"
    options = Options(models=("oai/wise", "oai/rash"), scoring="judge", judge="oai/judge")
    await collected(config, path, options)
    rows = finish(path)
    assert {(row.score, row.judge_score, row.judge) for row in rows} == {(0.7, 0.7, "oai/judge")}
    assert all(row.judge_cost_nusd > 0 for row in rows)


async def test_a_judge_out_of_form_leaves_the_answer_unscored(config, emulator, tmp_path):
    emulator.add("judge", says("Splendid!"))
    options = Options(models=("oai/wise",), scoring="judge", judge="oai/judge")
    summary = await collected(config, tmp_path / "out.jsonl", options)
    assert (summary.n_scored, summary.errors) == (0, {"judge_unreadable": 2})


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        (
            Options(models=("oai/wise",), scoring="judge"),
            [f"row {n}: scoring 'judge' needs a judge; name one with --judge" for n in (1, 2)],
        ),
        (
            Options(models=("oai/judge",), scoring="judge", judge="oai/judge"),
            ["oai/judge would judge its own answers; name another judge"],
        ),
        (
            Options(models=("oai/wise",), scoring="code"),
            [
                problem
                for n in (1, 2)
                for problem in (
                    f"row {n}: scoring 'code' needs a column `tests`",
                    f"row {n}: scoring 'code' runs what a model wrote; see --allow-code",
                )
            ],
        ),
    ],
)
async def test_what_cannot_be_scored_is_refused_before_anything_is_sent(config, emulator, options, problems):
    async with AsyncClient(config) as client:
        with pytest.raises(ConfigError) as error:
            Collection(client, PROMPTS, options)
    assert error.value.problems == tuple(problems)
    assert emulator.served == {}


async def test_code_is_scored_by_running_its_tests(config, emulator, tmp_path):
    emulator.add("wise", says("```python\ndef double(n):\n    return n + n\n```"))
    asked = Prompt(row=1, prompt_id="p", prompt="Write double", tests="assert double(3) == 6")
    options = Options(models=("oai/wise",), scoring="code", allow_code=True)
    await collected(config, tmp_path / "out.jsonl", options, [asked])
    assert [row.score for row in read(tmp_path / "out.jsonl")] == [1.0]


async def compared(config, rows, path, budget_nusd=None):
    async with AsyncClient(config) as client:
        return await Comparison(client, "oai/judge", "oai/wise", budget_nusd).run(rows, path)


@pytest.mark.parametrize(
    ("said", "winner"),
    [('{"better": 1}', "tie"), ('{"better": 0}', "tie")],
    ids=["always the first", "neither"],
)
async def test_a_judge_that_prefers_a_place_has_called_a_tie(config, emulator, tmp_path, said, winner):
    emulator.add("judge", says(said))
    await collected(config, tmp_path / "out.jsonl")
    pairs = tmp_path / "out.pairs.jsonl"
    found = await compared(config, finish(tmp_path / "out.jsonl"), pairs)
    assert (found.n, found.ties, found.wins, found.losses) == (2, {"oai/rash": 2}, {}, {})
    assert {row.winner for row in read_pairs(pairs)} == {winner}


async def test_a_comparison_is_made_once_and_is_a_preference_table(config, emulator, tmp_path):
    def prefers_two(request):
        asked = json.loads(request.messages[-1].parts[0].text)
        better = 1 if "surely" in asked["answer_1"] else 2
        return reply_with(request, (Text(json.dumps({"better": better})),), model="j")

    emulator.add("judge", prefers_two)
    await collected(config, tmp_path / "out.jsonl", prompts=PROMPTS[:1])
    pairs = tmp_path / "out.pairs.jsonl"
    first = await compared(config, finish(tmp_path / "out.jsonl"), pairs)
    calls = emulator.served["judge"].calls
    again = await compared(config, finish(tmp_path / "out.jsonl"), pairs)
    assert (first.wins, again.wins, again.n, again.n_already) == ({"oai/rash": 1}, {"oai/rash": 1}, 0, 1)
    assert emulator.served["judge"].calls == calls == 2
    assert read_pairs(pairs) == [
        PairRow(
            prompt_id=PROMPTS[0].prompt_id,
            prompt="One and one?",
            model_a="oai/rash",
            model_b="oai/wise",
            winner="a",
            rater="oai/judge",
            split="train",
        )
    ]
    with pytest.raises(ConfigError, match="every winner is 'a'"):
        load_preferences(pairs)  # read as a table, and refused for what one row cannot teach


def test_grades_become_what_they_were_worth_where_answers_had_scores_of_their_own():
    gold = [
        Row(
            prompt_id=f"g{n}",
            prompt="q",
            model="m",
            score=float(n % 7 < 2),
            judge_score=0.8 if n % 2 else 0.3,
        )
        for n in range(60)
    ]
    judged = Row(prompt_id="j", prompt="q", model="m", score=0.8, judge_score=0.8, judge="oai/judge")
    found = calibrate_judge([*gold, judged], "oai/judge")
    assert found.scores == {judged.key: pytest.approx(0.3)}
    assert found.told == "calibrated on 60 answers; squared error 0.335 before, 0.212 after"
    few = calibrate_judge([*gold[:49], judged], "oai/judge")
    assert (few.scores, few.told) == ({}, "uncalibrated: 49 answers have a score of their own, 50 are needed")
    assert calibrate_judge(gold[:1], "other") is not None
    assert calibrate_judge([Row(prompt_id="p", prompt="q", model="m", score=1.0)], "oai/judge") is None


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"model": "m"}\n{}\n')
    with pytest.raises(ConfigError) as error:
        read(path)
    assert error.value.problems == (
        f"{path}: line 1: Object missing required field `prompt_id`; is this a file of `turnout collect`?",
    )
