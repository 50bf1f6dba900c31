"""Every recorded chat in every other format and back: the committed table, count for count."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_losses_is_what_the_recordings_give(shared):
    spec = importlib.util.spec_from_file_location("translation", ROOT / "scripts" / "translation.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found, committed = script.measure(shared / "wire"), script.read()
    assert (found.requests, found.answers, found.streams) == (
        committed.requests,
        committed.answers,
        committed.streams,
    )
    assert found.rows == committed.rows
    assert found.answer_rows == committed.answer_rows
