"""`/v1/responses`: answers to go on from, to look at, to let go of, and to make in the background. Floor 6.

Theory of operation.

1. The gateway keeps conversations itself, per key, whatever the upstream: what a client calls by id is put
   into its request as items before the request is read, so that nothing after this file knows of ids, and
   none of another tenant ever reaches an upstream's own store (WIRE.md 3.2).
2. An answer is kept as it leaves, just before its last bytes: a client that has it whole can go on from it.
   `store: false`, and `x-turnout-log-content: off`, keep nothing.
3. `background: true` is a job of the background queue. Its answer is read from the queue when it is first
   asked for, and kept from then on like any other.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from turnout.codecs import strict
from turnout.codecs.base import Body, Dialect, Summary
from turnout.codecs.openai_responses.render import Names, echo
from turnout.config import ResponsesConfig
from turnout.errors import InvalidRequest, NotFound, UnsupportedParameter
from turnout.server import background
from turnout.server.compaction import Compaction
from turnout.server.conversations import ConversationObjects, Naming, talk_named
from turnout.server.deferred import Deferred
from turnout.server.http import JSON_TYPE, respond
from turnout.server.kept import (
    ENDED,
    TALKS,
    Document,
    Keeping,
    continuing,
    history,
    input_items,
    keep,
    open_conversations,
    page,
    read_document,
)
from turnout.server.paths import RESPONSES, Paths
from turnout.server.talks import history as said_in
from turnout.server.talks import item_in
from turnout.server.verbs import Steps, Verbs
from turnout.server.visit import Visit, number_in, query_of
from turnout.stores.conversations import Conversations, MemoryConversations
from turnout.stores.queue import Job
from turnout.types.json import JsonObject

MOST_LISTED = 100
_BY_ID = frozenset({"previous_response_id", "background", "conversation"})
"""Members that never go further than this file, and a conversation's id."""
_UNSAID = (None, False)
_STATES = {"queued": "queued", "running": "in_progress", "cancelled": "cancelled"}
_write = msgspec.json.Encoder().encode


class _Asked(NamedTuple):
    """A request of this format."""

    came: bytes
    """As the client sent it."""
    raw: bytes
    """With everything in its place that it names by id."""
    body: Body
    """`raw`, read."""
    tree: JsonObject
    """`came`, read."""
    talk: str | None = None
    """Id of the conversation it goes on in."""
    own: list[dict[str, object]] | None = None
    """Items of its own, in a request that names something by id."""

    @property
    def stays(self) -> bytes:
        """What a job runs, and what an idempotency key stands for: a conversation grows meanwhile."""
        return self.raw if self.talk is None else self.came


