"""`/{provider}/…`: endpoints that the gateway does not know, with the operator's credential. Floor 6.

Theory of operation.

1. Off unless the configuration names providers and paths, and closed to a key unless its `endpoints` name
   `passthrough`: what goes through here is seen by no strategy and no guard. A caller to whom guards apply,
   or who is held to certain routes, is refused.
2. The address is the provider's own, from the configuration. Of the path only what stands beneath it is the
   client's, and only in a spelling that every reader takes for the same: no `.` or `..`, no empty segment, no
   escaped slash, dot, percent or control (S-06, S-10).
3. Headers go by a list, both ways. The client's credential never goes out; the operator's never comes back,
   not even where a provider repeats it in a body.
4. The answer passes as it comes. Usage is read beside it where the provider's wire format tells it; what it
   does not tell is recorded as unknown, and under a budget a call without a known price is refused (S-93).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from time import monotonic
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from turnout.codecs import strict
from turnout.codecs.base import Codec, Tap
from turnout.config.passthrough import PassthroughConfig
from turnout.engine.limits import DEFAULT_OUTPUT, Worst
from turnout.errors import Forbidden, NotFound, ProviderBadResponse, TurnoutError
from turnout.parts import load_codec
from turnout.server.beneath import Masked, beneath
from turnout.server.endpoints import NOTHING_PASSES, Passing
from turnout.server.http import Disconnected, RawHeaders, read_body
from turnout.server.paths import OPENAI, Found
from turnout.server.till import Spent, Till
from turnout.server.visit import Visit, no_endpoint, while_there
from turnout.transport.base import Response
from turnout.types.ask import Ask
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.principal import Principal
from turnout.types.usage import NanoUsd, Usage, cost

ENDPOINT: Final = "passthrough"
SENT: Final = frozenset({b"accept", b"accept-language", b"content-type", b"openai-beta"})
"""Headers of the client that go out, beside `anthropic-*`."""
RETURNED: Final = ("content-type", "content-disposition", "retry-after", "etag", "last-modified")
"""Headers of the provider that come back."""
MOST_READ: Final = 4 * 1024 * 1024
"""Of an answer whose usage is read."""
REDIRECT, REFUSED = 300, 400
EMPTY: Final = frozenset({204, 304})
"""Answers without a body."""
FIXED: Final = {"anthropic": ((b"anthropic-version", b"2023-06-01"),)}
"""Wire format -> headers that a client may leave out."""
_QUERY = re.compile(rb"[!-\"$-~]*")
_IN_PATH = re.compile(r"models/([^/:]+)")


class _Asked(Struct, frozen=True):
    """What of a body says what it may cost."""

    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None

    @property
    def n_out(self) -> int | None:
        """Output it may have."""
        return self.max_completion_tokens or self.max_output_tokens or self.max_tokens


class Passthrough:
    """The endpoint at one gateway.

    Attributes:
        till: What pays and sends; None = it is off.
    """

    def __init__(self, enter: Callable[[Visit, str], None], ids: Callable[[str], RawHeaders]) -> None:
        self._enter = enter
        self._ids = ids
        self.till: Till | None = None

    def find(self, method: str, path: str) -> Found[Visit] | None:
        """Return the endpoint where a path begins with the name of a provider that is let through."""
        config = self._config()
        if config is None or not config.vendors:
            return None
        name, slash, rest = path[1:].partition("/")
        if not slash or not rest or name not in config.vendors or method not in config.methods:
            return None
        return Found(self.serve, OPENAI, name)

    def opened(self) -> Passing:
        """Return which providers are let through, and by which methods."""
        config = self._config()
        return NOTHING_PASSES if config is None else Passing(config.vendors, tuple(config.methods))

    def _config(self) -> PassthroughConfig | None:
        return None if self.till is None else self.till.built.config.passthrough

    async def serve(self, visit: Visit) -> None:
        """Let one request through."""
        self._enter(visit, ENDPOINT)
        till, config = self.till, self._config()
        assert till is not None
        assert config is not None
        deployment = _deployment(till, visit.path_rest)
        check_caller(till, visit.principal)
        path = beneath(visit.scope["raw_path"], visit.path_rest, deployment.url)
        if not any(fnmatchcase(path, glob) for glob in config.paths):
            raise no_endpoint(visit)
        inbound = visit.inbound
        body = await read_body(
            visit.receive, int(config.max_body_mib * 2**20), inbound.content_length, inbound.content_encoding
        )
        asked = _asked(body, path)
        named = _named(till, visit.path_rest, asked.model)
        check_model(visit.principal, visit.path_rest, asked.model, named)
        await while_there(visit, _Passing(self, till, visit, named or deployment).run(path, body, asked))

    def head(self, visit: Visit, response: Response) -> RawHeaders:
        """Return the headers of an answer."""
        told = [(name.encode(), value.encode("latin-1")) for name, value in response.headers.items()]
        empty = [(b"content-length", b"0")] if response.status in EMPTY else []
        kept = [each for each in told if each[0].decode() in RETURNED]
        return [*kept, *empty, *self._ids(visit.request_id)]


class _Passing:
    """One request on its way."""

    def __init__(self, endpoint: Passthrough, till: Till, visit: Visit, to: Deployment) -> None:
        self._endpoint = endpoint
        self._till = till
        self._visit = visit
        self._to = to
        self._at = datetime.now(UTC)
        self._began = monotonic()
        self._status: int | None = None
        self._ttft_s: float | None = None

    async def run(self, path: str, body: bytes, asked: _Asked) -> None:
        visit, till, to = self._visit, self._till, self._to
        query = visit.scope["query_string"]
        if _QUERY.fullmatch(query) is None:
            raise NotFound("the query holds characters that do not belong there")
        url = f"{to.url}/{path}" + (f"?{query.decode('ascii')}" if query else "")
        http = HttpRequest(visit.scope["method"], url, _headers(visit, to), body)
        ask = Ask(request_id=visit.request_id, principal=visit.principal)
        lease_s = (to.timeouts.total_s or 3600.0) + 60.0
        reserved = await till.reserve(f"{visit.request_id}:p", ask, to, [_worst(body, asked, to)], lease_s)
        reader, error = _Reader(to, path, asked), "client_closed"
        try:
            await self._pass(http, reader)
            error = ""
        except TurnoutError as failure:
            error = failure.row.word
            if self._ttft_s is not None:
                raise Disconnected from failure  # it is cut, so that nobody takes it for whole
            raise
        finally:
            usage = reader.usage
            spent = self._spent(asked, usage, error)
            till.settle(reserved, [spent])
            till.record(visit.principal, spent)

    async def _pass(self, http: HttpRequest, reader: "_Reader") -> None:
        visit, to = self._visit, self._to
        secrets = _secrets(to)
        response = await self._till.send(to, http, self._till.authorise(to), to.timeouts)
        try:
            self._status = response.status
            if REDIRECT <= response.status < REFUSED and response.status not in EMPTY:
                raise ProviderBadResponse("the provider sent the client elsewhere, which is not followed")
            self._ttft_s = monotonic() - self._began
            start = {"status": response.status, "headers": self._endpoint.head(visit, response)}
            await visit.send({"type": "http.response.start", **start})
            masked = Masked(secrets)
            reader.begin(response)
            while data := await response.chunk():
                reader.feed(data)
                if out := masked.feed(data):
                    await visit.send({"type": "http.response.body", "body": out, "more_body": True})
            reader.end()
            await visit.send({"type": "http.response.body", "body": masked.end()})
        finally:
            response.close()

    def _spent(self, asked: _Asked, usage: Usage | None, error: str) -> Spent:
        to = self._to
        is_known = bool(asked.model) and asked.model in (to.upstream_model, to.model.id)
        price = to.model.price if is_known else None
        priced = usage is not None and price is not None
        refused = self._status is not None and self._status >= REFUSED
        nothing = (refused or self._status is None) and usage is None
        return Spent(
            request_id=self._visit.request_id,
            at=self._at,
            endpoint=ENDPOINT,
            dialect="",
            deployment=to.id if is_known else to.vendor.name,
            model=to.model.id if is_known else f"{to.vendor.name}/{asked.model[:128] or '-'}",
            provider=to.vendor.name,
            status=self._status,
            error=error or ("provider_rejected" if refused else None),
            usage=usage,
            cost_nusd=cost(usage, price) if usage and price else NanoUsd(0) if nothing else None,
            cost_state="exact" if priced or nothing else "unknown",
            duration_s=monotonic() - self._began,
            ttft_s=self._ttft_s,
        )


class _Reader:
    """Reads the usage of an answer beside its way to the client. Never fails."""

    def __init__(self, to: Deployment, path: str, asked: _Asked) -> None:
        self.usage: Usage | None = None
        wire = to.vendor.codec
        if wire == "openai_chat" and path.partition("/")[0] == "responses":
            wire = "openai_responses"
        self._codec: Codec = load_codec(wire)
        self._tap: Tap | None = None
        self._body: bytearray | None = None
        self._status = 0

    def begin(self, response: Response) -> None:
        """Look at what kind of answer it is."""
        kind = response.headers.get("content-type", "")
        self._status = response.status
        if response.status // 100 != 2:
            return
        if kind.startswith("text/event-stream"):
            self._tap = self._codec.tap(strip_usage=False)
        elif kind.startswith("application/json"):
            self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in a piece."""
        if self._tap is not None:
            try:
                self._tap.feed(data)
            except TurnoutError:
                self._tap = None
                return
            self.usage = self._tap.usage or self.usage
        elif self._body is not None:
            self._body += data
            if len(self._body) > MOST_READ:
                self._body = None

    def end(self) -> None:
        """Take in that it is whole."""
        if self._body is None:
            return
        body = bytes(self._body)
        try:
            usage: Usage | None = self._codec.glance(HttpResponse(self._status, {}, body)).usage
        except TurnoutError:
            usage = self._of_another(body)
        self.usage = None if usage == Usage() else usage

    def _of_another(self, body: bytes) -> Usage | None:
        """Return what an answer that is none of the format's own says in the format's words."""
        try:
            tap = self._codec.tap(strip_usage=False)
            tap.feed(b"data: " + msgspec.json.format(body, indent=-1) + b"\n\n")
        except (TurnoutError, msgspec.MsgspecError):
            return None
        return tap.usage


