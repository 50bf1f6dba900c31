"""A conversation object as it is kept: items under ids, in the order they were said. Floor 6.

Items are kept as text, so that what grows with every turn is copied and never read again but where an item
is asked for. What a request or an answer brings gets an id of ours where it has none, or one that is taken.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from turnout.codecs.openai_responses.scan import MAX_ITEMS
from turnout.errors import RequestTooLarge
from turnout.server.kept import TALKS, continuing, listed, window
from turnout.stores.conversations import Kept
from turnout.types.json import Json

MOST_BYTES = 16 * 1024 * 1024
"""Of one conversation: each turn writes the whole of it again."""
_IDS: Mapping[str, str] = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "reasoning": "rs_",
}
_LONGEST_ID = 256
_HAVE_STATES = frozenset({"message", "function_call", "function_call_output"})


class Talk(Struct, frozen=True):
    """A conversation."""

    id: str
    created_at: int
    metadata: dict[str, str] = {}
    items: dict[str, Raw] = {}


class _Either(Struct):
    """An answer, or a conversation, as it is kept."""

    response: dict[str, object] = {}
    items: dict[str, Raw] = {}


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(Talk).decode
_either = msgspec.json.Decoder(_Either).decode
_item = msgspec.json.Decoder(dict[str, object]).decode


def begun(now_s: float, metadata: Mapping[str, str] | None) -> Talk:
    """Return a conversation in which nothing was said."""
    return Talk(TALKS + secrets.token_hex(24), int(now_s), dict(metadata or {}))


def read_talk(document: bytes) -> Talk:
    """Read what `as_kept` wrote."""
    return _read(document)


def as_kept(talk: Talk) -> Kept:
    """Return a conversation as it is kept. Raises `RequestTooLarge`."""
    if len(talk.items) > MAX_ITEMS:
        raise RequestTooLarge(f"the conversation would have more than {MAX_ITEMS:,} items")
    document = _write(talk)
    if len(document) > MOST_BYTES:
        raise RequestTooLarge(
            f"the conversation would take {len(document)} bytes; at most {MOST_BYTES} are kept of one"
        )
    return Kept(talk.id, document, tuple(talk.items))


def added(talk: Talk, items: Iterable[Mapping[str, object]]) -> tuple[Talk, list[str]]:
    """Return a conversation that goes on with these items, and the ids they have there."""
    held, ids = dict(talk.items), []
    for item in items:
        said = item.get("type") or "message"
        kind = said if isinstance(said, str) else "unknown"
        given = item.get("id")
        known = isinstance(given, str) and 0 < len(given) <= _LONGEST_ID and given not in held
        name = str(given) if known else _IDS.get(kind, "item_") + secrets.token_hex(24)
        held[name] = Raw(_write(_whole({**item, "type": kind, "id": name})))
        ids.append(name)
    return replace(talk, items=held), ids


def answered(
    talk: Talk, asked: Sequence[Mapping[str, object]], output: Sequence[Mapping[str, object]]
) -> Talk | None:
    """Return a conversation that goes on with a request and its answer; None = it did already.

    An answer that is sent a second time, for an idempotency key, has the ids it had.
    """
    if any(isinstance(name := item.get("id"), str) and name in talk.items for item in output):
        return None
    return added(talk, [*asked, *output])[0]


def history(talk: Talk) -> list[dict[str, object]]:
    """Return what was said, as input of the next turn."""
    return continuing(map(_item, talk.items.values()))


def page_of(talk: Talk, query: Mapping[str, str]) -> Json:
    """Return a page of what was said: nothing is read but what it shows."""
    names = list(talk.items)
    shown, more = window(names, query)
    return listed([_item(talk.items[names[at]]) for at in shown], more=more)


def item_of(talk: Talk, item_id: str) -> dict[str, object] | None:
    """Return an item; None = there is none."""
    held = talk.items.get(item_id)
    return None if held is None else _item(held)


def item_in(document: bytes, item_id: str) -> dict[str, object] | None:
    """Return an item of an answer, or of a conversation, as kept; None = it has none of this id."""
    either = _either(document)
    if item_id in either.items:
        return _item(either.items[item_id])
    output = either.response.get("output")
    for each in output if isinstance(output, list) else ():
        if isinstance(each, dict) and each.get("id") == item_id:
            return each
    return None


def view(talk: Talk) -> dict[str, Json]:
    """Return a conversation as its owner sees it."""
    return {
        "id": talk.id,
        "object": "conversation",
        "created_at": talk.created_at,
        "metadata": dict(talk.metadata),
    }


def _whole(item: dict[str, object]) -> dict[str, object]:
    """Return an item with the members that every item of its kind has, in the long form of its content."""
    if item["type"] in _HAVE_STATES:
        item = {**item, "status": item.get("status") or "completed"}
    content = item.get("content")
    if item["type"] != "message" or not isinstance(content, str):
        return item
    if item.get("role") == "assistant":
        return {**item, "content": [{"type": "output_text", "text": content, "annotations": []}]}
    return {**item, "content": [{"type": "input_text", "text": content}]}
