"""Spans as bytes, read back with the official protobufs."""

from datetime import UTC, datetime
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from turnout.layers.trace import AccessEvent
from turnout.server.telemetry.otlp import Encoder
from turnout.server.telemetry.wire import attributes
from turnout.types.record import Attempt, GuardView
from turnout.types.trace import Trace
from turnout.types.usage import NanoUsd, Usage

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
NUMBER = st.integers(-(2**63), 2**63 - 1)
ANY = st.one_of(TEXT, st.booleans(), NUMBER, st.floats(allow_nan=False), st.lists(TEXT).map(tuple), st.none())
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
NS = int(AT.timestamp()) * 10**9
TRACE, ROOT, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
USAGE = Usage(input_uncached=2000, output_text=30, cache_read=5)


def official(value):
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[official(each) for each in value]))


def of(**values):
    return [KeyValue(key=name.replace("__", "."), value=official(value)) for name, value in values.items()]


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(TEXT.filter(len), ANY, max_size=4))
def test_attributes_are_those_of_the_official_protobufs(values):
    said = {name: value for name, value in values.items() if value is not None and value != ""}
    pairs = [KeyValue(key=name, value=official(value)) for name, value in said.items()]
    assert attributes(b"\x0a", values) == Resource(attributes=pairs).SerializeToString()


def attempt(n, **more):
    told = {"deployment": "p/one", "model": "p/one", "provider": "p", "duration_s": 0.25, **more}
    return Attempt(n=n, **told)


def test_a_request_and_its_calls_are_the_spans_that_the_official_protobufs_would_make():
    place = SimpleNamespace(
        upstream_model="one", url="https://api.example/v1", vendor=SimpleNamespace(telemetry="openai")
    )
    trace = Trace(trace_id=TRACE, span_id=ROOT, parent_id=CALLER, sampled=True, state="a=b")
    event = AccessEvent(
        request_id="req_1", at=AT, endpoint="chat", dialect="openai_chat", key_id="key_1", route="main",
        model="p/one", provider="p", finish="stop", n_attempts=2, n_input=2005, n_output=30, max_tokens=512,
        cost_nusd=NanoUsd(1500), cost_state="exact", total_s=1.0, overhead_s=0.5, ttft_s=0.75, stream=True,
        cache="miss", usage=USAGE, trace=trace,
        guards=(GuardView(name="g", type="pii", stage="in", action="redact", found={"email": 2}),),
        attempts=(
            attempt(1, start_s=0.0, outcome="failed", error="provider_error", status=500),
            attempt(2, start_s=0.5, outcome="ok", status=200, committed=True, retry_of=1, usage=USAGE,
                    ttft_s=0.25, cost_nusd=NanoUsd(1500), upstream_id="chatcmpl-1"),
        ),
    )  # fmt: skip
    written = Encoder({"service.name": "turnout"}, "1", {"p/one": place}.get).spans([event])
    of_request = Span(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(ROOT), parent_span_id=bytes.fromhex(CALLER),
        trace_state="a=b", flags=0x301, name="chat main", kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=NS, end_time_unix_nano=NS + 10**9,
        attributes=of(
            turnout__route="main", turnout__dialect="openai_chat", turnout__model="p/one",
            turnout__provider="p", turnout__attempts=2, turnout__fallbacks=0, turnout__cost_state="exact",
            turnout__cache="miss", gen_ai__operation__name="chat", gen_ai__request__stream=True,
            gen_ai__response__finish_reasons=("stop",), turnout__request__id="req_1", turnout__overhead_s=0.5,
            turnout__key__id="key_1", turnout__cost_usd=1500 * 1e-9, turnout__time_to_first_content_s=0.75,
            gen_ai__request__max_tokens=512, gen_ai__usage__input_tokens=2005,
            gen_ai__usage__output_tokens=30,
        ),
        events=[
            Span.Event(name="turnout.retry", time_unix_nano=NS + 5 * 10**8,
                       attributes=of(turnout__attempt=2, error__type="provider_error")),
            Span.Event(name="turnout.cache", time_unix_nano=NS, attributes=of(turnout__cache="miss")),
            Span.Event(name="turnout.guard", time_unix_nano=NS, attributes=of(
                turnout__guard="g", turnout__guard__type="pii", turnout__guard__stage="in",
                turnout__guard__action="redact", turnout__guard__findings=2,
                turnout__guard__kinds=("email",))),
        ],
    )  # fmt: skip
    shared = of(
        gen_ai__operation__name="chat", gen_ai__provider__name="openai", gen_ai__request__model="one",
        server__address="api.example", server__port=443, turnout__deployment="p/one", turnout__provider="p",
        gen_ai__request__stream=True,
    )  # fmt: skip
    most = of(gen_ai__request__max_tokens=512)
    failed = Span(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(trace.span_of(1)),
        parent_span_id=bytes.fromhex(ROOT), flags=0x101, name="chat one", kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=NS, end_time_unix_nano=NS + 25 * 10**7,
        attributes=[*shared, *of(http__response__status_code=500, error__type="provider_error",
                                 turnout__attempt=1, turnout__outcome="failed"), *most],
        status=Status(code=Status.STATUS_CODE_ERROR, message="provider_error"),
    )  # fmt: skip
    answered = Span(
        trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(trace.span_of(2)),
        parent_span_id=bytes.fromhex(ROOT), flags=0x101, name="chat one", kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=NS + 5 * 10**8, end_time_unix_nano=NS + 75 * 10**7,
        attributes=[*shared, *of(gen_ai__response__model="one", http__response__status_code=200,
                                 turnout__attempt=2, turnout__outcome="ok"), *most,
                    *of(gen_ai__response__id="chatcmpl-1", gen_ai__response__time_to_first_chunk=0.25,
                        turnout__cost_usd=1500 * 1e-9, gen_ai__usage__input_tokens=2005,
                        gen_ai__usage__output_tokens=30, gen_ai__usage__cache_read__input_tokens=5)],
        links=[Span.Link(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(trace.span_of(1)),
                         attributes=of(turnout__link="retry_of"))],
    )  # fmt: skip
    (sent,) = ExportTraceServiceRequest.FromString(written).resource_spans
    assert sent.resource == Resource(attributes=of(service__name="turnout"))
    assert (sent.scope_spans[0].scope.name, sent.scope_spans[0].scope.version) == ("turnout", "1")
    assert list(sent.scope_spans[0].spans) == [of_request, failed, answered]


def test_what_a_deployment_is_after_a_change_of_the_configuration_is_told_from_then_on():
    places = {
        "p/one": SimpleNamespace(upstream_model="one", url="http://a", vendor=SimpleNamespace(telemetry=""))
    }
    encoder = Encoder({}, "1", places.get)
    event = AccessEvent(
        request_id="req_1", at=AT, endpoint="chat", dialect="", total_s=1.0, overhead_s=0.5,
        trace=Trace(trace_id=TRACE, span_id=ROOT, sampled=True),
        attempts=(attempt(1, start_s=0.0, outcome="ok"),),
    )  # fmt: skip
    before = encoder.spans([event])
    places["p/one"] = SimpleNamespace(
        upstream_model="two", url="http://b:1", vendor=SimpleNamespace(telemetry="")
    )
    names = [
        ExportTraceServiceRequest.FromString(sent).resource_spans[0].scope_spans[0].spans[1].name
        for sent in (before, encoder.spans([event]))
    ]
    assert names == ["chat one", "chat two"]
