import asyncio
import contextlib

import msgspec
import pytest

from turnout.engine.exchange import Call
from turnout.engine.race import LOST
from turnout.engine.reply import Reply, VectorsReply, WholeReply
from turnout.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    InvalidRequest,
    ProviderFailed,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnreachable,
    StreamInterrupted,
    TimeoutTotal,
    TimeoutTtft,
    UnsupportedParameter,
)
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.retry import RetryConfig, RetryLayer
from turnout.stores.live import Fleet
from turnout.testing.clock import now
from turnout.testing.layer import ACME, ANSWER, QUESTION, Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.chat import Facts
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.record import Attempt
from turnout.types.usage import Usage

STREAMED = msgspec.structs.replace(QUESTION, stream=True)
PRICELESS = msgspec.structs.replace(ACME, model=msgspec.structs.replace(ACME.model, price=None))
OK = Attempt(
    n=1,
    deployment="acme/small",
    model="acme/small",
    provider="acme",
    start_s=0.0,
    ttft_s=0.0,
    duration_s=0.0,
    outcome="ok",
    committed=True,
    usage=ANSWER.usage,
    cost_nusd=1400,
    cost_state="exact",
    upstream_id="chatcmpl-1",
)
"""10 tokens in at 0.1 USD and 1 token out at 0.4 USD per million."""


class Streaming(Reply):
    """A reply that is read in steps of one second."""

    def __init__(self, *, express=False):
        super().__init__(ACME, express=express)

    async def response(self):
        raise NotImplementedError

    async def events(self):
        raise NotImplementedError
        yield

    async def read(self, seconds, text=0, usage=None):
        await asyncio.sleep(seconds)
        self.n_text += text
        self.usage = usage or self.usage


def call_for(request=QUESTION, deployment=ACME, *, started=0.0, **ask):
    exchange = make_exchange(request, Ask(request_id="req_1", **ask), started=started)
    return make_call(exchange, deployment, now=now())


async def attempt(script, call, fleet=None):
    async with MeasureLayer(fleet or Fleet(), now)(script)(call):
        pass


def changed(**fields):
    return msgspec.structs.replace(OK, **fields)


async def test_a_complete_answer():
    call, fleet = call_for(), Fleet()
    await attempt(Scripted(Turn(takes_s=2.0)), call, fleet)
    assert call.exchange.attempts == [changed(ttft_s=2.0, duration_s=2.0)]
    stats = fleet.stats(ACME.id, now())
    assert (stats.n_observed, stats.error_ratio, stats.in_flight) == (1, 0.0, 0)
    assert (stats.ttft_p50_s, stats.total_p50_s) == (None, pytest.approx(2.0, rel=0.021))
    assert stats.tokens_per_s == pytest.approx(0.5, rel=0.021)


async def test_a_stream_read_to_its_end():
    call, fleet = call_for(STREAMED, started=-1.0), Fleet()
    reply = Streaming(express=True)
    async with MeasureLayer(fleet, now)(Scripted(Turn(reply, takes_s=2.0)))(call):
        assert fleet.stats(ACME.id, now()).in_flight == 1
        await reply.read(4.0, usage=Usage(input_uncached=10, output_text=80))
        reply.done = True
    assert call.exchange.attempts == [
        changed(
            start_s=1.0,
            ttft_s=2.0,
            duration_s=6.0,
            usage=Usage(input_uncached=10, output_text=80),
            cost_nusd=33_000,
            express=True,
            upstream_id=None,
        )
    ]
    stats = fleet.stats(ACME.id, now())
    assert stats.ttft_p50_s == pytest.approx(2.0, rel=0.021)
    assert stats.total_p50_s == pytest.approx(6.0, rel=0.021)
    assert stats.tokens_per_s == pytest.approx(20.0, rel=0.021)
    assert stats.in_flight == 0


