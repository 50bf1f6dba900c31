"""`turnout recommend` at the terminal."""

import json

import pytest
from click.testing import CliRunner

from tests.cli.run import turnout
from turnout.cli.main import cli

MODELS = ["-k", "openai/gpt-4o", "-k", "openai/gpt-4o-mini"]


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, **options):
    return CliRunner().invoke(cli, ["recommend", *arguments], catch_exceptions=False, **options)


def test_a_prompt_gets_a_table_without_any_key() -> None:
    result = run("Name three rivers", *MODELS, env={"OPENAI_API_KEY": "", "COLUMNS": "200"})
    assert result.exit_code == 0
    assert "openai/gpt-4o-mini" in result.output
    assert "cheapest" in result.output


def test_json_holds_the_decision_and_the_ranking() -> None:
    tree = json.loads(run("Name three rivers", *MODELS, "--json").output)
    assert tree["schema"] == "turnout.recommendation/1"
    assert [each["rank"] for each in tree["ranked"]] == [1, 2]
    assert tree["ranked"][0]["sd"] is None
    assert tree["decision"]["strategy"] == "recommend"


def test_features_stand_for_the_prompt() -> None:
    tree = json.loads(run("--features", "-", *MODELS, "--json", input='{"tokens_in": 4000}').output)
    assert tree["decision"]["input"]["n_tokens"] == 4000


def test_bounds_are_handed_on() -> None:
    tree = json.loads(run("x", *MODELS, "--json", "--top-k", "1", "--max-cost-usd", "0.01").output)
    assert [each["model"] for each in tree["ranked"]] == ["openai/gpt-4o-mini"]


def test_prompt_and_features_together_are_one_too_many() -> None:
    assert run("x", "--features", "-", input="{}").exit_code == 2
    assert run().exit_code == 2


def test_without_any_model_the_failure_says_what_to_do(tmp_path) -> None:
    done = turnout("recommend", "x", cwd=tmp_path)
    said = "no_eligible_model: no model to choose among; configure one, set a provider's key, or name some"
    assert (done.returncode, done.stderr) == (1, f"turnout: {said}\n")