class Responses:
    """The endpoints of the responses format at one gateway.

    Attributes:
        store: Where conversations are kept; None = they are not.
    """

    def __init__(
        self, steps: Steps, verbs: Verbs, deferred: Callable[[], Deferred | None], dialect: Dialect
    ) -> None:
        self._steps = steps
        self._verbs = verbs
        self._deferred = deferred
        self._dialect = dialect
        self.store: Conversations | None = MemoryConversations()
        self._talks = ConversationObjects(steps, lambda: self.store, dialect)
        self._compaction = Compaction(steps, verbs.engine, dialect, self._whole)

    def keep_in(self, config: ResponsesConfig) -> Callable[[], Awaitable[None]]:
        """Keep conversations as configured; return what closes the store. Raises `ConfigError`."""
        store = self.store = open_conversations(config)
        return _nothing if store is None else store.close

    async def forget(self, keys: Sequence[str]) -> int:
        """Let go of what this process keeps in memory for keys; return how much it was."""
        store = self.store
        return sum([await store.erase(key) for key in keys]) if isinstance(store, MemoryConversations) else 0

    def mount(self, paths: Paths[Visit]) -> Callable[[Visit], Awaitable[None]]:
        """Serve the format's paths; return the endpoint that asks models."""
        paths.add("POST", "/responses", self.create, RESPONSES)
        paths.add("POST", "/responses/input_tokens", self._count, RESPONSES)
        paths.add("POST", "/responses/compact", self._compaction.serve, RESPONSES)
        paths.add("POST", "/responses/*/cancel", self._cancel, RESPONSES)
        for path in ("/responses/*", "/responses/*/input_items"):
            paths.add("GET", path, self._look, RESPONSES)
        paths.add("DELETE", "/responses/*", self._delete, RESPONSES)
        self._talks.mount(paths)
        return self.create

    async def create(self, visit: Visit) -> None:
        """Answer a request."""
        steps = self._steps
        steps.enter(visit, "chat")
        asked = await self._asked(visit)
        tree, body = asked.tree, asked.body
        if tree.get("background") is True and visit.opens is None:
            await self._defer(visit, asked)
            return
        if self.store is not None and tree.get("store") is not False and visit.inbound.log_content:
            self._keeping(visit, asked)
        before = tree.get("previous_response_id")
        if asked.talk is not None:
            visit.send = Naming(visit.send, {"conversation": {"id": asked.talk}})
        elif before is not None:
            visit.send = Naming(visit.send, {"previous_response_id": before})
        await steps.serve(visit, asked.stays, body, RESPONSES)

    def _keeping(self, visit: Visit, asked: _Asked) -> None:
        """Have the answer kept on its way out, and added to its conversation.

        That of a job is kept when it is collected, and added to its conversation when it is made.
        """
        store, owner, items = self.store, _owner(visit), input_items(asked.body.wire.body)
        assert store is not None
        for_client = visit.opens is None

        async def done(response: dict[str, object]) -> None:
            if for_client:
                await keep(store, owner, Document(response, items))
            if asked.talk is not None:
                await self._talks.go_on(owner, asked.talk, asked.own or [], response)

        if for_client or asked.talk is not None:
            visit.send = Keeping(visit.send, done)

    async def _whole(self, visit: Visit, came: bytes) -> tuple[bytes, Body]:
        """Return a request with what it names by id in its place, and as it is read."""
        asked = await self._placed(visit, came)
        return asked.raw, asked.body

    async def _asked(self, visit: Visit) -> _Asked:
        """Return a request with what it names by id in its place, as it is read, and what the client sent."""
        return await self._placed(visit, await self._steps.body(visit))

    async def _placed(self, visit: Visit, came: bytes) -> _Asked:
        body = self._dialect.parse(came)
        tree = body.wire.body
        if all(tree.get(name) in _UNSAID for name in _BY_ID) and not _refers(tree):
            return _Asked(came, came, body, tree)
        tree = strict.parse(came)
        talk_id = talk_named(tree)
        before = await self._before(visit, tree, talk_id)
        items = [await self._resolved(visit, item, at) for at, item in enumerate(input_items(tree))]
        own = [item for found in items for item in found]
        told: dict[str, object] = {key: value for key, value in tree.items() if key not in _BY_ID}
        raw = _write({**told, "input": [*before, *own]})
        return _Asked(came, raw, self._dialect.parse(raw), tree, talk_id, own)

    async def _before(self, visit: Visit, tree: JsonObject, talk_id: str | None) -> list[dict[str, object]]:
        """Return what a request goes on from."""
        if talk_id is not None:
            talk = await self._talks.talk(visit, talk_id)
            if talk is None:
                raise InvalidRequest(
                    f"Conversation with id {talk_id[:128]!r} not found.",
                    param="conversation",
                    code="conversation_not_found",
                )
            return said_in(talk)
        before = tree.get("previous_response_id")
        return [] if before is None else await self._earlier(visit, before)

    async def _earlier(self, visit: Visit, answer_id: object) -> list[dict[str, object]]:
        param = "previous_response_id"
        if not isinstance(answer_id, str):
            raise InvalidRequest(f"{param}: expected a string", param=param, code="invalid_type")
        document = await self._find(visit, answer_id)
        if document is None:
            raise InvalidRequest(
                f"Previous response with id {answer_id[:128]!r} not found.",
                param=param,
                code="previous_response_not_found",
            )
        if document.response.get("status") not in ENDED:
            raise InvalidRequest(
                f"the response {answer_id!r} is {document.response.get('status')}; it cannot be gone on from",
                param=param,
            )
        return history(document)

    async def _resolved(self, visit: Visit, item: dict[str, object], at: int) -> list[dict[str, object]]:
        """Return what an item stands for; most stand for themselves."""
        if item.get("type") != "item_reference":
            return [item]
        item_id = item.get("id")
        found = None
        if self.store is not None and isinstance(item_id, str):
            found = await self.store.find(_owner(visit), item_id)
        named = None if found is None else item_in(found, str(item_id))
        if named is not None:
            return continuing([named])
        raise InvalidRequest(
            f"Item with id {str(item_id)[:128]!r} not found.", param=f"input[{at}].id", code="item_not_found"
        )

    async def _count(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        asked = await self._asked(visit)
        await self._verbs.count_input(visit, asked.body, RESPONSES)

    async def _defer(self, visit: Visit, asked: _Asked) -> None:
        """Make a job of the request, and answer that it is queued.

        One that goes on in a conversation reads it when it runs.
        """
        body, tree = asked.body, asked.tree
        deferred, store = self._deferred(), self.store
        if deferred is None or store is None:
            raise UnsupportedParameter(
                "background is off at this gateway; its operator can set background.path and responses.keep",
                param="background",
            )
        if body.request.stream:
            raise UnsupportedParameter(
                "a response is either streamed or made in the background; leave stream out", param="stream"
            )
        if tree.get("store") is False:
            raise InvalidRequest("background needs store: its answer is collected by id", param="store")
        scope = visit.scope
        came = background.Came(
            scope["path"], scope["headers"], visit.principal.key_id or "", visit.inbound.idempotency_key
        )
        job = await deferred.submit(background.as_job(asked.stays, came, says_how="background" in body.ours))
        summary = Summary(
            request_id=job.request_id, model=body.request.model, created=int(job.created_at.timestamp())
        )
        response: dict[str, object] = {
            **echo(body.request, summary, Names.of(summary)),
            "previous_response_id": tree.get("previous_response_id"),
            "status": "queued",
            "background": True,
        }
        if asked.talk is not None:
            response["conversation"] = {"id": asked.talk}
        document = Document(response, input_items(body.wire.body), job.id)
        await keep(store, _owner(visit), document)
        await self._answer(visit, response)

    async def _look(self, visit: Visit) -> None:
        """Show an answer, or the items that led to it."""
        self._steps.enter(visit, "chat")
        answer_id, slash, _ = visit.path_rest.partition("/")
        query = query_of(visit)
        if query.get("stream") == "true":
            raise UnsupportedParameter("a kept response cannot be streamed again", param="stream")
        document = await self._known(visit, answer_id)
        if not slash:
            await self._answer(visit, document.response)
            return
        if number_in(query.get("limit", "20"), 1, MOST_LISTED) is None:
            raise InvalidRequest(f"limit: expected 1–{MOST_LISTED}", param="limit")
        await self._answer(visit, page(document.input, answer_id, query))

    async def _delete(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        answer_id = visit.path_rest
        document = await self._known(visit, answer_id)
        if document.job is not None:
            await self._stop(document.job, _owner(visit))
        assert self.store is not None
        await self.store.forget(_owner(visit), answer_id)
        await self._answer(visit, {"id": answer_id, "object": "response", "deleted": True})

    async def _cancel(self, visit: Visit) -> None:
        self._steps.enter(visit, "chat")
        answer_id = visit.path_rest.partition("/")[0]
        document = await self._known(visit, answer_id)
        if document.response.get("background") is not True:
            raise InvalidRequest("only a response made in the background can be cancelled", param="id")
        if document.job is not None:
            await self._stop(document.job, _owner(visit))
            document = await self._known(visit, answer_id)
        await self._answer(visit, document.response)

    async def _stop(self, job_id: str, owner: str) -> None:
        deferred = self._deferred()
        if deferred is not None:
            with suppress(NotFound):  # it ended long ago, and is kept no longer
                await deferred.cancel(job_id, owner)

    async def _known(self, visit: Visit, answer_id: str) -> Document:
        document = await self._find(visit, answer_id)
        if document is None:
            raise NotFound(f"Response with id {answer_id[:128]!r} not found.", param="id")
        return document

    async def _find(self, visit: Visit, answer_id: str) -> Document | None:
        if self.store is None or answer_id.startswith(TALKS):
            return None
        found = await self.store.get(_owner(visit), answer_id)
        if found is None:
            return None
        document = read_document(found)
        return document if document.job is None else await self._made(document, document.job, _owner(visit))

    async def _made(self, document: Document, job_id: str, owner: str) -> Document:
        """Return a background answer as it stands; once it is there it is kept like any other."""
        deferred, store = self._deferred(), self.store
        response = document.response
        try:
            job = None if deferred is None else await deferred.get(job_id, owner)
        except NotFound:
            job = None
        if job is not None and job.state in _STATES:
            return Document({**response, "status": _STATES[job.state]}, document.input, job_id)
        served = None if deferred is None or job is None else await deferred.answer(job)
        told = {} if served is None else msgspec.json.decode(served.body, type=dict[str, object])
        if job is not None and job.state == "done":
            own = {"id": response["id"], "background": True, "created_at": response["created_at"]}
            made = Document({**told, **own}, document.input)
        else:
            made = Document({**response, "status": "failed", "error": _failure(job, told)}, document.input)
        if store is not None:
            await keep(store, owner, made)
        return made

    async def _answer(self, visit: Visit, tree: object) -> None:
        headers = [JSON_TYPE, *self._steps.ids(visit.request_id)]
        await respond(visit.send, 200, headers, _write(tree))


async def _nothing() -> None:
    """Close what was not opened."""


def _owner(visit: Visit) -> str:
    return visit.principal.key_id or ""


def _refers(tree: JsonObject) -> bool:
    given = tree.get("input")
    return isinstance(given, list) and any(
        isinstance(item, Mapping) and item.get("type") == "item_reference" for item in given
    )


def _failure(job: Job | None, told: Mapping[str, object]) -> dict[str, object]:
    said = told.get("error")
    message = said.get("message") if isinstance(said, dict) else None
    if message is None:
        message = "its job is no longer there" if job is None else f"its job is {job.state}"
    return {"code": "server_error", "message": message}
