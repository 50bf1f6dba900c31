import asyncio
import hashlib
import logging

import msgspec
import pytest

from turnout.engine.exchange import Policy
from turnout.engine.reply import Reply, WholeReply
from turnout.errors import InvalidRequest, ProviderFailed, StreamInterrupted, TimeoutTotal
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.journal import JournalLayer, finish, last_question
from turnout.layers.measure import MeasureLayer
from turnout.stores.live import Fleet
from turnout.testing.clock import now
from turnout.testing.layer import ACME, ANSWER, QUESTION, Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.chat import Media, Message, Text, ToolResult
from turnout.types.embed import EmbedRequest
from turnout.types.event import Finish, TextDelta
from turnout.types.principal import Principal
from turnout.types.record import Attempt, Content, Outcome, Record
from turnout.types.usage import Usage


class Drawer:
    def __init__(self, error=None):
        self.records = []
        self.error = error

    def append(self, record):
        if self.error is not None:
            raise self.error
        self.records.append(record)


class Streamed(Reply):
    """Two batches of text, or two frames; breaks after the first if told to."""

    def __init__(self, *, breaks=None, express=False):
        super().__init__(ACME, express=express)
        self._breaks = breaks
        self.is_last = False

    @property
    def ended(self):
        return self.is_last

    async def response(self):
        raise NotImplementedError

    async def events(self):
        yield [TextDelta("fo")]
        self._break()
        yield [TextDelta("ur"), Finish(reason="stop")]
        self.done = self.is_last = True

    async def frames(self):
        yield b"data: fo\n\n"
        self._break()
        self.is_last = True
        yield b"data: ur\n\ndata: [DONE]\n\n"
        self.done = True

    def _break(self):
        if self._breaks is not None:
            self.failure = self._breaks
            raise self._breaks


def ring(journal, script, *, key=None, redact=None):
    """The request ring's journal and deadline around one measured call."""
    measure = MeasureLayer(Fleet(), now)(script)

    def core(exchange):
        return measure(make_call(exchange, now=now()))

    return JournalLayer(journal, now, key=key, redact=redact)(DeadlineLayer(now)(core))


async def serve(handler, exchange, read=None):
    async with handler(exchange) as reply:
        if read is not None:
            await read(reply)


async def read_events(reply):
    return [events async for events in reply.events()]


async def test_a_served_request_leaves_one_record():
    drawer = Drawer()
    ask = Ask(
        request_id="req_1",
        client_request_id="mine",
        dialect="openai_chat",
        principal=Principal(key_id="key_1", project="p", team="t"),
        tags=("a",),
        metadata={"k": "v"},
        session="s",
        end_user="u",
        surface="chat",
        warnings=("route_ignored",),
    )
    exchange = make_exchange(ask=ask, started=-0.5)
    exchange.warnings.append("judge_failed")
    exchange.dropped = ("seed",)
    exchange.trace_id = "ab" * 16
    exchange.n_fallbacks = 1
    await serve(ring(drawer, Scripted(Turn(takes_s=2.0))), exchange)
    assert drawer.records == [
        Record(
            request_id="req_1",
            client_request_id="mine",
            at=exchange.at,
            endpoint="chat",
            dialect="openai_chat",
            principal="key_1",
            project="p",
            team="t",
            surface="chat",
            tags=("a",),
            metadata={"k": "v"},
            trace_id="ab" * 16,
            attempts=(
                Attempt(
                    n=1,
                    deployment="acme/small",
                    model="acme/small",
                    provider="acme",
                    start_s=0.5,
                    ttft_s=2.0,
                    duration_s=2.0,
                    outcome="ok",
                    committed=True,
                    usage=ANSWER.usage,
                    cost_nusd=1400,
                    cost_state="exact",
                    upstream_id="chatcmpl-1",
                ),
            ),
            outcome=Outcome(
                finish="stop",
                model="acme/small",
                provider="acme",
                usage=ANSWER.usage,
                usage_source="provider",
                cost_nusd=1400,
                cost_state="exact",
                ttft_s=2.5,
                total_s=2.5,
                overhead_s=0.5,
                n_attempts=1,
                n_fallbacks=1,
            ),
            warnings=("route_ignored", "judge_failed"),
            dropped_params=("seed",),
        )
    ]


