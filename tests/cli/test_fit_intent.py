"""`turnout fit intent`, and a gateway's decision by what it wrote."""

import msgspec
import pytest
from click.testing import CliRunner

from tests.cli.run import turnout
from turnout.cli.main import cli
from turnout.errors import ConfigError

UTTERANCES = """\
billing: [refund my invoice, pay the invoice, invoice is wrong, invoice total, send invoice again]
code: [fix my python loop, python loop error, write python loop, python loop ends, python loop test]
none: [good morning, sing me a song, capital of France]
"""
CONFIG = """\
providers: {mine: {base_url: 'http://127.0.0.1:9/v1', allow_http: true}}
models: [mine/a, mine/b, mine/c]
routes:
  - name: r
    models: [mine/c, mine/a, mine/b]
    strategy:
      type: intent
      artifact: ARTIFACT
      intents: {billing: {models: [mine/a]}, code: {models: [mine/b, mine/a]}}
      otherwise: {models: [mine/c]}
default_route: r
"""


@pytest.fixture
def fitted(tmp_path):
    data, out = tmp_path / "u.yaml", tmp_path / "i.npz"
    data.write_text(UTTERANCES)
    result = CliRunner().invoke(
        cli, ["fit", "intent", "--data", str(data), "-o", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "2 intents, 10 utterances, 3 of none" in result.output
    assert f"written: {out}" in result.output
    (tmp_path / "turnout.yaml").write_text(CONFIG.replace("ARTIFACT", str(out)))
    return tmp_path


def decision(folder, text):
    result = CliRunner().invoke(
        cli, ["route", "-c", str(folder / "turnout.yaml"), "--json", text], catch_exceptions=False
    )
    return msgspec.json.decode(result.output)


def test_an_intent_picks_its_models_and_its_scores_are_recorded(fitted) -> None:
    found = decision(fitted, "my python loop never ends")
    assert (found["chosen"], found["reason"], found["rule"]) == (["mine/b", "mine/a"], "rule_matched", "code")
    assert found["signals"]["intent"]["value"] == "code"
    scores = found["signals"]["intent.scores"]["value"]
    assert (scores["label"], scores["encoder"], set(scores["scores"])) == (
        "code",
        "hash",
        {"billing", "code"},
    )
    assert scores["scores"]["code"] > scores["threshold"] > scores["scores"]["billing"]
    assert "python loop never" not in msgspec.json.encode(found).decode()


@pytest.mark.parametrize("text", ["what a lovely morning by the sea", "?"])
def test_what_has_no_intent_gets_otherwise(fitted, text) -> None:
    found = decision(fitted, text)
    assert (found["chosen"], found["signals"]["intent"]["value"] or "none") == (["mine/c"], "none")


def test_arrays_that_are_not_the_cards_are_refused(fitted) -> None:
    with (fitted / "i.npz").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ConfigError, match="the arrays are not the ones that the card was written for"):
        decision(fitted, "x")


def test_an_artifact_of_another_encoder_is_refused(fitted) -> None:
    card = fitted / "i.json"
    card.write_bytes(card.read_bytes().replace(b"hash-1-2/256/2", b"hash-1-2/256/1"))
    with pytest.raises(
        ConfigError, match="fitted with 'hash-1-2/256/1', here is 'hash-1-2/256/2'; fit again"
    ):
        decision(fitted, "x")


def test_an_entry_for_no_intent_of_the_artifact_is_refused(fitted) -> None:
    file = fitted / "turnout.yaml"
    file.write_text(file.read_text().replace("code: {", "coed: {"))
    with pytest.raises(ConfigError, match=r'intents\.coed: not an intent of .*; did you mean "code"'):
        decision(fitted, "x")


def test_an_entry_for_a_model_the_route_lacks_is_refused(fitted) -> None:
    file = fitted / "turnout.yaml"
    file.write_text(file.read_text().replace("billing: {models: [mine/a]}", "billing: {models: [mine/z]}"))
    with pytest.raises(
        ConfigError, match=r"intents\.billing\.models\[0\]: 'mine/z' is not in the route's models"
    ):
        decision(fitted, "x")


def test_faults_are_lines_on_stderr(tmp_path) -> None:
    (tmp_path / "u.yaml").write_text("billing: [a b, a c, a d, a e, ' ']\n")
    result = turnout("fit", "intent", "--data", "u.yaml", "-o", "i.npz", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, "turnout: u.yaml: row 5: text is empty\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-o", "i.txt"), "--out i.txt: expected a name that ends in .npz"),
        (
            ("-o", "i.npz", "--encoder", "hash", "--encoder", "hash"),
            "--encoder hash hash: one is named twice",
        ),
        (("-o", "i.npz", "--encoder", "hahs"), "turnout.encoders: no 'hahs'; did you mean \"hash\"?"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, arguments, says) -> None:
    (tmp_path / "u.yaml").write_text(UTTERANCES)
    result = turnout("fit", "intent", "--data", "u.yaml", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, f"turnout: {says}\n")
