"""`turnout record translate`: what was lost, as a table and as data."""

import json

from click.testing import CliRunner

from tests.evaluate.translate.requests import REQUESTS
from turnout.cli.main import cli


def run(tmp_path, *options, name="anthropic", body=None):
    url, full = REQUESTS[name]
    exchange = {
        "id": "0123456789abcdef",
        "provider": name,
        "method": "POST",
        "url": url,
        "request_headers": {},
        "request_body": json.dumps(full if body is None else body),
        "status": 200,
        "response_headers": {},
        "response_body": "{}",
    }
    file = tmp_path / "calls.jsonl"
    file.write_text(json.dumps(exchange) + "\n")
    return CliRunner().invoke(cli, ["record", "translate", str(file), *options])


def test_losses_are_told_with_their_reasons(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "6  reasoning  Thoughts go back only to the provider that had them (WIRE.md 2.9)." in result.output
    assert (
        "1 requests and 0 answers in every other format: nothing lost that both formats can say"
        in " ".join(result.output.split())
    )


def test_the_table_is_data_without_anything_that_was_recorded(tmp_path):
    result = run(tmp_path, "--json")
    table = json.loads(result.output)
    assert (result.exit_code, table["requests"], table["defects"]) == (0, {"anthropic": 1}, [])
    assert {"origin": "anthropic", "other": "gemini", "feature": "tool.defer_loading", "told": 1} in table[
        "cells"
    ]
    assert "Water is wet" not in result.output


def test_records_without_a_chat_are_nothing_to_translate(tmp_path):
    result = run(tmp_path, body={"model": "m"})
    assert (result.exit_code, "nothing to translate" in result.output) == (0, True)