async def outcome_of(script, read=None, *, ask=None, expect=None):
    drawer = Drawer()
    exchange = make_exchange(ask=ask)
    if expect is None:
        await serve(ring(drawer, script), exchange, read)
    else:
        with pytest.raises(expect):
            await serve(ring(drawer, script), exchange, read)
    (record,) = drawer.records
    assert record.outcome is exchange.outcome
    return record.outcome


async def test_a_refused_request_leaves_a_record():
    drawer = Drawer()
    handler = JournalLayer(drawer, now)(Scripted(Turn(error=InvalidRequest("no"))))
    with pytest.raises(InvalidRequest):
        await serve(handler, make_exchange())
    assert [record.outcome for record in drawer.records] == [
        Outcome(error="invalid_request", cost_nusd=0, cost_state="exact")
    ]


async def test_a_failed_request_leaves_a_record():
    script = Scripted(Turn(error=ProviderFailed("boom"), takes_s=1.0))
    outcome = await outcome_of(script, expect=ProviderFailed)
    assert (outcome.error, outcome.model, outcome.n_attempts, outcome.total_s) == (
        "provider_error",
        None,
        1,
        1.0,
    )


async def test_a_defect_leaves_a_record():
    outcome = await outcome_of(Scripted(Turn(error=RuntimeError("bug"))), expect=RuntimeError)
    assert outcome.error == "internal"


async def test_a_request_out_of_time_leaves_a_record():
    ask = Ask(request_id="req_1", timeout_s=3.0)
    outcome = await outcome_of(Scripted(Turn(takes_s=9.0)), ask=ask, expect=TimeoutTotal)
    assert (outcome.error, outcome.total_s, outcome.cost_state) == ("timeout_total", 3.0, "estimated")


async def test_a_stream_out_of_time_leaves_a_record_of_the_time_out():
    async def stall(reply):
        await asyncio.sleep(9.0)

    ask = Ask(request_id="req_1", timeout_s=3.0)
    outcome = await outcome_of(Scripted(Turn(Streamed())), stall, ask=ask, expect=TimeoutTotal)
    assert (outcome.error, outcome.model) == ("timeout_total", "acme/small")


async def test_a_broken_stream_leaves_a_record():
    script = Scripted(Turn(Streamed(breaks=StreamInterrupted("cut"))))
    outcome = await outcome_of(script, read_events, expect=StreamInterrupted)
    assert (outcome.error, outcome.usage_source) == ("stream_interrupted", "estimated")


async def test_a_broken_stream_whose_reader_copes_is_still_a_failure():
    async def cope(reply):
        with pytest.raises(StreamInterrupted):
            await read_events(reply)

    outcome = await outcome_of(Scripted(Turn(Streamed(breaks=StreamInterrupted("cut")))), cope)
    assert outcome.error == "stream_interrupted"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ConnectionResetError(), GeneratorExit()])
async def test_a_client_that_hangs_up_leaves_a_record(error):
    async def hang_up(reply):
        raise error

    outcome = await outcome_of(Scripted(Turn(Streamed())), hang_up, expect=type(error))
    assert (outcome.error, outcome.cost_state) == ("client_closed", "estimated")


async def test_a_client_that_hangs_up_while_waiting_leaves_a_record():
    drawer = Drawer()
    task = asyncio.create_task(serve(ring(drawer, Scripted(Turn(takes_s=9.0))), make_exchange()))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait([task])
    (record,) = drawer.records
    assert (record.outcome.error, record.attempts[0].outcome) == ("client_closed", "cancelled")


