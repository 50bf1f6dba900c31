"""Tokens counted by the provider that would be asked. Floor 6.

Theory of operation (ADR 153).

1. A count is never refused for a counter's sake: whatever stands in its way (no counter, a limit, a failure,
   a time limit), the gateway's own estimate is told, and a header says which of both it is.
2. What guards would look at is not sent: they might have taken something out first.
3. A call of a counter costs nothing and moves no health: providers limit it apart from answers. It takes one
   request from the quotas of its caller and of its provider, and leaves a Record.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Final

from turnout.codecs.base import Body, Codec
from turnout.codecs.counting import counted, counting, has_counter
from turnout.codecs.hosts import compose
from turnout.config.counting import CountingConfig
from turnout.engine.limits import Worst
from turnout.errors import TurnoutError
from turnout.parts import load_codec
from turnout.server.till import Spent, Till
from turnout.server.visit import Visit
from turnout.types.ask import Ask
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, HttpResponse, Timeouts
from turnout.types.record import Decision
from turnout.types.usage import NanoUsd

ENDPOINT: Final = "count"
NOTHING: Final = Worst(0, 0, NanoUsd(0))
LEASE_S: Final = 120.0


class Counters:
    """Asks providers' counters for one process."""

    def __init__(self, till: Till) -> None:
        self._till = till

    async def count(self, visit: Visit, body: Body, ask: Ask, decision: Decision) -> int | None:
        """Return what the provider counts; None = it was not asked, or did not tell."""
        built = self._till.built
        config, known = built.config.counting, built.engine.snapshot.deployments
        to = known.get(decision.chosen[0]) if decision.chosen else None
        if to is None or to.vendor.name not in config.providers or not has_counter(to):
            return None
        if ask.extra.get("guardrails") or built.engine.snapshot.guards.of(decision.route, ask):
            return None
        try:
            http = _written(body, to, visit.hops)
            reserved = await self._till.reserve(f"{visit.request_id}:c", ask, to, [NOTHING], LEASE_S)
        except TurnoutError:
            return None
        call = _Call(self._till, visit, to)
        try:
            return await call.run(http, config)
        finally:
            spent = call.spent(ask.dialect)
            self._till.settle(reserved, [spent])
            self._till.record(visit.principal, spent)


def _written(body: Body, to: Deployment, hops: bytes) -> HttpRequest:
    """Return the call that counts a request. Raises what writing the request itself raises."""
    codec = _codec(to)
    if body.wire.format == codec.wire:
        call = codec.forward(body.wire, to, stream=False).http
    else:
        call = codec.encode(body.request, to).http
    found = counting(call, to)
    return HttpRequest(found.method, found.url, (*found.headers, (b"x-turnout-hop", hops)), found.body)


def _codec(to: Deployment) -> Codec:
    codec = load_codec(to.vendor.codec)
    return codec if to.vendor.host is None else compose(to.vendor.host, codec)


class _Call:
    """One call of a counter."""

    def __init__(self, till: Till, visit: Visit, to: Deployment) -> None:
        self._till = till
        self._visit = visit
        self._to = to
        self._at = datetime.now(UTC)
        self._began = monotonic()
        self._status: int | None = None
        self._error = "client_closed"

    async def run(self, http: HttpRequest, config: CountingConfig) -> int | None:
        to, most = self._to, config.timeout_s
        timeouts = Timeouts(connect_s=most, first_byte_s=most, idle_s=most, total_s=most)
        try:
            response = await self._till.send(to, http, self._till.authorise(to), timeouts)
            try:
                self._status = response.status
                told = HttpResponse(response.status, response.headers, await response.read())
            finally:
                response.close()
            if told.status // 100 != 2:
                raise _codec(to).error(told)
            n_tokens = counted(told, to)
        except TurnoutError as error:
            self._error = error.row.word
            return None
        self._error = ""
        return n_tokens

    def spent(self, dialect: str) -> Spent:
        to = self._to
        return Spent(
            request_id=self._visit.request_id,
            at=self._at,
            endpoint=ENDPOINT,
            dialect=dialect,
            deployment=to.id,
            model=to.model.id,
            provider=to.vendor.name,
            status=self._status,
            error=self._error or None,
            cost_nusd=NanoUsd(0),
            cost_state="exact",
            duration_s=monotonic() - self._began,
        )