FAILED = changed(
    ttft_s=None, outcome="failed", committed=False, usage=None, cost_nusd=0, upstream_id=None, error="?"
)
GUESSED = Usage(input_uncached=4, output_text=0)
"""13 characters."""


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (ProviderFailed("boom"), 500, {"error": "provider_error", "status": 500}),
        (ProviderRateLimited("slow"), 429, {"error": "provider_rate_limited", "status": 429}),
        (ProviderRateLimited("slow"), 200, {"error": "provider_rate_limited", "status": 200}),
        (InvalidRequest("no"), 400, {"error": "invalid_request", "status": 400}),
        (ProviderUnreachable("gone"), None, {"error": "provider_unreachable"}),
        (UnsupportedParameter("tools"), None, {"error": "unsupported_parameter"}),
        (
            TimeoutTtft("silent"),
            None,
            {
                "error": "timeout_ttft",
                "usage": GUESSED,
                "usage_estimated": True,
                "cost_nusd": 400,
                "cost_state": "estimated",
            },
        ),
        (
            StreamInterrupted("cut"),
            200,
            {
                "error": "stream_interrupted",
                "status": 200,
                "usage": GUESSED,
                "usage_estimated": True,
                "cost_nusd": 400,
                "cost_state": "estimated",
            },
        ),
    ],
)
async def test_a_failure_before_commit_is_free_only_if_the_upstream_refused(error, status, expected):
    call = call_for()
    call.status = status
    with pytest.raises(type(error)):
        await attempt(Scripted(Turn(error=error)), call)
    assert call.exchange.attempts == [msgspec.structs.replace(FAILED, **expected)]


async def test_a_defect_is_recorded_as_internal():
    call = call_for()
    with pytest.raises(RuntimeError):
        await attempt(Scripted(Turn(error=RuntimeError("bug"))), call)
    assert [(each.outcome, each.error) for each in call.exchange.attempts] == [("failed", "internal")]


async def test_only_failures_of_the_deployment_move_its_error_ratio():
    fleet = Fleet()
    for error in (
        ProviderFailed("boom"),
        InvalidRequest("no"),
        RuntimeError("bug"),
        ProviderRateLimited("s"),
        ContentFiltered("no"),
        ProviderRejected("no"),
        ContextLengthExceeded("no"),
    ):
        with pytest.raises(type(error)):
            await attempt(Scripted(Turn(error=error)), call_for(), fleet)
    stats = fleet.stats(ACME.id, now())
    assert (stats.n_observed, stats.error_ratio) == (1, 1.0)
    assert fleet.of(ACME.id).last_error == "provider_error"


@pytest.mark.parametrize(
    "refusal", [ProviderRateLimited, ContentFiltered, ProviderRejected, ContextLengthExceeded, InvalidRequest]
)
async def test_refusals_demote_nobody(refusal):
    fleet = Fleet()
    for at in range(200):
        turn = Turn(error=refusal("no")) if at % 2 else Turn(takes_s=0.1)
        with contextlib.suppress(refusal):
            await attempt(Scripted(turn), call_for(), fleet)
    stats = fleet.stats(ACME.id, now())
    assert (stats.n_observed, stats.error_ratio, stats.demoted, stats.state) == (100, 0.0, False, "closed")


async def test_failures_demote():
    fleet = Fleet()
    for at in range(200):
        turn = Turn(takes_s=0.1, error=ProviderFailed("boom") if at % 10 == 0 else None)
        with contextlib.suppress(ProviderFailed):
            await attempt(Scripted(turn), call_for(), fleet)
    assert fleet.stats(ACME.id, now()).demoted


async def test_the_first_content_of_a_stream_is_known_before_its_end():
    call, fleet = call_for(STREAMED), Fleet()
    async with MeasureLayer(fleet, now)(Scripted(Turn(Streaming(), takes_s=2.0)))(call):
        stats = fleet.stats(ACME.id, now())
        assert (stats.ttft_recent_s, stats.n_observed, stats.total_p50_s) == (2.0, 1, None)


async def test_a_probe_moves_health_and_no_latency():
    fleet = Fleet()
    for error in (None, ProviderFailed("boom"), ProviderRateLimited("later")):
        call = call_for(STREAMED, is_probe=True)
        with contextlib.suppress(ProviderFailed, ProviderRateLimited):
            await attempt(Scripted(Turn(error=error, takes_s=1.0)), call, fleet)
    stats = fleet.stats(ACME.id, now())
    assert (stats.n_observed, stats.error_ratio, stats.ttft_p50_s, stats.total_p50_s) == (0, None, None, None)
    assert fleet.of(ACME.id).last_error == "provider_error"