async def test_a_reader_that_stops_halfway_left():
    async def one(reply):
        async for _ in reply.events():
            break

    assert (await outcome_of(Scripted(Turn(Streamed())), one)).error == "client_closed"


async def test_a_defect_of_the_reader_is_internal():
    async def stumble(reply):
        raise KeyError("x")

    assert (await outcome_of(Scripted(Turn(Streamed())), stumble, expect=KeyError)).error == "internal"


async def test_what_the_reader_says_of_the_end_counts_most():
    drawer, exchange = Drawer(), make_exchange()
    async with ring(drawer, Scripted())(exchange):
        exchange.outcome_error = "client_closed"
    assert drawer.records[0].outcome.error == "client_closed"


async def test_a_record_can_be_finished_before_the_last_bytes_go_out():
    drawer, exchange = Drawer(), make_exchange()
    async with ring(drawer, Scripted(Turn(Streamed(express=True))))(exchange) as reply:
        n_records = []
        async for _ in reply.frames():
            if reply.ended:
                finish(exchange)
            n_records.append(len(drawer.records))
            await asyncio.sleep(1.0)
    assert n_records == [0, 1]
    (record,) = drawer.records
    assert (record.outcome.error, record.outcome.total_s, record.outcome.n_attempts) == (None, 1.0, 1)
    assert [attempt.outcome for attempt in record.attempts] == ["ok"]


async def test_finishing_with_a_failure_records_it():
    drawer, exchange = Drawer(), make_exchange()
    async with ring(drawer, Scripted())(exchange):
        finish(exchange, ProviderFailed("while translating"))
    assert [record.outcome.error for record in drawer.records] == ["provider_error"]


def test_finishing_without_a_journal_does_nothing():
    finish(make_exchange())


async def test_money_and_usage_are_summed_over_attempts():
    drawer, exchange = Drawer(), make_exchange()
    exchange.attempts += [
        msgspec.structs.replace(
            Attempt(
                n=n, deployment="d", model="m", provider="p", start_s=0.0, duration_s=1.0, outcome=outcome
            ),
            usage=usage,
            cost_nusd=cost_nusd,
            cost_state=state,
            usage_estimated=state == "estimated",
        )
        for n, outcome, usage, cost_nusd, state in (
            (1, "failed", None, 0, "exact"),
            (2, "rejected", Usage(input_uncached=10, output_text=5), 100, "exact"),
            (3, "lost", Usage(input_uncached=7), 70, "estimated"),
        )
    ]
    handler = JournalLayer(drawer, now)(Scripted())
    await serve(handler, exchange)
    outcome = drawer.records[0].outcome
    assert (outcome.usage, outcome.usage_source) == (Usage(input_uncached=17, output_text=5), "estimated")
    assert (outcome.cost_nusd, outcome.cost_state, outcome.n_attempts) == (170, "estimated", 3)


async def test_one_unknown_price_makes_the_sum_unknown():
    drawer, exchange = Drawer(), make_exchange()
    known = Attempt(
        n=1,
        deployment="d",
        model="m",
        provider="p",
        start_s=0.0,
        duration_s=1.0,
        outcome="ok",
        cost_nusd=5,
        cost_state="exact",
    )
    unknown = msgspec.structs.replace(known, n=2, cost_nusd=None, cost_state="unknown")
    exchange.attempts += [known, unknown, known]
    await serve(JournalLayer(drawer, now)(Scripted()), exchange)
    outcome = drawer.records[0].outcome
    assert (outcome.cost_nusd, outcome.cost_state) == (None, "unknown")


async def test_a_journal_that_fails_does_not_fail_the_request(caplog):
    journal = Drawer(OSError("disk full: secret text"))
    layer = JournalLayer(journal, now)
    with caplog.at_level(logging.ERROR, "turnout.journal"):
        await serve(layer(Scripted()), make_exchange())
    assert (layer.n_lost, caplog.messages) == (1, ["record of req_1 lost: OSError"])


