import json

from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.evaluate.guards import auroc


def run(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def test_a_guard_is_measured_on_a_file(tmp_path):
    data = tmp_path / "texts.csv"
    data.write_text("body,bad\nmail jo@example.org,yes\nhello there,0\nnothing here,1\n")
    result = run(
        "guard", "eval", "--data", data, "--text", "body", "--label", "bad", "--guard", "pii", "--json"
    )
    told = json.loads(result.output)
    assert (told["hits"], told["misses"], told["false_alarms"], told["clean"]) == (1, 1, 0, 1)
    assert (told["recall"], told["false_alarm_rate"], told["kinds"]) == (0.5, 0.0, {"email": 1})


def test_a_column_that_is_not_there_is_named(tmp_path):
    data = tmp_path / "texts.jsonl"
    data.write_text(json.dumps({"text": "x"}) + "\n")
    result = run("guard", "eval", "--data", data, "--text", "text", "--label", "bad")
    assert "no column 'bad'" in str(result.exception)


def test_an_unknown_guard_is_refused(tmp_path):
    data = tmp_path / "texts.jsonl"
    data.write_text("{}\n")
    result = run("guard", "eval", "--data", data, "--text", "t", "--label", "l", "--guard", "pi")
    assert "pii" in str(result.exception)


def test_ties_count_half():
    assert auroc([(0.0, False), (0.0, True), (1.0, True)]) == 0.75
    assert auroc([(0.0, False)]) is None
