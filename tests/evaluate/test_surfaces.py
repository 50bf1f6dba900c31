"""Recorded calls that the gateway answers itself, and those that nobody here speaks.

That all recordings are equal is shown by `record verify` itself (tests/cli/test_record.py).
"""

from pathlib import Path

import msgspec

from turnout.codecs.verify import Exchange
from turnout.evaluate.surfaces import SURFACES
from turnout.evaluate.unspoken import REASONS

OPENAI = "https://api.openai.com/v1"


def exchange(method, url, sent=None, told=None):
    return Exchange(
        provider="openai",
        method=method,
        url=url,
        request_body=b"" if sent is None else msgspec.json.encode(sent),
        status=200,
        response_body=msgspec.json.encode(told),
    )


def test_a_member_that_ours_lacks_or_that_is_of_another_kind_is_a_difference():
    told = {"id": "conv_1", "object": "conversation", "created_at": "now", "metadata": {}, "title": "x"}
    assert SURFACES["conversations"].compare(exchange("POST", f"{OPENAI}/conversations", {}, told)) == [
        'shape members.created_at: expected "text", got "number"',
        'shape members.title: expected "text", got (absent)',
    ]


def test_what_cannot_be_read_is_a_difference_and_nothing_is_raised():
    record = exchange("POST", f"{OPENAI}/responses/input_tokens", {"input": 7}, {"input_tokens": 1})
    (line,) = SURFACES["count_tokens"].compare(record)
    assert line.startswith("decode exception: expected none, got InvalidRequest")


def test_the_wire_page_lists_every_reason():
    page = (Path(__file__).parents[2] / "docs/design/WIRE.md").read_text(encoding="utf-8")
    listed = page.partition("## 15. ")[2]
    assert [reason for reason in REASONS if reason not in listed] == []