async def test_digests_need_a_key_and_keep_their_fields_apart():
    drawer = Drawer()
    ask = Ask(request_id="req_1", session="two plus two?", end_user="two plus two?")
    await serve(ring(drawer, Scripted(), key=b"k"), make_exchange(ask=ask))
    (record,) = drawer.records
    digests = {record.query_hash, record.session_hash, record.end_user_hash}
    assert len(digests) == 3
    assert (
        record.query_hash
        == hashlib.blake2b(b"two plus two?", digest_size=16, key=b"k", person=b"query").hexdigest()
    )


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        ((), None),
        ((Message("assistant", (Text("hi"),)),), None),
        ((Message("user", (Text("a"), Text("b"))), Message("assistant", (Text("c"),))), "a\nb"),
        (
            (
                Message("user", (Text("a"),)),
                Message("user", (ToolResult(call_id="1", content=(Text("r"),)),)),
            ),
            "a",
        ),
        ((Message("user", (Media(kind="image", url="u"),)),), None),
    ],
)
def test_last_question(messages, question):
    assert last_question(msgspec.structs.replace(QUESTION, messages=messages)) == question


def test_embeddings_ask_no_question():
    assert last_question(EmbedRequest(model="m", input=("a",))) is None


def storing(log_content=True):
    exchange = make_exchange(ask=Ask(request_id="req_1", log_content=log_content))
    exchange.policy = Policy(store_content=True)
    return exchange


ASKED = '[{"role":"user","parts":[{"type":"text","text":"two plus two?","extra":{}}],"name":null,"extra":{}}]'


async def read_frames(reply):
    return [frame async for frame in reply.frames()]


async def read_whole(reply):
    return await reply.response()


@pytest.mark.parametrize(
    ("reply", "read", "answer"),
    [
        (Streamed, read_events, "four"),
        (lambda: WholeReply(ACME, ANSWER), read_events, "four"),
        (lambda: WholeReply(ACME, ANSWER), read_whole, "four"),
        (lambda: Streamed(express=True), read_frames, "data: fo\n\ndata: ur\n\ndata: [DONE]\n\n"),
    ],
)
async def test_text_is_stored_where_the_route_says_so(reply, read, answer):
    drawer = Drawer()
    await serve(ring(drawer, Scripted(Turn(reply()))), storing(), read)
    (record,) = drawer.records
    assert record.content == Content(ASKED, answer)
    assert record.outcome.error is None


async def test_text_of_a_broken_stream_is_stored_as_far_as_it_came():
    drawer, failure = Drawer(), StreamInterrupted("cut")
    seen = []

    async def read(reply):
        try:
            await read_events(reply)
        finally:
            seen.append(reply.failure)

    with pytest.raises(StreamInterrupted):
        await serve(ring(drawer, Scripted(Turn(Streamed(breaks=failure)))), storing(), read)
    assert seen == [failure]
    (record,) = drawer.records
    assert (record.content.response, record.outcome.error) == ("fo", "stream_interrupted")


async def test_the_caller_may_forbid_storing_text():
    drawer = Drawer()
    await serve(ring(drawer, Scripted(Turn(Streamed()))), storing(log_content=False), read_events)
    assert drawer.records[0].content is None


async def test_a_project_may_forbid_storing_text():
    drawer, exchange = Drawer(), storing()
    silent = Principal(stores_text=False)
    exchange.ask = msgspec.structs.replace(exchange.ask, principal=silent)
    await serve(ring(drawer, Scripted(Turn(Streamed()))), exchange, read_events)
    assert drawer.records[0].content is None


async def test_text_is_redacted_before_it_is_stored():
    drawer = Drawer()
    handler = ring(drawer, Scripted(), redact=lambda text: text.replace("two", "###").replace("four", "#"))
    await serve(handler, storing(), read_whole)
    assert drawer.records[0].content == Content(ASKED.replace("two", "###"), "#")
