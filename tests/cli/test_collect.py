import json

import pytest

from tests.cli.run import turnout
from tests.server.kit import SECRET
from turnout.testing.emulator import Emulator, dialects
from turnout.testing.emulator.script import recorded, reply_with
from turnout.testing.emulator.serve import serving_in_thread
from turnout.types.chat import Text


@pytest.fixture
def place(tmp_path):
    emulator = Emulator(dialects())
    emulator.add("wise", recorded("wise", {"1+1": "2", "2+2": "4"}))
    emulator.add("rash", recorded("rash", {"1+1": "2", "2+2": "5"}))
    emulator.add("judge", lambda request: reply_with(request, (Text('{"better": 0}'),), model="judge"))
    (tmp_path / "prompts.csv").write_text("prompt,expected\n1+1,2\n2+2,4\n")
    with serving_in_thread(emulator) as url:
        (tmp_path / "turnout.yaml").write_text(
            f"""
providers:
  oai: {{vendor: openai, base_url: "{url}/v1", secret: {SECRET}}}
models:
  - {{model: oai/wise, price: {{input: 10, output: 20}}}}
  - {{model: oai/rash, price: {{input: 1, output: 2}}}}
  - {{model: oai/judge, price: {{input: 1, output: 1}}}}
routes: [{{name: main, models: [oai/wise, oai/rash]}}]
journal: {{enabled: false}}
"""
        )
        yield tmp_path


ASK = (
    "collect",
    "--prompts",
    "prompts.csv",
    "--model",
    "oai/wise",
    "--model",
    "oai/rash",
    "--out",
    "out.jsonl",
)


def test_outcomes_are_collected_and_told(place):
    done = turnout(*ASK, "--score", "number", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "4 of 4 answers scored, 0 there already"
    rows = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert sorted((row["model"], row["prompt"], row["score"]) for row in rows) == [
        ("oai/rash", "1+1", 1.0),
        ("oai/rash", "2+2", 0.0),
        ("oai/wise", "1+1", 1.0),
        ("oai/wise", "2+2", 1.0),
    ]
    again = turnout(*ASK, "--score", "number", "--json", cwd=place)
    assert (
        json.loads(again.stdout)["collected"]["n_asked"],
        json.loads(again.stdout)["collected"]["n_already"],
    ) == (0, 4)


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(place):
    done = turnout(*ASK, "--dry-run", cwd=place)
    first, second = done.stdout.splitlines()
    assert first == "4 calls to make, 0 answers there already"
    assert second.startswith("expected $0.")
    assert not (place / "out.jsonl").exists()


def test_answers_are_compared_with_a_reference(place):
    done = turnout(*ASK, "--score", "number", "--judge", "oai/judge", "--reference", "oai/wise", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "oai/rash against oai/wise: 0 won, 2 tied, 0 lost" in done.stdout
    assert len((place / "out.pairs.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--reference", "oai/wise"), "turnout: --reference compares by a judge; name one with --judge"),
        (
            ("--reference", "oai/other", "--judge", "oai/judge"),
            "turnout: --reference oai/other: is none of the models asked",
        ),
        (("--out", "out.csv"), "turnout: --out out.csv: expected a name that ends in .jsonl"),
        (("--prompts", "none.csv"), "turnout: none.csv: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, arguments, problem):
    done = turnout(*ASK, *arguments, cwd=place)
    assert (done.returncode, done.stderr.splitlines()) == (2, [problem])
