"""`turnout route`: what would happen to a request, without sending it."""

import json

import pytest

from tests.cli.run import turnout
from turnout.cli.route import plan_line

FILE = """
providers:
  a: {base_url: "http://127.0.0.1:9/v1", secret: never-needed-0123}
  b: {vendor: anthropic}
models:
  - {model: a/cheap, price: {input: 1, output: 2}, context_window: 1000}
  - {model: b/dear, price: {input: 10, output: 20}, context_window: 100000}
  - {model: b/free}
routes:
  - {name: main, models: [a/cheap, b/dear, b/free]}
aliases: {quick: a/cheap}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "turnout.yaml").write_text(FILE)
    return tmp_path


def test_a_table_shows_candidates_and_plan_and_no_key_is_needed(folder):
    result = turnout("route", "Hello there", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "auto (auto) → route main, strategy priority; about 7 tokens in"
    assert lines[1].split() == ["candidate", "status", "why", "not", "utility", "cost", "(mean)", "health"]
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["a/cheap", "chosen"],
        ["b/dear", "eligible"],
        ["b/free", "eligible"],
    ]
    assert ("$0.00" in lines[2], "unknown" in lines[4]) == (True, True)
    assert lines[5:] == ["plan    a/cheap → b/dear → b/free", "reason  highest_score"]


def test_what_dropped_a_candidate_is_shown(folder):
    result = turnout("route", "word " * 2000, cwd=folder)
    assert "a/cheap    filtered  fits: window_too_small" in result.stdout
    assert "plan    b/dear → b/free" in result.stdout


def test_json_is_the_whole_decision(folder):
    result = turnout("route", "Hello", "--model", "quick", "--json", cwd=folder)
    decision = json.loads(result.stdout)
    assert (decision["chosen"], decision["reason"]) == (["a/cheap"], "pinned_by_caller")
    assert decision["asked"] == {
        "endpoint": "chat",
        "dialect": "openai_chat",
        "model": "quick",
        "source": "alias",
    }


def test_a_whole_request_is_read_from_a_file_or_from_stdin(folder):
    body = {"model": "auto", "messages": [{"role": "user", "content": "x"}], "turnout": {"avoid": ["a/*"]}}
    (folder / "body.json").write_text(json.dumps(body))
    by_file = turnout("route", "--request", "body.json", "--json", cwd=folder)
    by_stdin = turnout("route", "--request", "-", "--json", cwd=folder, stdin=json.dumps(body))
    assert json.loads(by_file.stdout)["chosen"] == ["b/dear", "b/free"]
    assert json.loads(by_stdin.stdout)["chosen"] == ["b/dear", "b/free"]


@pytest.mark.parametrize(
    ("arguments", "start", "status"),
    [
        (["Hello", "-m", "nope"], "turnout: model_not_found: the model 'nope' is not served here", 1),
        (["word " * 20_000], "turnout: context_length_exceeded: ", 1),
        (["--request", "-"], "turnout: invalid_request: the body is not valid JSON", 1),
    ],
)
def test_a_request_that_cannot_be_served_is_one_line(folder, arguments, start, status):
    if "word" in arguments[0]:
        (folder / "turnout.yaml").write_text(FILE.replace("a/cheap, b/dear, b/free", "a/cheap"))
    result = turnout("route", *arguments, cwd=folder, stdin="{")
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (status, "", 1)
    assert result.stderr.startswith(start)


def test_names_are_shown_as_they_are(folder):
    result = turnout("route", "Hello", "-m", "a/cheap[1m]", cwd=folder)
    assert result.stdout.startswith("a/cheap[1m] (body.model) → ")


def test_without_a_file_and_without_keys_there_is_nothing_to_route_to(tmp_path):
    result = turnout("route", "Hello", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


def test_a_plan_is_written_on_one_line():
    one, two = {"try": "a"}, {"try": "b"}
    assert plan_line({"sequence": [one, {"hedge": [one, two], "delay_s": 1}]}) == "a → hedge(a | b)"
    assert plan_line({"cascade": [one, two], "accept": "x"}) == "cascade(a ⇒ b)"
    assert plan_line({"fanout": [one, two], "reduce": "x"}) == "fanout(a + b)"
