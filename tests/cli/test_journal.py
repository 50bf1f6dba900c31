"""`turnout journal` at the terminal."""

import json
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from turnout.cli.journal import follow, journal
from turnout.cli.journal_story import line_of, printable
from turnout.stores.base import Query, encode
from turnout.stores.spool.frame import frame
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.testing.store import START, example_record
from turnout.types.record import Attempt, CandidateView, CostView, Dropped, Outcome, Record


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "journal.db"
    rows = SqliteRows(path)
    rows.insert([encode(example_record(n, error="timeout_ttft" if n == 2 else None)) for n in range(5)])
    rows.close()
    return path


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(journal, [str(one) for one in arguments])
    assert result.exit_code == exit_code, result.output
    return result


def ids(lines):
    return [int(json.loads(line)["request_id"][4:]) for line in lines.split("\n")[:-1]]


def test_tail_shows_the_latest_oldest_first(db):
    assert ids(run("tail", "--json", "-n", 3, "--db", db).stdout) == [2, 3, 4]


def test_tail_filters(db):
    assert ids(run("tail", "--json", "--route", "batch", "--db", db).stdout) == [1, 3]
    assert ids(run("tail", "--json", "--error", "any", "--db", db).stdout) == [2]
    assert ids(run("tail", "--json", "--error", "timeout_ttft", "--db", db).stdout) == [2]
    assert ids(run("tail", "--json", "--model", "gpt-4", "--db", db).stdout) == []


def test_tail_prints_a_headline_and_one_line_for_each_request(db):
    headline, served, failed = run("tail", "-n", 4, "--db", db).stdout.splitlines()[:3]
    assert headline.split()[:3] == ["arrived", "(UTC)", "request"]
    assert " ".join(served.split()) == (
        "2026-01-01 12:00:01 req_00000000000000000000000001 batch gpt-5-mini - 121 → 35 $0.000001 - / 1.500"
    )
    assert " ".join(failed.split()) == (
        "2026-01-01 12:00:02 req_00000000000000000000000002 assistant gpt-5-mini timeout_ttft - - - / 1.500"
    )


def test_tail_prints_records_that_name_their_schema(db):
    (line,) = run("tail", "--json", "-n", 1, "--db", db).stdout.splitlines()
    assert line.startswith('{"schema":"turnout.record/1","request_id":')
    assert msgspec.json.decode(line, type=Record) == example_record(4)


def test_follow_goes_on_with_what_is_stored_later_also_when_it_arrived_earlier(db):
    rows = SqliteRows(db)
    later = [replace(example_record(n), at=START - timedelta(days=n)) for n in (10, 11, 12)]

    turns = iter([later[:1], [], later[1:]])

    def sleep(_seconds):
        arrived = next(turns, None)
        if arrived is None:
            raise KeyboardInterrupt
        rows.insert([encode(record) for record in arrived])

    assert list(follow(rows, Query(limit=1), 5, sleep)) == later
    rows.close()


def test_show_tells_the_story(db):
    record = example_record(20)
    candidates = (
        CandidateView(
            id="groq/llama", model="llama", status="filtered", filters=(Dropped("capable", "no_tools"),)
        ),
        CandidateView(
            id="openai/gpt-5-mini",
            model="gpt-5-mini",
            status="chosen",
            scores={"cost": -0.25},
            utility=0.75,
            cost_nusd=CostView(2_000_000, None),
        ),
    )
    first = Attempt(
        n=1,
        deployment="mistral/small",
        model="small",
        provider="mistral",
        start_s=0,
        duration_s=0.5,
        outcome="failed",
        error="provider_overloaded",
        status=529,
    )
    record = replace(
        record,
        decision=replace(record.decision, candidates=candidates),
        attempts=(first, replace(record.attempts[0], n=2, start_s=0.5, duration_s=1.0)),
        outcome=replace(record.outcome, n_fallbacks=1, finish="stop"),
        tags=("\x1b[31mred",),
    )
    rows = SqliteRows(db)
    rows.insert([encode(record)])
    rows.close()
    text = run("show", record.request_id, "--db", db).stdout
    for told in (
        "openai/gpt-5-mini because highest_score",
        "capable: no_tools",
        "cost -0.25",
        "~$0.002000",
        "failed provider_overloaded 529",
        "signal       language = en (0.90 sure)",
        "served: stop",
        "\\x1b[31mred",
    ):
        assert told in text
    assert "\x1b" not in text
    assert text.index("Candidates") < text.index("Plan") < text.index("Attempts") < text.index("Outcome")


def test_show_prints_the_record_as_json(db):
    text = run("show", example_record(3).request_id, "--json", "--db", db).stdout
    assert msgspec.json.decode(text, type=Record) == example_record(3)


def test_show_without_an_id_shows_the_latest_request(db):
    text = run("show", "--json", "--db", db).stdout
    assert msgspec.json.decode(text, type=Record) == example_record(4)


def test_show_of_an_unknown_request_says_where_to_look(db):
    result = run("show", "req_x", "--db", db, exit_code=1)
    assert (
        result.stderr == f"Error: {db} has no request req_x; `turnout journal tail` lists the latest ones\n"
    )


def test_a_minimal_record_can_be_shown(db):
    record = Record(request_id="req_min", at=START, endpoint="chat", dialect="", outcome=Outcome())
    rows = SqliteRows(db)
    rows.insert([encode(record)])
    rows.close()
    assert "served: -" in run("show", "req_min", "--db", db).stdout
    assert " ".join(line_of(record).split()) == "2026-01-01 12:00:00 req_min - - - - - - / 0.000"


