"""The data plane: raw ASGI in front of the engine. Floor 6.

Theory of operation. One dictionary maps (method, path) to an endpoint object; aliases map to the same
object, so that there is one authorisation check per endpoint and nothing reads a URL as text (S-06).
Everything an endpoint raises becomes an answer in the dialect of its path: a `TurnoutError` as itself, a
client that left as nothing, anything else as `internal`, with the request id to find it by.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from turnout.codecs.base import Addressed, Body, Carries, Dialect, Embeds
from turnout.engine.engine import Engine
from turnout.errors import GatewayOverloaded, Internal, InvalidRequest, NotFound, TurnoutError
from turnout.server.answer import Answer
from turnout.server.asking import make_ask
from turnout.server.auth import Gate
from turnout.server.explain import explain
from turnout.server.http import (
    JSON_TYPE,
    Disconnected,
    HangUp,
    RawHeaders,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
)
from turnout.server.ids import new_request_id
from turnout.server.inbound import Inbound, read
from turnout.server.listing import Listing
from turnout.server.settings import ServerSettings
from turnout.types.principal import Principal

log = logging.getLogger("turnout.server")

Endpoint = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One HTTP request at the gateway."""

    __slots__ = ("inbound", "path_rest", "principal", "receive", "request_id", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.request_id = new_request_id()
        self.path_rest = ""
        self.inbound = Inbound()
        self.principal = Principal()


class Gateway:
    """The ASGI application."""

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect], settings: ServerSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.ready = True
        """False while draining: `/readyz` says so and load balancers turn away."""
        self.n_open = 0
        self._gate = Gate(settings.keys)
        self._dialects = dialects
        self._answers = {
            name: Answer(engine, dialect, keep_alive_s=settings.keep_alive_s)
            for name, dialect in dialects.items()
        }
        self._listing = Listing(engine)
        self._exact, self._prefixes = self._table()

    def rekey(self) -> None:
        """Take over the keys of changed settings."""
        self._gate = Gate(self.settings.keys)

    def _table(
        self,
    ) -> tuple[dict[tuple[str, str], tuple[Endpoint, str]], list[tuple[str, str, Endpoint, str]]]:
        """Return exact paths, and prefixes whose rest is an id; each with the dialect its errors speak."""
        chat, embed = self._chat("openai_chat"), self._embeddings
        exact: dict[tuple[str, str], tuple[Endpoint, str]] = {}
        prefixes: list[tuple[str, str, Endpoint, str]] = []
        for base in ("/v1", "", "/openai/v1", "/api/v1"):
            exact["POST", f"{base}/chat/completions"] = (chat, "openai_chat")
            exact["POST", f"{base}/embeddings"] = (embed, "openai_chat")
            exact["GET", f"{base}/models"] = (self._models, "openai_chat")
            prefixes.append(("GET", f"{base}/models/", self._model, "openai_chat"))
        for base in ("/v1", "", "/anthropic/v1"):
            exact["POST", f"{base}/messages"] = (self._chat("anthropic"), "anthropic")
        for base in ("/v1beta", "/v1"):
            prefixes.append(("POST", f"{base}/models/", self._generate, "gemini"))
        exact["POST", "/v1/explain"] = (self._explain, "openai_chat")
        for method in ("GET", "HEAD"):
            exact[method, "/livez"] = (self._live, "openai_chat")
            exact[method, "/readyz"] = (self._ready, "openai_chat")
            exact[method, "/"] = (self._live, "openai_chat")
            exact[method, "/api/hello"] = (self._live, "openai_chat")
        return exact, prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] == "http":
            await self._visit(Visit(scope, receive, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _visit(self, visit: Visit) -> None:
        found = self._exact.get((visit.scope["method"], visit.scope["path"])) or self._by_prefix(visit)
        endpoint, dialect = found if found is not None else (self._unknown, "openai_chat")
        self.n_open += 1
        try:
            visit.inbound = read(visit.scope["headers"])
            await endpoint(visit)
        except TurnoutError as error:
            await self._fail(visit, dialect, error)
        except Disconnected:
            pass
        except Exception as error:
            # The server boundary: a defect becomes an answer and a log entry without request data (S-64).
            log.exception("defect while serving %s", visit.request_id)
            failure = Internal("an internal error occurred; the request id finds it in the log")
            failure.__cause__ = error
            await self._fail(visit, dialect, failure)
        finally:
            self.n_open -= 1

    def _by_prefix(self, visit: Visit) -> tuple[Endpoint, str] | None:
        method, path = visit.scope["method"], visit.scope["path"]
        for want, prefix, endpoint, dialect in self._prefixes:
            if method == want and path.startswith(prefix) and len(path) > len(prefix):
                visit.path_rest = path[len(prefix) :]
                return endpoint, dialect
        return None

    async def _fail(self, visit: Visit, dialect: str, error: TurnoutError) -> None:
        answer = self._answers.get(dialect) or self._answers["openai_chat"]
        status, headers, body = answer.failure(error, visit.request_id)
        if dialect == "anthropic":
            headers.append((b"request-id", visit.request_id.encode()))
        await respond(visit.send, status, headers, body)

    async def _body(self, visit: Visit) -> bytes:
        inbound = visit.inbound
        if inbound.content_type and not inbound.content_type.lower().startswith("application/json"):
            raise InvalidRequest("content-type must be application/json", param="content-type")
        return await read_body(
            visit.receive, self.settings.max_body_bytes, inbound.content_length, inbound.content_encoding
        )

    def _enter(self, visit: Visit) -> None:
        """Check who asks, and whether there is room."""
        visit.principal = self._gate.principal(visit.inbound.keys)
        if self.n_open > self.settings.max_open:
            raise GatewayOverloaded("too many requests are open at this gateway", retry_after_s=1)
        hops = visit.inbound.hops
        if hops is not None:
            self._gate.check_loop(hops)

    def _chat(self, name: str) -> Endpoint:
        dialect, answer = self._dialects.get(name), self._answers.get(name)
        if dialect is None or answer is None:
            return self._unknown

        async def serve(visit: Visit) -> None:
            self._enter(visit)
            body = dialect.parse(await self._body(visit))
            if visit.inbound.dialect_headers and isinstance(dialect, Carries):
                body = dialect.carry(body, visit.inbound.dialect_headers)
            await self._serve(visit, body, answer, name)

        return serve

    async def _generate(self, visit: Visit) -> None:
        model, _, verb = visit.path_rest.rpartition(":")
        dialect = self._dialects.get("gemini")
        if (
            not isinstance(dialect, Addressed)
            or not model
            or verb not in ("generateContent", "streamGenerateContent")
        ):
            raise NotFound(f"no such endpoint: POST {visit.scope['path'][:200]}")
        self._enter(visit)
        body = dialect.parse_call(await self._body(visit), model=model, stream=verb[0] == "s")
        await self._serve(visit, body, self._answers["gemini"], "gemini")

    async def _serve(self, visit: Visit, body: Body, answer: Answer, dialect: str) -> None:
        ask = make_ask(visit.request_id, visit.inbound, body, visit.principal, dialect)
        opened = self.engine.open(body.request, ask)
        hang_up = HangUp(visit.receive)
        try:
            await answer.send(opened, visit.send)
        except asyncio.CancelledError:
            if not hang_up.gone:
                raise
        finally:
            hang_up.stop()

    async def _embeddings(self, visit: Visit) -> None:
        self._enter(visit)
        dialect, answer = self._dialects["openai_chat"], self._answers["openai_chat"]
        assert isinstance(dialect, Embeds)
        body = dialect.parse_embed(await self._body(visit))
        request = body.request
        ask = make_ask(visit.request_id, visit.inbound, body, visit.principal, "openai_chat")
        opened = self.engine.open(request, ask)
        hang_up = HangUp(visit.receive)
        try:
            async with opened as reply:
                vectors = await reply.vectors()
            exchange = opened.exchange
            text = dialect.render_embed(vectors, request, answer.summary(exchange, reply, final=True))
            headers = [JSON_TYPE, *answer.head(exchange, reply), *answer.tail(exchange)]
            await respond(visit.send, 200, headers, text)
        except asyncio.CancelledError:
            if not hang_up.gone:
                raise
        finally:
            hang_up.stop()

    async def _explain(self, visit: Visit) -> None:
        self._enter(visit)
        raw = await self._body(visit)
        text = explain(self.engine, self._dialects, raw, visit.inbound, visit.principal, visit.request_id)
        await self._ok(visit, text)

    async def _models(self, visit: Visit) -> None:
        self._enter(visit)
        await self._ok(visit, self._listing.models(visit.principal, anthropic=_speaks_anthropic(visit)))

    async def _model(self, visit: Visit) -> None:
        self._enter(visit)
        text = self._listing.model(visit.path_rest, visit.principal, anthropic=_speaks_anthropic(visit))
        await self._ok(visit, text)

    async def _live(self, visit: Visit) -> None:
        await self._ok(visit, b'{"status":"ok"}')

    async def _ready(self, visit: Visit) -> None:
        status = 200 if self.ready else 503
        await respond(visit.send, status, [JSON_TYPE], self._listing.ready(ready=self.ready))

    async def _ok(self, visit: Visit, body: bytes) -> None:
        rid = visit.request_id.encode()
        headers: RawHeaders = [JSON_TYPE, (b"x-turnout-request-id", rid), (b"x-request-id", rid)]
        await respond(visit.send, 200, headers, b"" if visit.scope["method"] == "HEAD" else body)

    async def _unknown(self, visit: Visit) -> None:
        raise NotFound(f"no such endpoint: {visit.scope['method'][:16]} {visit.scope['path'][:200]}")


def _speaks_anthropic(visit: Visit) -> bool:
    return any(name == b"anthropic-version" for name, _ in visit.inbound.dialect_headers)
