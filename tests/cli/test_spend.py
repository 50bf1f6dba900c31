"""`turnout spend`, `usage`, `statement` and `config` as people run them."""

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from tests.cli.run import turnout
from turnout.stores.base import encode
from turnout.stores.sqlite import SqliteRows
from turnout.testing.store import example_record
from turnout.types.record import Outcome
from turnout.types.usage import Usage

CONFIG = """
admin: {config: desk}
desk: {}
providers: {here: {base_url: "http://127.0.0.1:9/v1"}}
models:
  - {model: here/small, price: {input: 1, output: 2}}
  - {model: here/large, price: {input: 10, output: 20}}
routes: [{name: assistant, models: [here/large]}]
default_route: assistant
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a journal of three requests and a configuration."""
    rows = SqliteRows(tmp_path / ".turnout" / "journal.db", durable=False)
    for n, (team, model) in enumerate((("red", "here/small"), ("red", "here/large"), ("blue", "here/small"))):
        usage = Usage(input_uncached=10, output_text=5)
        end = Outcome(model=model, provider="here", cost_nusd=1_500_000_000, total_s=1.0, usage=usage)
        at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
        record = replace(example_record(n), at=at, team=team, outcome=end, attempts=(), tags=())
        rows.insert([encode(record)])
    rows.close()
    (tmp_path / "turnout.yaml").write_text(CONFIG)
    return tmp_path


def said(folder, *arguments):
    done = turnout(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_spend_is_a_table_csv_or_json_of_the_same_rows(folder) -> None:
    assert said(folder, "spend", "--by", "team").splitlines() == [
        "team  requests  failed  unpriced  cost_usd",
        "red   2         0       0         3",
        "blue  1         0       0         1.5",
    ]
    csv = said(folder, "spend", "--by", "team", "--csv").splitlines()
    assert csv == ["team,requests,failed,unpriced,cost_usd", "red,2,0,0,3", "blue,1,0,0,1.5"]
    lines = said(folder, "spend", "--team", "red", "--per", "day", "--json").splitlines()
    assert [json.loads(line)["at"] for line in lines] == ["2026-01-02T00:00:00Z"]
    assert said(folder, "spend", "--since", "2026-02-01") == "no request matches\n"


def test_usage_counts_tokens_and_seconds(folder) -> None:
    (line,) = said(folder, "usage", "--model", "here/large", "--json").splitlines()
    told = {"requests": 1, "failed": 0, "input_tokens": 10, "output_tokens": 5, "mean_s": 1.0}
    assert json.loads(line) == told


def test_a_statement_names_lines_and_total(folder) -> None:
    told = json.loads(said(folder, "statement", "team", "red", "--month", "2026-01"))
    assert ([line["model"] for line in told["lines"]], told["total_usd"]) == (
        ["here/large", "here/small"],
        "3",
    )


def test_what_cannot_be_grouped_by_is_one_line(folder) -> None:
    done = turnout("spend", "--by", "color", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("turnout: invalid_request: by: expected some of organisation, project")


def test_versions_are_proposed_compared_applied_and_rolled_back(folder) -> None:
    (folder / "cheaper.yaml").write_text("routes: [{name: assistant, models: [here/small]}]\n")
    assert said(folder, "config", "propose", "cheaper.yaml", "--reason", "less").startswith(
        "v000001 proposed"
    )
    changed = said(folder, "config", "diff", "v000001")
    assert changed == 'routes[0].models[0]: "here/large" -> "here/small"\n'
    assert said(folder, "config", "apply", "v000001") == "v000001 is in force\n"
    first, second = said(folder, "config", "versions").splitlines()
    assert (first, second[:9], second[-12:]) == ("  file", "* v000001", "routes  less")
    assert said(folder, "config", "diff", "v000001") == "nothing changes\n"
    assert said(folder, "config", "rollback") == "the file alone is in force\n"
    again = turnout("config", "rollback", cwd=folder)
    assert (again.returncode, again.stderr) == (
        1,
        "turnout: conflict: no version was ever applied: there is nothing to go back to\n",
    )


def test_a_version_that_names_an_address_is_refused(folder) -> None:
    (folder / "bad.yaml").write_text("models: [{model: here/small, base_url: 'https://evil.example'}]\n")
    done = turnout("config", "propose", "bad.yaml", cwd=folder)
    assert done.returncode == 1
    assert "models[0].base_url: addresses, secrets and paths are given in the file" in done.stderr
