"""Hands a batch to the provider's own batch endpoint, where that is cheaper. Floor 6.

Theory of operation.

1. A batch goes over only as a whole, and only before our own engine has asked anybody: every line is a
   conversation, goes to one vendor under one credential, loses nothing on the way, and costs less there than
   in the cheapest hour here; no guard applies; and the completion window is as long as the provider's own.
2. What all lines may cost at the batch price is set aside first. What is about to be sent is noted before it
   is: a process that dies between sending and noting the answer looks for the batch by its mark, and gives
   the lines to our own engine where there is no telling.
3. A refusal, or a batch that is lost, gives the lines back to our own engine, which answers them as if
   nothing had been tried. So does every line that the provider leaves unanswered in time.
4. Answers are written line by line before money is settled and Records are left: each of the three can be
   done again and is the same.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from time import time
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.base import Codec, Dialect, Summary
from turnout.config.files import BatchesConfig
from turnout.engine.limits import Worst, worst_case
from turnout.errors import TurnoutError
from turnout.parts import load_codec
from turnout.server.batch_upstream import OWN, Answered, Failed, Own, Sending
from turnout.server.batch_upstream import WINDOW_S as OWN_WINDOW_S
from turnout.server.deferred import Deferred
from turnout.server.ids import new_request_id
from turnout.server.paths import dialect_of
from turnout.server.till import Reserved, Spent, Till
from turnout.stores.files import Batch, Batches, Handover, Line, Result
from turnout.stores.queue import Sent
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.http import HttpResponse
from turnout.types.principal import Principal
from turnout.types.usage import NanoUsd, Usage, cost

log = logging.getLogger("turnout.batches")

LONGEST_S: Final = 300.0
GROWTH: Final = 1.5
SPARE_S: Final = 3600.0
TRIED = Handover(deployment="", deployments=(), request_ids=(), failed=True)
"""Of a batch that stays here."""


class Planned(Struct, frozen=True):
    """A line as it would be sent."""

    line: Line
    deployment: Deployment
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    worst: Worst


class NativeBatches:
    """Batches of this process that are, or may go, elsewhere."""

    def __init__(
        self,
        batches: Batches,
        deferred: Deferred,
        till: Till,
        who: Callable[[str], Principal],
        config: Callable[[], BatchesConfig],
    ) -> None:
        """Prepare.

        Args:
            batches: Where batches are kept.
            deferred: Reads lines as their endpoint does, and knows whom they would go to.
            till: Pays and sends.
            who: Whom the id of a key stands for.
            config: What is allowed.
        """
        self._batches = batches
        self._deferred = deferred
        self._till = till
        self._who = who
        self._config = config
        self._looks: dict[str, tuple[float, float]] = {}
        """Batch -> loop time of the next look, and the pause after it."""
        self._told_to_stop: set[str] = set()

    async def step(self, holder: str, batch: Batch) -> bool:
        """Go one step; False = the batch is our own engine's."""
        handover = batch.handover
        if handover is None:
            if self._config().native == "off" or batch.cancelling_at is not None:
                return False
            return await self._begin(holder, batch)
        if handover.failed:
            return False
        loop = asyncio.get_running_loop()
        at, pause_s = self._looks.get(batch.id, (0.0, self._config().poll_s))
        stops = self._stops(batch) and batch.id not in self._told_to_stop
        if loop.time() < at and not stops:
            return True
        self._looks[batch.id] = (loop.time() + pause_s, min(pause_s * GROWTH, LONGEST_S))
        try:
            return await self._look(holder, batch, handover)
        except Failed as failure:
            log.warning("batch %s comes back: %s", batch.id, failure)
            return await self._give_up(holder, batch)
        except TurnoutError as error:
            log.info("batch %s is not reached: %s", batch.id, error.row.word)
            lost = (datetime.now(UTC) - batch.deadline_at).total_seconds() > SPARE_S
            return await self._give_up(holder, batch) if lost else True

    def _stops(self, batch: Batch) -> bool:
        return batch.cancelling_at is not None or datetime.now(UTC) >= batch.deadline_at

    async def _begin(self, holder: str, batch: Batch) -> bool:
        """Hand a batch over, if it is one that goes."""
        planned = await self._plan(batch)
        if planned is None:
            await self._save(holder, batch, TRIED)
            return False
        handover = Handover(
            deployment=planned[0].deployment.id,
            deployments=tuple(each.deployment.id for each in planned),
            request_ids=tuple(new_request_id() for _ in planned),
        )
        reserved: list[Reserved] = []
        try:
            for group in _groups(planned):
                reserved.append(await self._reserve(batch, group, len(reserved)))
            handover = msgspec.structs.replace(
                handover, reserved=tuple(",".join(each.accounts) for each in reserved), sent=True
            )
            if not await self._save(holder, batch, handover):
                return True
            batch = msgspec.structs.replace(batch, handover=handover)
            return await self._send(holder, batch, handover, planned)
        except (TurnoutError, Failed) as failure:
            log.info("batch %s is not handed over: %s", batch.id, failure)
            for each in reserved:
                self._till.settle(each, ())
            await self._save(holder, batch, TRIED)
            return False

    async def _reserve(self, batch: Batch, group: Sequence[Planned], n: int) -> Reserved:
        ask = Ask(request_id=batch.id, principal=self._who(batch.key_id))
        return await self._till.reserve(
            _reservation(batch, n), ask, group[0].deployment, [each.worst for each in group], _lease_s(batch)
        )

    async def _send(self, holder: str, batch: Batch, handover: Handover, planned: Sequence[Planned]) -> bool:
        own = self._own(planned[0].deployment)
        lines = [(each.line.n, each.body) for each in planned]
        sending = Sending(mark=batch.id, lines=lines, headers=planned[0].headers)
        input_file, upstream_id = await own.create(sending)
        handover = msgspec.structs.replace(handover, id=upstream_id, input_file=input_file)
        await self._save(holder, batch, handover)
        loop, pause_s = asyncio.get_running_loop(), self._config().poll_s
        self._looks[batch.id] = (loop.time() + pause_s, pause_s * GROWTH)
        log.info("batch %s: %d lines handed over as %s", batch.id, len(planned), upstream_id)
        return True

    async def _look(self, holder: str, batch: Batch, handover: Handover) -> bool:
        own = self._own(self._deployment(handover.deployment))
        if not handover.id:  # the process that sent it died before it knew the answer
            found = await own.find(batch.id)
            if found is None:
                raise Failed("it is not known whether it arrived")
            handover = msgspec.structs.replace(handover, id=found)
            await self._save(holder, batch, handover)
        if self._stops(batch) and batch.id not in self._told_to_stop:
            self._told_to_stop.add(batch.id)
            with suppress(Failed):  # it has ended meanwhile
                await own.cancel(handover.id)
        done = await own.done(handover.id)
        if done is None:
            return True
        await self._take_in(holder, batch, handover, [each async for each in own.answers(handover.id, done)])
        await own.forget(handover.input_file)
        return False

    async def _take_in(
        self, holder: str, batch: Batch, handover: Handover, answers: Sequence[Answered]
    ) -> None:
        """Write down what the provider answered."""
        who, spent = self._payer(batch), dict[int, Spent]()
        bodies = {line.n: line.body for line in await asyncio.to_thread(self._batches.lines, batch.id, 0, -1)}
        results: list[tuple[int, Result]] = []
        for each in answers:
            if not 0 < each.n <= len(handover.deployments) or each.n in spent:
                continue
            deployment = self._deployment(handover.deployments[each.n - 1])
            request_id = handover.request_ids[each.n - 1]
            spent[each.n] = _spent(batch, each, deployment, request_id)
            if bodies.get(each.n):
                results.append((each.n, await self._result(batch, each, deployment, bodies[each.n])))
        await asyncio.to_thread(self._batches.settle, batch.id, results)
        for one in spent.values():
            self._till.record(who, one)
        self._settle(batch, handover, spent)
        await self._save(holder, batch, msgspec.structs.replace(handover, failed=True))
        self._looks.pop(batch.id, None)
        self._told_to_stop.discard(batch.id)

    def _payer(self, batch: Batch) -> Principal:
        """Return whose batch it is, also when the key works no more."""
        try:
            return self._who(batch.key_id)
        except TurnoutError:
            return Principal(key_id=batch.key_id, organisation=batch.organisation, customer=batch.customer)

    def _settle(self, batch: Batch, handover: Handover, spent: Mapping[int, Spent]) -> None:
        names = list(dict.fromkeys(handover.deployments))
        for at, accounts in enumerate(handover.reserved):
            of = [one for n, one in spent.items() if handover.deployments[n - 1] == names[at]]
            reserved = Reserved(
                _reservation(batch, at), tuple(filter(None, accounts.split(","))), _lease_s(batch)
            )
            self._till.settle(reserved, of)

    async def _result(self, batch: Batch, answered: Answered, to: Deployment, body: bytes) -> Result:
        """Return a provider's answer in the shape of the batch's endpoint."""
        assert batch.handover is not None
        request_id = batch.handover.request_ids[answered.n - 1]
        codec, dialect = load_codec(to.vendor.codec), self._dialect(batch)
        http = HttpResponse(answered.status, {}, answered.body)
        try:
            if answered.status != 200:
                raise codec.error(http)
            if codec.wire == dialect.wire:
                return Result("succeeded", 200, request_id, codec.glance(http).body)
            planned = await self._deferred.read(Sent(batch.endpoint, batch.headers, body), batch.key_id)
            assert isinstance(planned.request, ChatRequest)
            summary = Summary(request_id=request_id, model=to.model.id, created=int(time()))
            return Result(
                "succeeded", 200, request_id, dialect.render(codec.decode(http), planned.request, summary)
            )
        except TurnoutError as error:
            status, told = dialect.error(error, request_id)
            return Result("errored", status, request_id, told)

    async def _give_up(self, holder: str, batch: Batch) -> bool:
        """Let our own engine answer."""
        handover = batch.handover
        assert handover is not None
        self._settle(batch, handover, {})
        self._looks.pop(batch.id, None)
        await self._save(holder, batch, msgspec.structs.replace(handover, failed=True))
        return False

    async def _save(self, holder: str, batch: Batch, handover: Handover) -> bool:
        changed = msgspec.structs.replace(batch, handover=handover)
        return await asyncio.to_thread(self._batches.save, holder, changed)

    async def _plan(self, batch: Batch) -> list[Planned] | None:
        """Return the lines as they would be sent; None = the batch stays here."""
        window_s = (batch.deadline_at - batch.created_at).total_seconds()
        if window_s < OWN_WINDOW_S or self._till.built.engine.snapshot.guards.posts:
            return None
        if await asyncio.to_thread(self._batches.running, batch.id):
            return None
        planned: list[Planned] = []
        for line in await asyncio.to_thread(self._batches.lines, batch.id, 0, -1):
            try:
                found = await self._planned(batch, line)
            except (TurnoutError, Failed):
                return None  # our own engine says of the line what is wrong with it
            first = planned[0].deployment if planned else None
            if found is None or (first is not None and not _alike(first, found.deployment)):
                return None
            if first is not None and OWN[first.vendor.batches].one_model and first.id != found.deployment.id:
                return None
            planned.append(found)
        return planned or None

    async def _planned(self, batch: Batch, line: Line) -> Planned | None:
        if not line.body:
            return None
        read = await self._deferred.read(Sent(batch.endpoint, batch.headers, line.body), batch.key_id)
        request = read.request
        if not isinstance(request, ChatRequest) or request.stream or read.ask.explain != "none":
            return None
        decision = await self._deferred.decide(read, datetime.now(UTC))
        to = self._deployment(decision.chosen[0])
        share = _share(to)
        if share is None or to.vendor.batches not in OWN or to.vendor.host is not None:
            return None
        codec: Codec = load_codec(to.vendor.codec)
        wire = read.ask.wire
        if wire is not None and wire.format == codec.wire:
            encoded = codec.forward(wire, to, stream=False)
        else:
            encoded = codec.encode(request, to)
        if encoded.dropped:
            return None
        worst = worst_case(request, to)
        known = worst.cost_nusd
        cheap = Worst(worst.n_in, worst.n_out, None if known is None else NanoUsd(ceil(known * share)))
        headers = tuple(each for each in encoded.http.headers if each[0] != b"content-type")
        return Planned(line, to, encoded.http.body, headers, cheap)

    def _own(self, to: Deployment) -> Own:
        alone = msgspec.structs.replace(to, spare=())  # what one credential sent, no other can see
        return OWN[to.vendor.batches](self._till, alone, self._till.authorise(alone))

    def _deployment(self, name: str) -> Deployment:
        found = self._till.built.engine.snapshot.deployments.get(name)
        if found is None:
            raise Failed(f"deployment {name} is not configured any more")
        return found

    def _dialect(self, batch: Batch) -> Dialect:
        return self._till.built.dialects[dialect_of(batch.endpoint)]


