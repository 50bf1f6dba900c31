"""How a Record becomes bytes and back."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from turnout.stores.base import PARTIAL, Cursor, decode, encode, microseconds, read_columns, restore
from turnout.testing.store import example_record
from turnout.types.record import Attempt, CandidateView, Outcome, SignalView
from turnout.types.usage import Usage


def test_a_record_survives_encoding():
    record = example_record(3)
    assert decode(encode(record)) == record


def test_infinite_scores_survive_encoding():
    record = example_record(1)
    view = CandidateView(id="a/b", model="b", status="eligible", scores={"cost": -math.inf})
    record = replace(record, decision=replace(record.decision, candidates=(view,)))
    assert decode(encode(record)) == record


def test_numpy_numbers_become_numbers_and_unknown_objects_their_type_name():
    record = example_record(1)
    signals = {"a": SignalView(value=np.float64(0.5)), "b": SignalView(value=[np.int64(3), object()])}
    record = replace(record, decision=replace(record.decision, signals=signals))
    stored = decode(encode(record)).decision.signals
    assert stored == {"a": SignalView(value=0.5), "b": SignalView(value=[3, "<object>"])}


def test_text_and_numbers_that_no_format_carries_are_mended_instead_of_lost():
    record = replace(example_record(1), tags=("a\ud800b",), metadata={"n": "\udfff"})
    usage = Usage(input_uncached=10**30)
    record = replace(record, outcome=Outcome(usage=usage, usage_source="provider", total_s=1.0))
    stored = decode(encode(record))
    assert stored.tags == ("a?b",)
    assert stored.metadata == {"n": "?"}
    assert stored.outcome.usage.input_uncached == 2**63 - 1
    assert stored.decision == record.decision
    assert stored.at == record.at


def test_columns_of_a_failure_name_the_model_tried_last():
    record = example_record(2, error="timeout_ttft")
    last = Attempt(n=2, deployment="a/b", model="b", provider="a", start_s=0, duration_s=1, outcome="failed")
    columns = read_columns(encode(replace(record, attempts=(*record.attempts, last))))
    assert (columns.model, columns.provider, columns.error) == ("b", "a", "timeout_ttft")


def test_a_record_with_words_of_a_later_version_is_read_as_far_as_it_can_be():
    record = example_record(4)
    tree = msgspec.to_builtins(record, builtin_types=(datetime,))
    tree["decision"]["reason"] = "a_reason_of_the_future"
    stored = restore(msgspec.msgpack.encode(tree))
    assert stored.warnings == (PARTIAL,)
    assert (stored.request_id, stored.at, stored.outcome.cost_nusd) == (record.request_id, record.at, 4000)


def test_what_is_no_record_is_refused_as_a_value_error():
    for payload in (b"", b"\xc1", msgspec.msgpack.encode({"request_id": 3}), encode(example_record(1))[:-1]):
        with pytest.raises(ValueError):
            read_columns(payload)


def test_microseconds_are_exact_and_take_an_instant_without_zone_as_utc():
    assert microseconds(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == 1767225600000001
    assert microseconds(datetime(2026, 1, 1, 0, 0, 0, 1)) == 1767225600000001  # noqa: DTZ001  the point


def test_a_cursor_is_read_back_from_its_text():
    assert Cursor.parse(str(Cursor(1767225600000001, 42))) == Cursor(1767225600000001, 42)
    for text in ("", "12", "a.b", "1.2.3"):
        with pytest.raises(ValueError):
            Cursor.parse(text)
