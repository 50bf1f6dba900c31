"""`turnout compress eval` over conversations of several makes."""

import json

import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.errors import ConfigError

CALL = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
LOG = json.dumps([{"train": at, "late": False} for at in range(40)], indent=2)
OPENAI = {
    "messages": [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": LOG},
    ],
    "needed": ["39", "nowhere"],
}
ANTHROPIC = {
    "system": "You are a dispatcher.",
    "messages": [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "find", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": LOG}]},
    ],
}


def run(*args):
    return CliRunner().invoke(cli, ["compress", "eval", *args], catch_exceptions=False)


def test_conversations_of_both_makes_are_measured_by_step(tmp_path):
    file = tmp_path / "talks.jsonl"
    rows = [OPENAI, ANTHROPIC, {"request_body": json.dumps(ANTHROPIC)}, {"messages": 7}]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\nno json\n")
    told = json.loads(run("--data", str(file), "--json").stdout)
    assert (told["n"], told["n_skipped"], told["n_changed"]) == (3, 2, 3)
    assert (told["n_checked"], told["n_whole"], told["n_needed"], told["n_found"]) == (1, 0, 2, 1)
    assert told["steps"] == {"tidy": told["n_tokens_before"] - told["n_tokens_after"]}
    assert told["saved"] > 0.2
    shown = run("--data", str(file), "--rule", '{"tool_tokens": 60, "min_tokens": 0}').stdout
    assert "steps" in shown


def test_what_is_no_rule_or_holds_nothing_is_said(tmp_path):
    file = tmp_path / "empty.jsonl"
    file.write_text("\n")
    with pytest.raises(ConfigError, match="holds no conversation"):
        run("--data", str(file))
    with pytest.raises(ConfigError, match="--rule"):
        run("--data", str(file), "--rule", '{"tool_token": 6}')