async def test_a_stream_that_breaks_is_billed_for_what_passed():
    call, fleet = call_for(STREAMED), Fleet()
    reply = Streaming()
    async with MeasureLayer(fleet, now)(Scripted(Turn(reply)))(call):
        await reply.read(1.0, text=360)
        reply.failure = StreamInterrupted("cut")
    assert call.exchange.attempts == [
        changed(
            duration_s=1.0,
            outcome="failed",
            error="stream_interrupted",
            usage=Usage(input_uncached=4, output_text=100),
            usage_estimated=True,
            cost_nusd=40_400,
            cost_state="estimated",
            upstream_id=None,
        )
    ]
    assert fleet.stats(ACME.id, now()).error_ratio == 1.0


async def test_a_client_that_leaves_is_no_failure_and_pays_for_what_passed():
    call, fleet = call_for(STREAMED), Fleet()
    reply = Streaming()

    async def serve():
        async with MeasureLayer(fleet, now)(Scripted(Turn(reply)))(call):
            await reply.read(1.0, text=36, usage=Usage(input_uncached=50, cache_read=30, output_text=1))
            await asyncio.sleep(9.0)

    serving = asyncio.create_task(serve())
    await asyncio.sleep(2.0)
    serving.cancel()
    await asyncio.wait([serving])
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.error, seen.cost_state) == ("cancelled", None, "estimated")
    assert seen.usage == Usage(input_uncached=50, cache_read=30, output_text=10)
    stats = fleet.stats(ACME.id, now())
    assert (stats.ttft_recent_s, stats.error_ratio, stats.in_flight) == (0.0, None, 0)


async def test_what_the_upstream_counted_is_kept_if_it_is_more_than_what_was_seen():
    call, reply = call_for(STREAMED), Streaming()
    async with MeasureLayer(Fleet(), now)(Scripted(Turn(reply)))(call):
        await reply.read(1.0, text=36, usage=Usage(input_uncached=50, output_text=5, reasoning=90))
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.usage) == ("cancelled", Usage(input_uncached=50, output_text=5, reasoning=90))


async def test_frames_of_the_express_track_are_reckoned_by_their_length():
    call, reply = call_for(STREAMED), Streaming(express=True)
    async with MeasureLayer(Fleet(), now)(Scripted(Turn(reply)))(call):
        await reply.read(1.0, text=5000)
    (seen,) = call.exchange.attempts
    assert seen.usage == Usage(input_uncached=4, output_text=50)


async def test_an_answer_without_usage_is_estimated():
    call, reply = call_for(STREAMED), Streaming()
    async with MeasureLayer(Fleet(), now)(Scripted(Turn(reply)))(call):
        await reply.read(1.0, text=36, usage=Usage())
        reply.done = True
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.usage, seen.cost_state) == (
        "ok",
        Usage(input_uncached=4, output_text=10),
        "estimated",
    )


async def test_an_unknown_price_is_not_zero():
    call = call_for(deployment=PRICELESS)
    await attempt(Scripted(), call)
    (seen,) = call.exchange.attempts
    assert (seen.usage, seen.cost_nusd, seen.cost_state) == (ANSWER.usage, None, "unknown")


async def test_a_contender_that_was_slower_is_lost():
    call = call_for()
    task = asyncio.create_task(attempt(Scripted(Turn(takes_s=9.0)), call))
    await asyncio.sleep(1.0)
    task.cancel(LOST)
    await asyncio.wait([task])
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.duration_s, seen.committed) == ("lost", 1.0, False)


async def test_a_contender_that_lost_with_its_answer_in_hand_is_billed_exactly():
    call, fleet = call_for(), Fleet()

    async def contend():
        async with MeasureLayer(fleet, now)(Scripted(Turn(takes_s=1.0)))(call):
            await asyncio.sleep(9.0)

    task = asyncio.create_task(contend())
    await asyncio.sleep(1.5)
    task.cancel(LOST)
    await asyncio.wait([task])
    assert call.exchange.attempts == [changed(ttft_s=1.0, duration_s=1.5, outcome="lost")]
    assert fleet.stats(ACME.id, now()).n_observed == 1