def _share(to: Deployment) -> float | None:
    """Return the batch price as a share of the plain one; None = it is not cheaper."""
    price = to.model.price
    share = None if price is None else price.batch_share
    here = min((slot.price_factor for slot in to.slots), default=1.0)
    return share if share is not None and share < here else None


def _alike(one: Deployment, other: Deployment) -> bool:
    return (one.vendor, one.url, one.credential) == (other.vendor, other.url, other.credential)


def _groups(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Return the lines by deployment, in the order in which these come first."""
    by: dict[str, list[Planned]] = {}
    for each in planned:
        by.setdefault(each.deployment.id, []).append(each)
    return list(by.values())


def _reservation(batch: Batch, n: int) -> str:
    return f"{batch.id}:b{n}"


def _lease_s(batch: Batch) -> float:
    left_s = (batch.deadline_at - datetime.now(UTC)).total_seconds()
    return max(left_s, 0.0) + SPARE_S


def _spent(batch: Batch, answered: Answered, to: Deployment, request_id: str) -> Spent:
    """Return what a line came to, at the batch price."""
    codec = load_codec(to.vendor.codec)
    http = HttpResponse(answered.status, {}, answered.body)
    usage: Usage | None = None
    error: str | None = None
    upstream_id = finish = None
    try:
        if answered.status != 200:
            raise codec.error(http)
        seen = codec.glance(http)
        usage, finish, upstream_id = seen.usage, seen.finish, seen.upstream_id
    except TurnoutError as failure:
        error = failure.row.word
    price, share = to.model.price, _share(to)
    nusd = NanoUsd(0)
    if usage is not None and price is not None:
        nusd = NanoUsd(ceil(cost(usage, price) * (1.0 if share is None else share)))
    return Spent(
        request_id=request_id,
        at=batch.created_at,
        endpoint="chat",
        dialect=dialect_of(batch.endpoint),
        deployment=to.id,
        model=to.model.id,
        provider=to.vendor.name,
        status=answered.status,
        error=error,
        usage=usage,
        cost_nusd=nusd,
        cost_state="exact",
        finish=finish,
        upstream_id=upstream_id,
        metadata={"batch": batch.id},
    )
