"""`/v1/conversations`: what was said, under one id that a client goes on with. Floor 6.

Theory of operation.

1. A conversation is kept where answers are (`server/responses.py`), per key, under an id of ours: one of
   another key is as unknown as one that never was. Its time begins anew with every change.
2. A request of `/v1/responses` that names it is read with what was said before in front of its own input. Its
   items and those of the answer are added together, in one change, just before the answer's last bytes: two
   requests at once both land, each whole, in the order in which they ended.
3. The answer says which conversation it belongs to, or which answer it goes on from. That is written into
   it on its way out, on the express track too.

Source: OpenAI API reference, Conversations (seen 2026-11). WIRE.md 3.2.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.base import Dialect
from turnout.codecs.sse import Frame, frames
from turnout.codecs.strict import convert, parse
from turnout.errors import InvalidRequest, NotFound, RequestTooLarge, StoreUnavailable
from turnout.server.http import JSON_TYPE, Message, Send, respond
from turnout.server.kept import TALKS, listed
from turnout.server.paths import RESPONSES, Paths
from turnout.server.talks import Talk, added, answered, as_kept, begun, item_of, page_of, read_talk, view
from turnout.server.uploads import limit_of
from turnout.server.verbs import Steps
from turnout.server.visit import Visit, query_of
from turnout.stores.conversations import Conversations, Kept
from turnout.types.json import Json, JsonObject

log = logging.getLogger("turnout.server")

MOST_AT_ONCE: Final = 20
MOST_LISTED: Final = 100
MOST_METADATA: Final = 16
_Metadata = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]]
_TOLD = b'"response":'
"""What stands in each event that holds the answer as a whole."""
_write = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, object]).decode


class _Create(Struct, frozen=True):
    items: list[dict[str, Json]] | None = None
    metadata: _Metadata | None = None


class _Update(Struct, frozen=True):
    metadata: _Metadata | None


class _More(Struct, frozen=True):
    items: list[dict[str, Json]]


class ConversationObjects:
    """The endpoints at one gateway."""

    def __init__(self, steps: Steps, store: Callable[[], Conversations | None], dialect: Dialect) -> None:
        """Prepare.

        Args:
            steps: What the gateway does for each of its endpoints.
            store: Where conversations are kept, looked up at each call; None = nowhere.
            dialect: Reads items, to refuse those that no request could hold.
        """
        self._steps = steps
        self._store = store
        self._dialect = dialect

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        paths.add("POST", "/conversations", self._create, RESPONSES)
        paths.add("GET", "/conversations/*", self._show, RESPONSES)
        paths.add("POST", "/conversations/*", self._update, RESPONSES)
        paths.add("DELETE", "/conversations/*", self._delete, RESPONSES)
        paths.add("GET", "/conversations/*/items", self._list, RESPONSES)
        paths.add("POST", "/conversations/*/items", self._add, RESPONSES)
        paths.add("GET", "/conversations/*/items/*", self._item, RESPONSES)
        paths.add("DELETE", "/conversations/*/items/*", self._remove, RESPONSES)

    async def talk(self, visit: Visit, talk_id: str) -> Talk | None:
        """Return a conversation of the caller; None = there is none."""
        store = self._store()
        found = None if store is None else await store.get(visit.principal.key_id or "", talk_id)
        return None if found is None or not talk_id.startswith(TALKS) else read_talk(found)

    async def go_on(
        self, owner: str, talk_id: str, asked: list[dict[str, object]], response: dict[str, object]
    ) -> None:
        """Add a request's own items and its answer's. What cannot be kept costs the turn, not the answer."""
        store, output = self._store(), response.get("output")
        said = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []

        def change(document: bytes) -> Kept | None:
            talk = answered(read_talk(document), asked, said)
            return None if talk is None else as_kept(talk)

        try:
            if store is not None and not await store.amend(owner, talk_id, change):
                log.warning("a conversation was deleted while it was gone on with")
        except (RequestTooLarge, StoreUnavailable) as failure:
            log.warning("a turn was not added to its conversation: %s", failure.message)

    async def _create(self, visit: Visit) -> None:
        asked = convert(await self._asked(visit), _Create)
        talk = begun(time.time(), _checked(asked.metadata))
        if asked.items:
            talk, _ = added(talk, self._readable(asked.items))
        store, owner = self._open(), visit.principal.key_id or ""
        await store.put(owner, kept := as_kept(talk))
        if await store.get(owner, talk.id) is None:
            raise RequestTooLarge(
                f"the conversation takes {len(kept.document)} bytes, more than is kept here"
            )
        await self._tell(visit, view(talk))

    async def _show(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        await self._tell(visit, view(await self._known(visit)))

    async def _update(self, visit: Visit) -> None:
        asked = convert(await self._asked(visit), _Update)
        labels = _checked(asked.metadata)
        talk = await self._change(visit, lambda talk: msgspec.structs.replace(talk, metadata=labels))
        await self._tell(visit, view(talk))

    async def _delete(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        talk = await self._known(visit)
        await self._open().forget(visit.principal.key_id or "", talk.id)
        await self._tell(visit, {"id": talk.id, "object": "conversation.deleted", "deleted": True})

    async def _list(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        query = query_of(visit)
        query["limit"] = str(limit_of(query.get("limit"), 20, MOST_LISTED))
        if query.get("order", "desc") not in ("asc", "desc"):
            raise InvalidRequest("order: expected asc or desc", param="order")
        talk = await self._known(visit)
        await self._tell(visit, page_of(talk, query))

    async def _add(self, visit: Visit) -> None:
        asked = convert(await self._asked(visit), _More)
        items, ids = self._readable(asked.items), list[str]()

        def longer(talk: Talk) -> Talk:
            talk, new = added(talk, items)
            ids[:] = new
            return talk

        talk = await self._change(visit, longer)
        new = [item for item in (item_of(talk, name) for name in ids) if item is not None]
        await self._tell(visit, listed(new, more=False))

    async def _item(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        name = _last(visit)
        item = item_of(await self._known(visit), name)
        if item is None:
            raise _no_item(name)
        await self._tell(visit, item)

    async def _remove(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        name = _last(visit)

        def without(talk: Talk) -> Talk:
            if name not in talk.items:
                raise _no_item(name)
            left = {key: item for key, item in talk.items.items() if key != name}
            return msgspec.structs.replace(talk, items=left)

        await self._tell(visit, view(await self._change(visit, without)))

    async def _asked(self, visit: Visit) -> JsonObject:
        self._steps.enter(visit, "chat")
        return parse(await self._steps.body(visit))

    def _readable(self, items: list[dict[str, Json]]) -> list[dict[str, Json]]:
        """Return items that a request could hold. Raises `InvalidRequest`."""
        if len(items) > MOST_AT_ONCE:
            raise InvalidRequest(f"items: at most {MOST_AT_ONCE} at once", param="items")
        for at, item in enumerate(items):
            if item.get("type") == "item_reference":
                raise InvalidRequest(f"items[{at}]: send the item itself", param=f"items[{at}].type")
        if items:
            self._dialect.parse(_write({"model": "auto", "input": items}))
        return items

    async def _change(self, visit: Visit, change: Callable[[Talk], Talk]) -> Talk:
        """Change a conversation; return what it is now. Raises `NotFound`, and what `change` does."""
        talk_id = _first(visit)
        now: list[Talk] = []

        def amended(document: bytes) -> Kept:
            now.append(change(read_talk(document)))
            return as_kept(now[-1])

        ours = talk_id.startswith(TALKS)
        if not ours or not await self._open().amend(visit.principal.key_id or "", talk_id, amended):
            raise no_talk(talk_id)
        return now[-1]

    async def _known(self, visit: Visit) -> Talk:
        talk_id = _first(visit)
        talk = await self.talk(visit, talk_id)
        if talk is None:
            raise no_talk(talk_id)
        return talk

    def _open(self) -> Conversations:
        store = self._store()
        if store is None:
            raise NotFound("conversations are not kept at this gateway; its operator can set responses.keep")
        return store

    async def _tell(self, visit: Visit, tree: object) -> None:
        await respond(visit.send, 200, [JSON_TYPE, *self._steps.ids(visit.request_id)], _write(tree))


class Naming:
    """The way out of an answer, along which what it goes on from is written into it."""

    __slots__ = ("_head", "_members", "_send", "_streams")

    def __init__(self, send: Send, members: Mapping[str, Json]) -> None:
        self._send = send
        self._members = members
        self._head: Message | None = None
        """The beginning of a whole answer, whose length is not known yet."""
        self._streams = False

    async def __call__(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self._streams = any(kind.startswith(b"text/event-stream") for kind in kinds)
            if message["status"] == 200 and not self._streams:
                self._head = message
                return
        elif self._head is not None:
            body = _write({**_object(message["body"]), **self._members})
            headers = [pair for pair in self._head["headers"] if pair[0] != b"content-length"]
            length = (b"content-length", b"%d" % len(body))
            await self._send({**self._head, "headers": [*headers, length]})
            self._head = None
            message = {**message, "body": body}
        elif self._streams and _TOLD in message.get("body", b""):
            message = {**message, "body": b"".join(map(self._named, frames(message["body"])))}
        await self._send(message)

    def _named(self, frame: Frame) -> bytes:
        if _TOLD not in frame.data:
            return frame.raw
        try:
            told = _object(frame.data)
        except msgspec.MsgspecError:
            return frame.raw
        response = told.get("response")
        if not isinstance(response, dict):
            return frame.raw
        told["response"] = {**response, **self._members}
        name = b"event: %s\n" % frame.event.encode() if frame.event else b""
        return name + b"data: " + _write(told) + b"\n\n"


def no_talk(talk_id: str) -> NotFound:
    """Say that there is no such conversation."""
    return NotFound(f"Conversation with id {talk_id[:128]!r} not found.", param="id")


def talk_named(tree: JsonObject) -> str | None:
    """Return the conversation that a request names. Raises `InvalidRequest`."""
    given = tree.get("conversation")
    if given is None:
        return None
    if tree.get("previous_response_id") is not None:
        raise InvalidRequest(
            "a request goes on from previous_response_id or from a conversation, not from both",
            param="conversation",
        )
    name = given.get("id") if isinstance(given, dict) else given
    if not isinstance(name, str) or not name:
        raise InvalidRequest("conversation: expected an id, or an object with one", param="conversation")
    return name


def _checked(metadata: _Metadata | None) -> dict[str, str]:
    if metadata is not None and len(metadata) > MOST_METADATA:
        raise InvalidRequest(f"metadata: at most {MOST_METADATA} keys", param="metadata")
    return dict(metadata or {})


def _first(visit: Visit) -> str:
    return visit.path_rest.partition("/")[0]


def _last(visit: Visit) -> str:
    return visit.path_rest.rpartition("/")[2]


def _no_item(name: str) -> NotFound:
    return NotFound(f"Item with id {name[:128]!r} not found.", param="item_id")