def check_caller(till: Till, who: Principal) -> None:
    """Refuse callers who may not go around strategies and guards. Raises `Forbidden`."""
    if who.key_id is not None and ENDPOINT not in who.endpoints:
        raise Forbidden("this key may not use passthrough: its endpoints do not name it")
    if who.routes:
        raise Forbidden("this key is held to certain routes, which passthrough goes around")
    posting = till.built.engine.snapshot.guards
    if posting.of("", Ask(request_id="", principal=who)):
        raise Forbidden("guards apply to this key, which passthrough goes around")


def check_model(who: Principal, provider: str, model: str, named: Deployment | None) -> None:
    """Refuse a model that the key may not use. Raises `Forbidden`."""
    if not who.allow:
        return
    names = {provider} | ({f"{provider}/{model}", model} if model else set())
    if named is not None:
        names.add(named.model.id)
    if not any(fnmatchcase(name, glob) for glob in who.allow for name in names):
        raise Forbidden("this key may not use what the request names")


def _deployment(till: Till, provider: str) -> Deployment:
    found = till.built.engine.snapshot.deployments.values()
    for deployment in found:
        if deployment.vendor.name == provider:
            return deployment
    raise NotFound(f"no model of {provider[:64]} is configured, so nothing is known of where it is")


def _named(till: Till, provider: str, model: str) -> Deployment | None:
    if not model:
        return None
    for deployment in till.built.engine.snapshot.deployments.values():
        if deployment.vendor.name == provider and model in (deployment.upstream_model, deployment.model.id):
            return deployment
    return None


