"""Conversation objects as they are kept."""

import pytest
from msgspec import Raw

from turnout.codecs.openai_responses.scan import MAX_ITEMS
from turnout.errors import RequestTooLarge
from turnout.server.talks import Talk, answered, as_kept, page_of


def test_a_page_reads_nothing_but_what_it_shows():
    unread = Raw(b"never read")
    talk = Talk("conv_1", 0, {}, {"a": unread, "b": Raw(b'{"id":"b"}'), "c": unread, "d": unread})
    assert page_of(talk, {"limit": "1", "after": "c"}) == {
        "object": "list",
        "data": [{"id": "b"}],
        "first_id": "b",
        "last_id": "b",
        "has_more": True,
    }


def test_a_conversation_has_no_more_items_than_a_request_may():
    full = {f"msg_{n}": Raw(b"{}") for n in range(MAX_ITEMS)}
    assert len(as_kept(Talk("conv_1", 0, {}, full)).items) == MAX_ITEMS
    with pytest.raises(RequestTooLarge, match="more than 10,000 items"):
        as_kept(Talk("conv_1", 0, {}, {**full, "msg": Raw(b"{}")}))


def test_what_an_upstream_writes_wrong_is_kept_and_breaks_nothing():
    talk = answered(Talk("conv_1", 0), [], [{"type": ["message"], "id": ["msg_1"], "content": "hi"}])
    assert talk is not None
    (item,) = page_of(talk, {})["data"]
    assert (item["type"], item["id"][:5], item["content"]) == ("unknown", "item_", "hi")
