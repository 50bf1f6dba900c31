"""The data plane: raw ASGI in front of the engine. Floor 6.

Theory of operation. Everything an endpoint raises becomes an answer in the dialect of its path: a
`TurnoutError` as itself, a client that left as nothing, anything else as `internal`, with the request id to
find it by. Who asks is checked by the endpoint that was found, never by looking at the path again (S-06).
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from turnout.codecs.base import Body, Carries, Dialect, EmbedBody, Embeds, TaskBody
from turnout.engine.engine import Engine, Opened
from turnout.errors import Forbidden, GatewayOverloaded, Internal, InvalidRequest, NotFound, TurnoutError
from turnout.govern.directory import Directory
from turnout.server.admin.plane import ADMIN_SIDE, Lent, Plane, told
from turnout.server.answer import Answer, Whole, answered
from turnout.server.asking import make_ask
from turnout.server.auth import Denied, Failures, Gate, check_url, check_use, pass_on
from turnout.server.bulk_endpoints import BulkEndpoints
from turnout.server.dashboard.dashboard import Dashboard
from turnout.server.defects import note_defect
from turnout.server.deferred import Deferred, Opens
from turnout.server.deferring import Background
from turnout.server.explain import explain
from turnout.server.feedback import Feedbacks
from turnout.server.file_sources import names_files
from turnout.server.http import JSON_TYPE, Disconnected, RawHeaders, Receive, Scope, Send, read_body, respond
from turnout.server.idempotency import Replays
from turnout.server.ids import new_request_id
from turnout.server.inbound import read
from turnout.server.inside import Kept
from turnout.server.listing import Listing
from turnout.server.mcp import Mcp
from turnout.server.mcp_tools import McpTools
from turnout.server.natives import Natives
from turnout.server.openapi import Described
from turnout.server.passthrough import Passthrough
from turnout.server.paths import ANTHROPIC, COMPLETIONS, GEMINI, OPENAI, RESPONSES, SHARED, Paths, dialect_of
from turnout.server.recommend import Asking, recommend
from turnout.server.responses import Responses
from turnout.server.scores import ScoresFile
from turnout.server.sessions import Sessions
from turnout.server.settings import ServerSettings
from turnout.server.stream import Stream
from turnout.server.tasks import Doing, Streaming, Tasks
from turnout.server.verbs import Steps, Verbs, shown
from turnout.server.visit import StreamPlace, Visit, inbound_of, no_endpoint, while_there
from turnout.stores.memory import MemoryStore
from turnout.stores.queue import Sent, Served

Endpoint = Callable[[Visit], Awaitable[None]]
SCRAPES = frozenset({"scrape", "operator", "admin", "owner"})
NOTHING_SERVED = Served(404, (), b"")


class Gateway:
    """The ASGI application.

    Attributes:
        engine: Serves requests.
        settings: Limits and keys in force; `apply` puts others in force.
        ready: False while draining: `/readyz` says so and load balancers turn away.
    """

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect], settings: ServerSettings) -> None:
        self.engine, self.settings = engine, settings
        self.ready = True
        self._visits: set[Visit] = set()
        self._instance = secrets.token_hex(8)
        """Id of this process in `x-turnout-hop`."""
        self._first_hop = pass_on(None, self._instance)
        self._streams: dict[str, int] = {}
        self._failures = Failures(time.monotonic)
        self.replays = Replays(MemoryStore())
        self._dialects = dialects
        beat_s = settings.keep_alive_s
        self._answers = {name: Answer(engine, d, keep_alive_s=beat_s) for name, d in dialects.items()}
        self._listing = Listing(engine)
        self.deferred: Deferred | None = None  # the queue of background jobs, where one is configured
        self.denied: Denied | None = None
        """Puts refusals by policy on record, where there is a desk."""
        self._directory: Directory | None = None
        self.scores: ScoresFile | None = None
        """What takes in benchmark scores, where that is configured."""
        ids, now = self._answers[OPENAI].ids, lambda: self.settings
        steps = Steps(self._enter, self._body, self._serve, self._embed, ids, self._open, self._once, now)
        self.feedback, self.verbs = Feedbacks(steps), Verbs(engine, dialects, steps)
        self._background = Background(self._enter, self._body, self._ok, lambda: self.deferred)
        self.bulk = BulkEndpoints(steps, self._defers, lambda key_id: self._gate.named(key_id))  # noqa: PLW0108  after a reload too
        self.passing = Passthrough(self._enter, self._answers[OPENAI].ids)
        self._described = Described(steps, self.passing.opened)
        self.responses = Responses(steps, self.verbs, lambda: self.deferred, dialects[RESPONSES])
        self._sessions = Sessions(engine, steps, self._answers[OPENAI].head)
        self.plane = Plane(
            Lent(
                self._enter,
                self._read,
                self._ok,
                lambda: self.scores,
                lambda *shown: self._gate.identify(*shown),  # noqa: PLW0108  gates are replaced
                lambda key_id: self._gate.named(key_id),  # noqa: PLW0108
            )
        )
        limit, wished = lambda: self.settings.max_body_bytes, self._background.wished
        doing = Doing(self._open, self._once, self._stream, wished, limit)
        self._tasks = Tasks(steps, doing, self._answers[OPENAI])
        self._natives = Natives(steps, dialects, self._listing)
        self.mcp = Mcp(steps, McpTools(engine, dialects), lambda: self.settings.mcp)
        self._paths, self._deferrable = self._table()
        self.apply(settings)

    @property
    def n_open(self) -> int:
        """Requests being served."""
        return len(self._visits)

    def break_off(self) -> None:
        """Note that what is still open will be cancelled by the gateway: no client has left."""
        self.ready = False
        for visit in self._visits:
            if visit.exchange is not None:
                visit.exchange.outcome_error = GatewayOverloaded.row.word

    def apply(self, settings: ServerSettings) -> None:
        """Put limits and keys in force for requests that arrive from now on."""
        self.settings = settings
        failures = None if settings.behind_proxy else self._failures
        self._gate = Gate(settings.keys, failures, self._directory)
        for answer in self._answers.values():
            answer.keep_alive_s = settings.keep_alive_s

    def follow(self, directory: Directory) -> None:
        """From now on know the keys of a desk too."""
        self._directory = directory
        self.apply(self.settings)

    def _table(self) -> tuple[Paths[Visit], frozenset[Endpoint]]:
        """Return who serves which path, and which of them serve background jobs too."""
        paths: Paths[Visit] = Paths()
        chat, completions, messages = map(self._chat, (OPENAI, COMPLETIONS, ANTHROPIC))
        paths.add("POST", "/chat/completions", chat, OPENAI)
        paths.add("POST", "/completions", completions, OPENAI)
        paths.add("POST", "/embeddings", self._embeddings, OPENAI)
        create, tasks = self.responses.mount(paths), self._tasks.mount(paths) | self._natives.mount(paths)
        self._background.mount(paths)
        self._described.mount(paths)
        self.bulk.mount(paths)
        self._sessions.mount(paths)
        self.mcp.mount(paths)
        self.feedback.mount(paths)
        paths.add("POST", "/explain", self._explain, OPENAI)
        paths.add("POST", "/recommend", self._recommend, OPENAI)
        paths.add("GET", "/models", self._models, SHARED)
        paths.add("GET", "/models/", self._models, SHARED)
        paths.add_root("/v1beta/models", self._models, ("GET",), GEMINI)
        paths.add_under("/v1beta/models/", self._models, GEMINI, ("GET",))
        paths.add("POST", "/messages", messages, ANTHROPIC)
        paths.add("POST", "/messages/count_tokens", self.verbs.count, ANTHROPIC)
        paths.add("POST", "/models/", self.verbs.call, GEMINI)
        paths.add_under("/v1beta/", self.verbs.call, GEMINI)
        for path in ("/livez", "/api/hello"):
            paths.add_root(path, self._live)
        paths.add_root("/readyz", self._ready)
        apart = self.settings.admin_apart
        if not apart:
            self.plane.mount(paths)
        paths.add_root("/", self._live)
        Dashboard(self._live).mount([self.plane.paths] if apart else [self.plane.paths, paths])
        self.plane.paths.add_root("/livez", self._live)
        asks = {chat, completions, messages, create, self._embeddings, self.verbs.call}
        return paths, tasks | asks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] == "http":  # a coroutine function, as servers tell ASGI 3 by it
            await self._visit(Visit(scope, receive, send))

    async def _visit(self, visit: Visit) -> None:
        scope = visit.scope
        paths = self.plane.paths if ADMIN_SIDE in scope else self._paths
        found = paths.find(scope["method"], scope["path"])
        if found is None and ADMIN_SIDE not in scope:
            found = self.passing.find(scope["method"], scope["path"])
        dialect = dialect_of(scope["path"]) if found is None else found.dialect
        self._visits.add(visit)
        try:
            visit.inbound = inbound_of(scope)
            if found is None:
                await self._unknown(visit, dialect)
            else:
                dialect = shown(visit) if found.dialect == SHARED else found.dialect
                visit.path_rest = found.rest
                await found.endpoint(visit)
        except TurnoutError as error:
            await self._fail(visit, dialect, error)
        except Disconnected:
            pass
        except asyncio.CancelledError:
            if self.ready:
                raise
            await self._fail(visit, dialect, _shutting_down())  # the grace period is over
        except Exception as error:  # noqa: BLE001  the server boundary: answered, and noted without request data
            note_defect(visit.request_id, error)
            failure = Internal("an internal error occurred; the request id finds it in the log")
            await self._fail(visit, dialect, failure)
        finally:
            self._visits.discard(visit)

    def _defers(self, path: str) -> bool:
        """Tell whether a path can be asked in the background."""
        found = self._paths.find("POST", path)
        return found is not None and found.endpoint in self._deferrable

    async def inside(
        self, sent: Sent, owner: str, request_id: str, opens: Opens
    ) -> tuple[Served, TurnoutError | None]:
        """Serve a request whose client is this process; see `deferred.Inside`."""
        found = self._paths.find("POST", sent.path)
        if found is None or found.endpoint not in self._deferrable:
            return NOTHING_SERVED, NotFound(
                f"{sent.path[:200]} is not served in the background", param="path"
            )
        kept = Kept(sent.body)
        visit = Visit(kept.scope(sent.path, sent.headers), kept.receive, kept.send)
        visit.request_id, visit.owner, visit.opens = request_id, owner, opens
        await self._visit(visit)
        return Served(kept.status, tuple(kept.headers), bytes(kept.body)), visit.error

    async def _fail(self, visit: Visit, dialect: str, error: TurnoutError) -> None:
        visit.error = error
        if self.denied is not None and isinstance(error, Forbidden):
            self.denied(visit.principal, visit.address, "request.refused", error.message)
        answer = self._answers.get(dialect) or self._answers[OPENAI]
        status, headers, body = answer.failure(error, visit.request_id, visit.exchange)
        await respond(visit.send, status, headers, told(visit.scope["path"], error) or body)

    def refusal(self, path: str, error: TurnoutError) -> tuple[RawHeaders, bytes]:
        """Write a failure of what is no request yet: headers and body, in the dialect its path hints at."""
        answer = self._answers.get(dialect_of(path)) or self._answers[OPENAI]
        _, headers, body = answer.failure(error, new_request_id())
        return headers, body

    async def _unknown(self, visit: Visit, dialect: str) -> None:
        method, path = visit.scope["method"][:16], visit.scope["path"]
        methods = (self.plane.paths if ADMIN_SIDE in visit.scope else self._paths).methods(path)
        error = no_endpoint(visit, methods)
        if not methods:
            raise error
        answer = self._answers.get(dialect) or self._answers[OPENAI]
        _, headers, body = answer.failure(error, visit.request_id)
        headers.append((b"allow", ", ".join(methods).encode()))
        await respond(visit.send, 405, headers, b"" if method == "HEAD" else body)

    async def _body(self, visit: Visit) -> bytes:
        inbound = visit.inbound
        if inbound.content_type and not inbound.content_type.lower().startswith("application/json"):
            raise InvalidRequest("content-type must be application/json", param="content-type")
        raw = await self._read(visit)
        return await self.bulk.placed(visit, raw) if names_files(raw) else raw

    def _read(self, visit: Visit) -> Awaitable[bytes]:
        inbound, limit = visit.inbound, self.settings.max_body_bytes
        return read_body(visit.receive, limit, inbound.content_length, inbound.content_encoding)

    def _enter(self, visit: Visit, endpoint: str) -> None:
        """Check who asks, for what and from where, and whether there is room."""
        if visit.opens is not None:
            visit.principal, visit.hops = self._gate.named(visit.owner), self._first_hop
            check_use(visit.principal, endpoint, None)
            return
        if visit.scope["query_string"]:
            check_url(visit.scope["query_string"])
        principal = visit.principal = self._gate.principal(visit.inbound.keys, visit.address)
        if principal.endpoints or principal.networks:
            check_use(principal, endpoint, visit.address)
        if len(self._visits) > self.settings.max_open:
            raise GatewayOverloaded("too many requests are open at this gateway", retry_after_s=1)
        hops = visit.inbound.hops
        visit.hops = self._first_hop if hops is None else pass_on(hops, self._instance)

    def _chat(self, name: str) -> Endpoint:
        dialect = self._dialects[name]

        async def serve(visit: Visit) -> None:
            self._enter(visit, "chat")
            raw = await self._body(visit)
            body = dialect.parse(raw)
            if visit.inbound.dialect_headers and isinstance(dialect, Carries):
                body = dialect.carry(body, visit.inbound.dialect_headers)
            await self._serve(visit, raw, body, name)

        return serve

    async def _serve(self, visit: Visit, raw: bytes, body: Body, name: str) -> None:
        if "background" in body.ours and visit.opens is None:
            await self._background.wished(visit, raw)
            return
        answer = self._answers[name]
        opened = self._open(visit, body, name)
        if body.request.stream:
            await self._stream(visit, Stream(answer, opened, visit.send))
        elif visit.inbound.idempotency_key is None:
            whole = await while_there(visit, answer.whole(opened))
            if not answered(visit.send, whole):
                await respond(visit.send, 200, whole.headers, whole.body)
        else:
            await self._once(visit, raw, name, lambda: answer.whole(opened))

    async def _stream(self, visit: Visit, stream: Streaming) -> None:
        try:
            with StreamPlace(self._streams, visit.principal.key_id, self.settings.max_streams_per_key):
                await while_there(visit, stream.run())
        except asyncio.CancelledError:
            if self.ready:
                raise
            await stream.break_off(_shutting_down())

    async def _embeddings(self, visit: Visit) -> None:
        self._enter(visit, "embeddings")
        dialect = self._dialects[OPENAI]
        assert isinstance(dialect, Embeds)
        raw = await self._body(visit)
        await self._embed(visit, raw, dialect.parse_embed(raw), OPENAI)

    async def _embed(self, visit: Visit, raw: bytes, body: EmbedBody, name: str) -> None:
        if "background" in body.ours and visit.opens is None:
            await self._background.wished(visit, raw)
            return
        answer, opened = self._answers[name], self._open(visit, body, name)
        await self._once(visit, raw, f"embeddings {name}", lambda: answer.vectors(opened))

    def _open(self, visit: Visit, body: Body | EmbedBody | TaskBody, dialect: str) -> Opened:
        ask = make_ask(visit.request_id, visit.inbound, body, visit.principal, dialect, hops=visit.hops)
        opened = (visit.opens or self.engine.open)(body.request, ask)
        visit.exchange = opened.exchange
        return opened

    async def _once(
        self, visit: Visit, raw: bytes, endpoint: str, serve: Callable[[], Awaitable[Whole]]
    ) -> None:
        """Answer in one piece; a request that was answered before, with what it was answered."""
        key = visit.inbound.idempotency_key
        if key is None:
            whole = await while_there(visit, serve())
        else:
            scope = (visit.principal.key_id or "", endpoint, visit.path_rest)
            whole = await while_there(visit, self.replays.once(key, scope, raw, serve))
        await respond(visit.send, 200, whole.headers, whole.body)

    async def _explain(self, visit: Visit) -> None:
        self._enter(visit, "explain")
        raw = await self._body(visit)
        asked = (visit.inbound, visit.principal, visit.request_id)
        text = await explain(self.engine, self._dialects, raw, *asked)
        await self._ok(visit, text)

    async def _recommend(self, visit: Visit) -> None:
        self._enter(visit, "recommend")
        asking = Asking(visit.inbound, visit.principal, visit.request_id)
        text = await recommend(self.engine, self._dialects, await self._body(visit), asking)
        await self._ok(visit, text)

    async def _models(self, visit: Visit) -> None:
        self._enter(visit, "models")
        dialect, who, name = shown(visit), visit.principal, visit.path_rest
        listing = self._listing
        await self._ok(visit, listing.model(name, who, dialect) if name else listing.models(who, dialect))

    async def _live(self, visit: Visit) -> None:
        await self._ok(visit, b'{"status":"ok"}')

    async def _ready(self, visit: Visit) -> None:
        # The configuration in force is for the operator: where there are keys, on the metrics listener.
        text = self._listing.ready(ready=self.ready, detail=not self._gate.is_closed)
        await self._ok(visit, text, 200 if self.ready else 503)

    def scrapes(self, headers: Iterable[tuple[bytes, bytes]], address: str) -> bool:
        """Tell whether these headers hold a key that may read metrics (SECURITY.md section 6)."""
        try:
            principal = self._gate.principal(read(headers).keys, address)
            check_use(principal, "admin", address)
        except TurnoutError:
            return False
        return principal.key_id is not None and principal.role in SCRAPES

    def readiness(self) -> tuple[int, bytes]:
        """Return status and document of `/readyz` in full."""
        return 200 if self.ready else 503, self._listing.ready(ready=self.ready, detail=True)

    async def _ok(self, visit: Visit, body: bytes, status: int = 200) -> None:
        sent = b"" if visit.scope["method"] == "HEAD" else body
        await respond(visit.send, status, [JSON_TYPE, *self._answers[OPENAI].ids(visit.request_id)], sent)


def _shutting_down() -> TurnoutError:
    return GatewayOverloaded("the gateway is shutting down", retry_after_s=1)