def _asked(body: bytes, path: str) -> _Asked:
    """Read what may be asked of whom. Raises `InvalidRequest` for what two readers could read differently."""
    asked = _Asked()
    if body.lstrip()[:1] == b"{":
        tree = strict.parse(body)
        try:
            asked = msgspec.convert(tree, _Asked)
        except msgspec.ValidationError:
            asked = _Asked(model=str(tree.get("model", "")))
    if not asked.model and (found := _IN_PATH.search(path)):
        return msgspec.structs.replace(asked, model=unquote(found[1]))
    return asked


def _worst(body: bytes, asked: _Asked, to: Deployment) -> Worst:
    if not body:
        return Worst(0, 0, NanoUsd(0))  # it looks at something
    n_in, n_out = len(body), asked.n_out or to.model.max_output or DEFAULT_OUTPUT
    price = to.model.price if asked.model in (to.upstream_model, to.model.id) else None
    worst = None if price is None else cost(Usage(input_uncached=n_in, output_text=n_out), price)
    return Worst(n_in, n_out, worst)


def _headers(visit: Visit, to: Deployment) -> tuple[tuple[bytes, bytes], ...]:
    kept = {name: value for name, value in visit.scope["headers"] if name in SENT}
    kept |= dict(visit.inbound.dialect_headers)
    for name, value in to.vendor.quirks.extra_headers:
        kept.setdefault(name.lower().encode(), value.encode())
    for header, fixed in FIXED.get(to.vendor.codec, ()):
        kept.setdefault(header, fixed)
    return (*kept.items(), (b"x-turnout-hop", visit.hops)) if visit.hops else tuple(kept.items())


def _secrets(to: Deployment) -> tuple[bytes, ...]:
    held = [each.secret for each in (to.credential, *to.spare) if each is not None]
    texts = [secret.reveal().encode("utf-8", "surrogateescape") for secret in held if secret is not None]
    return tuple(text for text in texts if len(text) >= 8)
