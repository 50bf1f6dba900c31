"""A gateway that tells a collector, over real sockets, in the official protobufs."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import httpx

from tests.server.kit import HOST, SECRET, Fault, Quick, config_text
from tests.server.telemetry.collector import collecting, plain
from turnout.build import build
from turnout.config import parse_config
from turnout.server.app import Gateway
from turnout.server.bind import bind
from turnout.server.serve import Listener
from turnout.server.settings import settings_of
from turnout.server.telemetry.opened import Telemetry
from turnout.stores.memory import MemoryJournal
from turnout.testing.emulator import Behaviour, Emulator, dialects, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "the canary prompt about Aunt Agatha's will"
ASKED = {"model": "turnout/assistant", "messages": [{"role": "user", "content": PROMPT}]}


class Observed:
    """A gateway with its telemetry."""

    def __init__(self, url, emulator, telemetry, journal, heads):
        self.url, self.emulator, self.telemetry, self.journal = url, emulator, telemetry, journal
        self.heads = heads
        """Headers of what came upstream."""


@asynccontextmanager
async def observed(extra, *, server=""):
    emulator, heads = Emulator(dialects()), []

    async def listening(scope, receive, send):
        heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await emulator(scope, receive, send)

    async with serving(listening) as upstream:
        config = parse_config(config_text(upstream, extra, server=server), env={})
        telemetry = Telemetry(config, scraped=True)
        journal = MemoryJournal()
        built = await build(config, {}, journal=journal, on_event=telemetry.on_event)
        try:
            app = Gateway(built.engine, built.dialects, settings_of(config))
            telemetry.begin(built, app)
            listener = Listener(config, app, around=telemetry.app)
            async with Quick(listener, bind(HOST, 0)) as url:
                yield Observed(url, emulator, telemetry, journal, heads)
        finally:
            await telemetry.close()
            await built.close()


def otlp(collector, more=""):
    to = f"endpoint: '{collector.url}', headers: {{x-scope: sk-otlp-canary-1234}}"
    return f"telemetry: {{otlp: {{{to}}}{more}}}"


async def ask(at, **more):
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.post(f"{at.url}/v1/chat/completions", json=ASKED, **more)


async def test_a_request_that_fell_back_is_one_server_span_with_a_client_span_per_call():
    async with collecting() as collector:
        async with observed(otlp(collector)) as at:
            at.emulator.add("oai-one", behaviour=Behaviour(faults=(Fault(kind="rate_limit"),)))
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}
            reply = await ask(at, headers=headers)
        spans = collector.traces
    assert reply.status_code == 200
    root, *calls = sorted(spans, key=lambda span: (span.kind != 2, span.start_time_unix_nano))
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert (root.name, root.parent_span_id.hex(), root.trace_state) == ("chat assistant", SPAN, "a=b")
    said = plain(root.attributes)
    assert said["turnout.request.id"] == reply.headers["x-turnout-request-id"]
    assert (said["turnout.fallbacks"], said["turnout.attempts"]) == (1, len(calls))
    assert [event.name for event in root.events][-1] == "turnout.fallback"
    assert plain(root.events[-1].attributes) == {
        "turnout.from": "oai/one",
        "turnout.to": "ant/one",
        "error.type": "provider_rate_limited",
    }
    assert {span.parent_span_id for span in calls} == {root.span_id}
    assert len({span.span_id for span in spans}) == len(spans)
    first, last = calls[0], calls[-1]
    assert (first.name, first.kind, first.status.code, first.status.message) == (
        "chat oai-one",
        3,
        2,
        "provider_rate_limited",
    )
    found = plain(last.attributes)
    assert {name: found[name] for name in found if name.startswith(("gen_ai.", "error", "http"))} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "ant-one",
        "gen_ai.response.model": "ant-one",
        "gen_ai.response.id": found["gen_ai.response.id"],
        "gen_ai.usage.input_tokens": said["gen_ai.usage.input_tokens"],
        "gen_ai.usage.output_tokens": said["gen_ai.usage.output_tokens"],
        "http.response.status_code": 200,
    }
    assert found["server.address"] == "127.0.0.1"
    assert all("Agatha" not in str(span) for span in spans)


async def test_retries_are_linked_and_told_as_events():
    async with collecting() as collector:
        async with observed(otlp(collector, ", traces: {sample: 1}")) as at:
            at.emulator.add("oai-one", behaviour=Behaviour(faults=(Fault(kind="server_error", first=1),)))
            await ask(at)
        spans = sorted(collector.traces, key=lambda span: (span.kind != 2, span.start_time_unix_nano))
    root, first, second = spans
    assert [event.name for event in root.events] == ["turnout.retry"]
    assert [link.span_id for link in second.links] == [first.span_id]
    assert root.parent_span_id == b""


async def test_only_named_providers_are_told_the_trace_and_as_the_parent_of_their_own_spans():
    async with collecting() as collector:
        async with observed(otlp(collector, ", traces: {propagate: [oai], sample: 1}")) as at:
            for model in ("oai/one", "ant/one"):
                headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b", "baggage": "x=y"}
                async with httpx.AsyncClient(timeout=10) as client:
                    await client.post(
                        f"{at.url}/v1/chat/completions", json={**ASKED, "model": model}, headers=headers
                    )
            await at.telemetry.flush()
        calls = {plain(s.attributes)["turnout.provider"]: s for s in collector.traces if s.kind == 3}
    told, untold = at.heads
    assert told["traceparent"] == f"00-{TRACE}-{calls['oai'].span_id.hex()}-01"
    assert told["tracestate"] == "a=b"
    assert {"traceparent", "tracestate"}.isdisjoint(untold)
    assert "baggage" not in told | untold


async def test_what_is_not_sampled_is_not_sent_unless_it_failed():
    async with collecting() as collector:
        async with observed(otlp(collector, ", traces: {sample: 0}")) as at:
            await ask(at)
            async with httpx.AsyncClient(timeout=10) as client:
                body = {**ASKED, "model": "nobody/knows"}
                failed = await client.post(f"{at.url}/v1/chat/completions", json=body)
        (span,) = collector.traces
    said = plain(span.attributes)
    assert (said["error.type"], said["turnout.request.id"]) == (
        "model_not_found",
        failed.headers["x-turnout-request-id"],
    )


async def test_metrics_leave_as_they_are_scraped():
    async with collecting() as collector:
        async with observed(otlp(collector)) as at:
            for _ in range(3):
                await ask(at)
            scraped = at.telemetry.metrics.text().decode()
        (sent,) = collector.metrics
        heads = collector.heads
    (of,) = sent.resource_metrics
    assert plain(of.resource.attributes)["service.name"] == "turnout"
    metrics = {metric.name: metric for metric in of.scope_metrics[0].metrics}
    (requests,) = metrics["turnout.requests"].sum.data_points
    assert (requests.as_double, plain(requests.attributes)["turnout.outcome"]) == (3.0, "ok")
    (duration,) = metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert metrics["gen_ai.client.operation.duration"].unit == "s"
    assert (duration.count, len(duration.bucket_counts), len(duration.explicit_bounds)) == (3, 15, 14)
    assert plain(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "oai-one",
    }
    assert {
        plain(p.attributes)["gen_ai.token.type"]
        for p in metrics["gen_ai.client.token.usage"].histogram.data_points
    } == {"input", "output"}
    assert 'gen_ai_client_operation_duration_seconds_count{error_type=""' in scraped
    assert all("x-scope: sk-otlp-canary-1234" in head for head in heads)


async def test_a_collector_that_is_down_costs_a_queue_and_is_counted():
    async with collecting() as collector:
        collector.statuses = [400]
        extra = otlp(collector, ", queue: 2, traces: {sample: 1}, metrics: {enabled: false}")
        async with observed(extra) as at:
            for _ in range(4):
                assert (await ask(at)).status_code == 200
            await at.telemetry.flush()
            counts = at.telemetry.counts()
    assert {key[1:]: n for key, n in counts.items() if "spans" in key and n} == {
        ("spans", "full"): 2,
        ("spans", "failed"): 2,
    }


async def test_a_batch_is_sent_again_when_the_receiver_asks_for_patience():
    async with collecting() as collector:
        collector.statuses = [503]
        async with observed(otlp(collector, ", traces: {sample: 1}, metrics: {enabled: false}")) as at:
            await ask(at)
            await at.telemetry.flush()
            counts = at.telemetry._spans.counts
    assert (counts.sent, counts.failed, len(collector.traces)) == (1, 0, 2)


CANARIES = (SECRET, PROMPT, "Agatha", "sk-otlp-canary", "Bearer tn_", "tn_0123456789abcdef")


async def test_no_sink_ever_holds_a_secret_or_a_prompt_at_any_level(tmp_path, capfd):
    file = tmp_path / "gateway.log"
    key = "tn_0123456789abcdef0123456789abcdef"
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        async with collecting() as collector:
            sinks = f"{{type: stderr}}, {{type: stdout}}, {{type: file, path: '{file}'}}, {{type: otlp}}"
            sinks += f", {{type: http, url: '{collector.url}/lines'}}"
            extra = f"log: {{format: json, level: debug, access: true, sinks: [{sinks}]}}\n{otlp(collector)}"
            async with observed(extra, server=f"keys: [{{name: a, secret: {key}}}]") as at:
                at.emulator.add("oai-one", behaviour=Behaviour(faults=(Fault(kind="server_error"),)))
                sent = {"headers": {"authorization": f"Bearer {key}"}}
                reply = await ask(at, **sent)
                async with httpx.AsyncClient(timeout=10) as client:
                    await client.get(f"{at.url}/v1/{key}/{PROMPT}", **sent)
                await ask(at, headers={"authorization": "Bearer tn_wrong_wrong_wrong_wrong"})
                turnout, foreign = logging.getLogger("turnout.x"), logging.getLogger("plugin")
                turnout.error("upstream said %s", f"bad key {SECRET} and Bearer {key}\nnext")
                foreign.warning("could not take %s", PROMPT)
                try:
                    int(PROMPT)
                except ValueError:
                    turnout.exception("defect")
        out, err = capfd.readouterr()
        http_lines = [json.loads(line) for line in collector.lines]
        spoken = [str(record) for record in collector.logs]
    finally:
        root.setLevel(before)
    everything = {
        "stderr": err,
        "stdout": out,
        "file": file.read_text(),
        "http": json.dumps(http_lines),
        "otlp": "\n".join(spoken) + "\n".join(map(str, collector.traces)) + str(collector.metrics),
    }
    assert {(sink, c) for sink, text in everything.items() for c in CANARIES if c in text} == set()
    lines = [json.loads(line) for line in everything["file"].splitlines()]
    assert lines == [json.loads(line) for line in out.splitlines()] == http_lines
    access = [line for line in lines if line["logger"] == "turnout.access"]
    assert [(line["status"], line.get("path"), line.get("model")) for line in access] == [
        (200, "/v1/chat/completions", "ant/one"),
        (404, None, None),
        (401, "/v1/chat/completions", None),
    ]
    assert access[0]["request_id"] == reply.headers["x-turnout-request-id"]
    assert access[0]["tokens_in"] > 0
    told = {line["message"]: line for line in lines}
    assert told["upstream said bad key *** and Bearer ***\nnext"]["level"] == "error"
    assert told["could not take %s"]["logger"] == "plugin"
    assert told["defect"]["error"] == "ValueError"
    assert "test_telemetry.py:" in told["defect"]["places"]
    assert len(spoken) == len(lines)


async def test_nothing_is_observed_where_nothing_is_configured():
    config = parse_config("models: []", env={})
    telemetry = Telemetry(config, scraped=False)
    try:
        assert (telemetry.metrics, telemetry.on_event, config.telemetry.tracing) == (None, None, None)
    finally:
        await telemetry.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
