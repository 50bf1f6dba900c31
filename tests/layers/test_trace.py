import pytest

from turnout.errors import ProviderFailed
from turnout.layers.journal import JournalLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.trace import AccessEvent, TraceLayer, trace_id_of
from turnout.stores.live import Fleet
from turnout.testing.clock import now
from turnout.testing.layer import Scripted, Turn, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.principal import Principal

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"cc-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-next", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f" 00-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_traceparent(header, trace_id):
    assert trace_id_of(header) == trace_id


def test_the_trace_is_kept_even_if_nobody_listens():
    exchange = make_exchange(ask=Ask(request_id="req_1", traceparent=f"00-{TRACE}-{SPAN}-01"))
    TraceLayer(now)(Scripted())(exchange)
    assert exchange.trace_id == TRACE


async def test_an_ended_request_is_reported_once():
    events = []
    measure = MeasureLayer(Fleet(), now)(Scripted(Turn(takes_s=2.0)))
    handler = TraceLayer(now, events.append)(lambda exchange: measure(make_call(exchange, now=now())))
    ask = Ask(
        request_id="req_1",
        dialect="openai_chat",
        principal=Principal(key_id="key_1"),
        traceparent=f"00-{TRACE}-{SPAN}-01",
    )
    exchange = make_exchange(ask=ask, started=-0.25)
    async with handler(exchange) as reply:
        exchange.reply = reply
        assert events == []
    assert events == [
        AccessEvent(
            request_id="req_1",
            trace_id=TRACE,
            at=exchange.at,
            endpoint="chat",
            dialect="openai_chat",
            key_id="key_1",
            model="acme/small",
            provider="acme",
            finish="stop",
            n_attempts=1,
            n_input=10,
            n_output=1,
            cost_nusd=1400,
            cost_state="exact",
            ttft_s=2.25,
            total_s=2.25,
            overhead_s=0.25,
            usage=exchange.outcome.usage,
            stream=exchange.original.stream,
            max_tokens=exchange.original.max_tokens,
            attempts=tuple(exchange.attempts),
        )
    ]


async def test_a_failed_request_is_reported_with_its_class():
    events = []
    handler = TraceLayer(now, events.append)(Scripted(Turn(error=ProviderFailed("boom"))))
    with pytest.raises(ProviderFailed):
        async with handler(make_exchange()):
            pass
    assert [(event.error, event.model) for event in events] == [("provider_error", None)]


async def test_the_event_and_the_record_tell_the_same():
    events, records = [], []

    class Drawer:
        append = records.append

    handler = TraceLayer(now, events.append)(JournalLayer(Drawer(), now)(Scripted()))
    async with handler(make_exchange()):
        pass
    assert (len(events), len(records)) == (1, 1)
    assert events[0].total_s == records[0].outcome.total_s