@pytest.mark.parametrize("at", ["entering", "reading"])
async def test_a_call_cut_by_the_deadline_says_so(at):
    call = call_for(STREAMED, timeout_s=3.0)
    turn = Turn(Streaming(), takes_s=9.0 if at == "entering" else 0.0)
    handler = DeadlineLayer(now)(lambda _: MeasureLayer(Fleet(), now)(Scripted(turn))(call))
    with pytest.raises(TimeoutTotal):
        async with handler(call.exchange):
            await asyncio.sleep(9.0)
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.error, seen.duration_s, seen.committed) == (
        "failed",
        "timeout_total",
        3.0,
        at == "reading",
    )


async def test_every_retry_is_an_attempt_of_its_own():
    fleet = Fleet()
    script = Scripted(Turn(error=ProviderFailed("boom"), takes_s=1.0), Turn(takes_s=1.0))
    ring = RetryLayer(fleet, now, RetryConfig(base_s=0.0))(MeasureLayer(fleet, now)(script))
    call = call_for()
    async with ring(call):
        pass
    seen = [(a.n, a.retry_of, a.outcome, a.start_s, a.duration_s) for a in call.exchange.attempts]
    assert seen == [(1, None, "failed", 0.0, 1.0), (2, 1, "ok", 1.0, 1.0)]


async def test_the_verdict_on_an_answer_is_recorded():
    call = call_for()
    async with MeasureLayer(Fleet(), now)(Scripted())(call):
        call.verdict = "too short"
    assert call.exchange.attempts == [changed(verdict="too short")]


async def test_time_of_calls_side_by_side_counts_once():
    exchange = make_exchange()
    handler = MeasureLayer(Fleet(), now)(Scripted(Turn(takes_s=4.0)))

    async def later(seconds):
        await asyncio.sleep(seconds)
        async with handler(Call(exchange, ACME, exchange.request, now=now())):
            pass

    await asyncio.gather(later(0.0), later(1.0), later(10.0))
    assert (exchange.upstream_s, exchange.under_way, now()) == (5.0 + 4.0, [], 14.0)


async def test_books_closed_early_are_not_closed_again():
    call, fleet = call_for(), Fleet()
    async with MeasureLayer(fleet, now)(Scripted(Turn(takes_s=1.0)))(call):
        (under_way,) = call.exchange.under_way
        under_way.settle()
        under_way.settle()
        await asyncio.sleep(5.0)
    assert call.exchange.attempts == [changed(ttft_s=1.0, duration_s=1.0)]
    assert (fleet.of(ACME.id).in_flight, fleet.stats(ACME.id, now()).n_observed) == (0, 1)


async def test_a_call_that_is_still_entering_cannot_be_settled():
    call = call_for()
    task = asyncio.create_task(attempt(Scripted(Turn(takes_s=2.0)), call))
    await asyncio.sleep(1.0)
    call.exchange.under_way[0].settle()
    assert call.exchange.attempts == []
    await task
    assert len(call.exchange.attempts) == 1


async def test_embeddings_are_measured_without_output():
    request = EmbedRequest(model="acme/embed", input=("a text",), facts=Facts(n_chars=36))
    call = call_for(request)
    reply = VectorsReply(ACME, EmbedResponse(model="embed", vectors=((1.0,),)))
    await attempt(Scripted(Turn(reply, takes_s=1.0)), call)
    (seen,) = call.exchange.attempts
    assert (seen.outcome, seen.usage.n_input, seen.cost_state) == ("ok", 10, "estimated")


async def test_an_answer_in_one_piece_says_nothing_about_the_speed_of_writing():
    call, fleet = call_for(STREAMED), Fleet()
    await attempt(Scripted(Turn(WholeReply(ACME, ANSWER), takes_s=1.0)), call, fleet)
    stats = fleet.stats(ACME.id, now())
    assert (stats.tokens_per_s, stats.ttft_p50_s) == (None, pytest.approx(1.0, rel=0.021))
