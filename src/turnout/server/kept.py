"""Answers of `/v1/responses` on their way into a store of conversations, and out of it. Floor 6.

What is kept is the answer as the client got it, with the items that led to it: what the next turn begins
with. On the express track that is the provider's own answer, under the provider's own id.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from turnout.codecs.sse import frames
from turnout.config.responses import ResponsesConfig
from turnout.errors import StoreUnavailable
from turnout.server.http import Message, Send
from turnout.stores.conversations import Conversations, Kept, MemoryConversations, Room
from turnout.types.json import Json, JsonObject

log = logging.getLogger("turnout.server")

TALKS = "conv_"
"""How ids of conversation objects begin, which are kept beside the answers; no answer's does."""
ENDED = frozenset({"completed", "incomplete"})
"""States of an answer that a conversation can go on from."""
_TERMINAL = (b'"response.completed"', b'"response.incomplete"')
_ITEM_KNOWN = frozenset({"id", "status"})
_SAID = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
    }
)


class Document(Struct, frozen=True, omit_defaults=True):
    """One answer as it is kept."""

    response: dict[str, object]
    input: list[dict[str, object]]
    """All items that led to it, earlier answers included."""
    job: str | None = None
    """Id of the background job that makes the answer, while it is not made."""


class _Ended(Struct, frozen=True):
    type: str = ""
    response: Raw = Raw(b"null")


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(Document).decode
_ended = msgspec.json.Decoder(_Ended).decode
_object = msgspec.json.Decoder(dict[str, object]).decode


def open_conversations(config: ResponsesConfig) -> Conversations | None:
    """Open the configured store; None = nothing is kept. Raises `ConfigError`."""
    if not config.keep:
        return None
    room = Room(
        ttl_s=config.ttl_s, max_bytes=int(config.max_mib * 1024 * 1024), max_per_owner=config.max_per_key
    )
    if config.path is None:
        return MemoryConversations(room)
    from turnout.stores.conversations.sqlite import SqliteConversations  # noqa: PLC0415  loads sqlite3

    return SqliteConversations(Path(config.path), room)


def read_document(data: bytes) -> Document:
    """Read what `keep` wrote."""
    return _read(data)


async def keep(store: Conversations, owner: str, document: Document) -> None:
    """Keep an answer. A store that refuses costs the client the continuation, not the answer."""
    response = document.response
    answer_id, output = response.get("id"), response.get("output")
    if not isinstance(answer_id, str) or answer_id.startswith(TALKS):
        return
    items = [item.get("id") for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    named = tuple(item for item in items if isinstance(item, str))
    try:
        await store.put(owner, Kept(answer_id, _write(document), named))
    except StoreUnavailable as failure:
        log.warning("%s", failure.message)


def input_items(tree: JsonObject) -> list[dict[str, object]]:
    """Return the input of a request as items."""
    given = tree.get("input")
    if isinstance(given, str):
        words = [{"type": "input_text", "text": given}]
        return [{"type": "message", "role": "user", "content": words}]
    return [dict(item) for item in given if isinstance(item, Mapping)] if isinstance(given, list) else []


def continuing(items: Iterable[object]) -> list[dict[str, object]]:
    """Return the items of an answer as they stand in the next turn's input.

    Ids would make OpenAI look for items that it may not have; a thought it cannot look up says nothing
    unless it came encrypted.
    """
    found: list[dict[str, object]] = []
    for item in items:
        if not isinstance(item, dict) or (
            item.get("type") == "reasoning" and not item.get("encrypted_content")
        ):
            continue
        own = item.get("type") in _SAID
        found.append({key: value for key, value in item.items() if not (own and key in _ITEM_KNOWN)})
    return found


def history(document: Document) -> list[dict[str, object]]:
    """Return all items up to and including an answer, as input of the next turn."""
    output = document.response.get("output")
    return [*document.input, *continuing(output if isinstance(output, list) else [])]


class Keeping:
    """The way out of an answer, along which it is kept before its last bytes are sent."""

    __slots__ = ("_keep", "_send", "_status", "_streams")

    def __init__(self, send: Send, keep_response: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        self._send = send
        self._keep = keep_response
        self._status = 0
        self._streams = False

    async def __call__(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._streams = any(
                name == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
        elif self._status == 200:
            response = self._found(message.get("body", b""))
            if response is not None and response.get("status") in ENDED:
                await self._keep(response)
        await self._send(message)

    def _found(self, body: bytes) -> dict[str, object] | None:
        try:
            if not self._streams:
                return _object(body)
            if not any(word in body for word in _TERMINAL):
                return None
            for frame in frames(body):
                ended = _ended(frame.data) if frame.data else _Ended()
                if ended.type in ("response.completed", "response.incomplete"):
                    return _object(ended.response)
        except msgspec.MsgspecError:
            return None
        return None


def page(items: list[dict[str, object]], answer_id: str, query: Mapping[str, str]) -> Json:
    """Return a page of input items, newest first unless asked otherwise."""
    rest = answer_id.removeprefix("resp_")
    names = [str(item.get("id") or f"item_{rest}_{at}") for at, item in enumerate(items)]
    shown, more = window(names, query)
    return listed([{**items[at], "id": names[at]} for at in shown], more=more)


def window(names: Sequence[str], query: Mapping[str, str]) -> tuple[Sequence[int], bool]:
    """Return what a page shows, by place, newest first unless asked otherwise, and whether there is more."""
    order = range(len(names)) if query.get("order", "desc") == "asc" else range(len(names))[::-1]
    after, limit = query.get("after"), int(query.get("limit", "20"))
    start = next((n + 1 for n, at in enumerate(order) if names[at] == after), 0) if after else 0
    return order[start : start + limit], start + limit < len(names)


def listed(shown: Sequence[Mapping[str, object]], *, more: bool) -> Json:
    """Return items as a page."""
    tree: JsonObject = msgspec.to_builtins(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": more,
        }
    )
    return tree