def test_jsonl_export_gives_back_every_record_in_order_of_arrival(db, tmp_path):
    out = tmp_path / "out.jsonl"
    result = run("export", "--format", "jsonl", "--out", out, "--db", db)
    assert result.stderr == f"5 records written to {out}\n"
    assert [msgspec.json.decode(line, type=Record) for line in out.read_bytes().split(b"\n")[:-1]] == [
        example_record(n, error="timeout_ttft" if n == 2 else None) for n in range(5)
    ]


def test_jsonl_export_to_the_standard_output_takes_a_range(db):
    since, until = "2026-01-01T12:00:01.2Z", "2026-01-01T12:00:04"
    result = run("export", "--format", "jsonl", "--out", "-", "--since", since, "--until", until, "--db", db)
    assert ids(result.stdout) == [2, 3]


def test_parquet_export_holds_columns_and_the_whole_record(db, tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.cli.journal_export._PAGE", 2)
    out = tmp_path / "out.parquet"
    run("export", "--format", "parquet", "--out", out, "--db", db)
    rows = pq.read_table(out).to_pylist()
    assert [msgspec.json.decode(row.pop("record"), type=Record) for row in rows] == [
        example_record(n, error="timeout_ttft" if n == 2 else None) for n in range(5)
    ]
    assert rows[1] == {
        "request_id": "req_00000000000000000000000001",
        "at": datetime(2026, 1, 1, 12, 0, 1, 123456, tzinfo=UTC),
        "endpoint": "chat",
        "dialect": "openai_chat",
        "project": "search",
        "principal": "key_1",
        "route": "batch",
        "strategy": "priority",
        "reason": "highest_score",
        "model": "gpt-5-mini",
        "provider": "openai",
        "error": None,
        "finish": None,
        "n_input": 121,
        "n_output": 35,
        "cost_nusd": 1000,
        "cost_state": "unknown",
        "ttft_s": None,
        "total_s": 1.5,
        "overhead_s": 0.0,
        "n_attempts": 1,
        "n_fallbacks": 0,
    }


def test_parquet_without_pyarrow_says_what_to_install(db, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", "--format", "parquet", "--out", tmp_path / "x", "--db", db, exit_code=1)
    assert result.stderr == 'Error: parquet needs pyarrow: pip install "turnout[parquet]"\n'


def test_a_failed_export_leaves_the_old_file_as_it_was(db, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    out.write_text("old")

    def fail(_records):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("turnout.cli.journal_export.as_json", fail)
    result = run("export", "--format", "jsonl", "--out", out, "--db", db, exit_code=1)
    assert result.stderr == f"Error: cannot write {out}: No space left on device\n"
    assert [path.name for path in tmp_path.glob("out*")] == ["out.jsonl"]
    assert out.read_text() == "old"


@pytest.mark.parametrize("value", ["soon", "2026-13-01", "5y", ""])
def test_an_instant_that_is_none_is_refused_with_examples(db, value):
    result = run("export", "--format", "jsonl", "--out", "-", "--since", value, "--db", db, exit_code=2)
    assert f"{value!r} is no instant: write 2026-01-31, 2026-01-31T12:00:00Z or 2h" in result.stderr


def test_an_age_is_counted_from_now(db):
    rows = SqliteRows(db)
    rows.insert([encode(replace(example_record(9), at=datetime.now(UTC) - timedelta(minutes=30)))])
    rows.close()
    assert ids(run("export", "--format", "jsonl", "--out", "-", "--since", "1h", "--db", db).stdout) == [9]


def leave_behind(db, *frames):
    """Leave a spool as a killed gateway does."""
    folder = spool_beside(db)
    folder.mkdir()
    (folder / "1-a.00000001.seg").write_bytes(b"".join(frames))


def test_what_a_killed_gateway_left_is_taken_over_before_anything_is_shown(db):
    leave_behind(db, frame(encode(example_record(7))), b"torn")
    assert ids(run("tail", "--json", "-n", 1, "--db", db).stdout) == [7]
    assert list(spool_beside(db).iterdir()) == []


def test_check_counts_and_changes_nothing(db):
    leave_behind(db, frame(encode(example_record(4))), frame(encode(example_record(7))), b"torn")
    for _ in range(2):
        assert run("check", "--db", db).stdout.splitlines() == [
            f"file    {db}: intact",
            "        5 records, 0 of them not readable by this version",
            "        0 frames set aside because they hold no record",
            "spool   0 segments of running gateways, 1 of ended ones",
            "        2 records, 1 of them not in the file yet",
            "        1 torn ends of killed gateways, 0 frames that hold no record",
        ]


def test_check_fails_when_a_frame_holds_no_record(db):
    leave_behind(db, frame(b"rubbish"))
    result = run("check", "--db", db, exit_code=1)
    assert "1 frames that hold no record" in result.stdout
    assert result.stderr == "Error: the journal is not in order; nothing was changed\n"


@pytest.mark.parametrize("command", [["tail"], ["show", "req_1"], ["check"]])
def test_a_journal_that_is_not_there_is_one_line_and_is_not_made(tmp_path, command):
    path = tmp_path / "none.db"
    result = run(*command, "--db", path, exit_code=1)
    hint = "`turnout serve` writes one, --db names another"
    assert result.stderr == f"Error: there is no journal at {path}; {hint}\n"
    assert not path.exists()


def test_a_file_that_is_no_journal_is_one_line(tmp_path):
    path = tmp_path / "letter.db"
    path.write_bytes(b"dear aunt " * 500)
    result = run("tail", "--db", path, exit_code=1)
    assert result.stderr == f"Error: journal: {path} cannot be used as a database: file is not a database\n"


def test_control_characters_are_escaped_and_other_text_is_not():
    assert printable("a\x1b[0m\n\u202eb é 漢 🚂") == "a\\x1b[0m\\n\\u202eb é 漢 🚂"
