"""What routing saves, to the dollar."""

from datetime import UTC, datetime

import msgspec
import pytest
from click.testing import CliRunner

from tests.strategies.kit import price
from turnout.catalog.catalog import Catalog
from turnout.cli.roi import EXAMPLE, read_mix, roi
from turnout.errors import ConfigError
from turnout.evaluate.roi import Mix, from_mix, from_records, usd
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows
from turnout.types.record import Outcome, Record
from turnout.types.usage import Usage


def mix(**changes):
    base = {
        "requests_per_month": 100_000,
        "classes": [
            {"name": "simple", "share": "0.6", "input_tokens": 1000, "model": "small"},
            {"name": "complex", "share": "0.4", "input_tokens": 1000, "model": "large"},
        ],
        "prices": {"small": {"input": "2", "output": "2"}, "large": {"input": "30", "output": "30"}},
    }
    return msgspec.convert({**base, **changes}, Mix)


def costs(report):
    return {line.policy: usd(line.cost_nusd) for line in report.lines}


def test_a_mix_that_is_no_text_is_told_with_its_path(tmp_path):
    (tmp_path / "mix").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="mix: is not UTF-8 text"):
        read_mix(tmp_path / "mix")


def test_the_published_example_is_reproduced_to_the_dollar():
    report = from_mix(mix(), Catalog.load())
    assert costs(report) == {"routed": "$1,320.00", "always large": "$3,000.00", "always small": "$200.00"}
    assert usd(report.saved_nusd) == "$1,680.00"


def test_the_support_desk_case_is_reproduced_to_the_cent():
    desk = mix(
        requests_per_month=1_000_000,
        classes=[
            {"name": "easy", "share": "0.68", "input_tokens": 1, "model": "small"},
            {"name": "hard", "share": "0.32", "input_tokens": 1, "model": "large"},
        ],
        prices={"small": {"input": "0.25", "output": "0"}, "large": {"input": "3", "output": "0"}},
    )
    assert costs(from_mix(desk, Catalog.load())) == {
        "routed": "$1.13",
        "always large": "$3.00",
        "always small": "$0.25",
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"requests_per_month": 7}, "classes[0].share: 0.6 of 7 is no whole number"),
        ({"prices": {}}, "prices.small: the catalogue knows no price; give input and output"),
        ({"classes": []}, "classes: the shares sum to 0; expected 1"),
    ],
)
def test_a_mix_that_cannot_be_priced_is_told_with_its_path(changes, problem):
    with pytest.raises(ConfigError) as caught:
        from_mix(mix(**changes), Catalog.load())
    assert problem in caught.value.problems


def record(n, model, usage):
    outcome = Outcome(model=model, usage=usage)
    return Record(
        request_id=f"req_{n}",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        endpoint="chat",
        dialect="",
        outcome=outcome,
    )


def test_the_journal_is_priced_under_every_policy_and_what_cannot_be_is_counted():
    used = Usage(input_uncached=1_000_000, output_text=0)
    records = [
        record(1, "openai/gpt-4o-mini", used),
        record(2, "openai/gpt-4o", used),
        record(3, None, None),
        record(4, "nobody/knows", used),
    ]
    report = from_records(records, Catalog.load())
    assert (report.strong, report.cheap, report.n_requests, report.n_left_out) == (
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
        2,
        2,
    )
    assert costs(report) == {
        "routed": "$2.65",
        "always openai/gpt-4o": "$5.00",
        "always openai/gpt-4o-mini": "$0.30",
    }


CONFIG = """
providers: {openai: {}}
models:
  - {model: openai/gpt-4o, price: {input: 1, output: 1, as_of: "2026-05-01", source: contract}}
  - {model: openai/gpt-4o-mini, price: {input: 0.5, output: 1}}
"""


async def test_the_command_takes_the_prices_of_the_configuration_and_needs_no_key(tmp_path, monkeypatch):
    used = Usage(input_uncached=1_000_000, output_text=0)
    rows = SqliteRows(tmp_path / "j.db")
    journal = SpooledJournal(rows, tmp_path / "spool", fsync="never")
    for n, model in enumerate(("openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4.1")):
        journal.append(record(n, model, used))
    await journal.close()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turnout.yaml").write_text(CONFIG)
    result = CliRunner().invoke(roi, ["--db", "j.db"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    lines = {line.partition(": ")[0]: line for line in result.output.splitlines()}
    assert lines["price   openai/gpt-4o"].endswith("$1 in, $1 out per million tokens (contract, 2026-05-01)")
    assert lines["price   openai/gpt-4o-mini"].endswith("(turnout.yaml, no date written)")
    assert "$2 in, $8 out" in lines["price   openai/gpt-4.1"]  # the catalogue's
    assert "$3.50" in result.output  # 1 + 0.5 + 2


def test_prices_of_a_mix_come_before_the_configured_ones_and_those_before_the_catalogues():
    own = mix(prices={"small": {"input": "2", "output": "2"}})
    report = from_mix(own, Catalog.load(), {"small": price(99), "large": price(30)})
    assert costs(report)["routed"] == "$1,320.00"


def test_an_empty_journal_is_told():
    with pytest.raises(ConfigError):
        from_records([], Catalog.load())


def test_the_command_prints_its_own_example(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(EXAMPLE)
    result = CliRunner().invoke(roi, ["--mix", str(path)])
    assert result.exit_code == 0
    assert "$1,320.00" in result.output
    assert "$1,680.00" in result.output
