"""Compression and prompt marks end to end: what a model gets, what a client is told, what is recorded."""

import json
from datetime import UTC, datetime

from tests.server.kit import call, chat
from tests.server.kit import rig as start
from turnout.layers.trace import AccessEvent
from turnout.server.metrics import Metrics
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Text
from turnout.types.compress import Shortened
from turnout.types.record import Attempt
from turnout.types.usage import NanoUsd, Usage

ROUTES = """
  - {name: plain, models: [oai/one], compress: "off"}
  - {name: short, models: [oai/one], compress: {tool_tokens: 100, min_tokens: 0}}
  - {name: gist, models: [oai/one],
     compress: {min_tokens: 0, compact: {above_tokens: 500, keep_turns: 2, by: ant/two}}}
  - {name: marked, models: [ant/claude], prompt_cache: auto, compress: "off"}
"""
EXTRA = "compress: lossless"


def more(text):
    """Add a model whose prompts can be marked."""
    row = "{model: ant/claude, upstream_model: claude-sonnet-4-5, price: {input: 3, output: 15}}"
    return text.replace("models:\n", f"models:\n  - {row}\n", 1)


def rig():
    return start(EXTRA, routes=ROUTES, edit=more)


TRAINS = {"type": "function", "function": {"name": "trains", "parameters": {"type": "object"}}}
LOG = json.dumps([{"train": at, "stop": at * 7, "late": False} for at in range(120)], indent=2)


def recorder(seen):
    def script(request):
        seen.append(request)
        return reply_with(request, (Text("At stop 7."),), model="echo")

    return script


def conversation(n=1):
    out = [{"role": "system", "content": "You are a dispatcher."}]
    for at in range(n):
        out += [
            {"role": "user", "content": f"Where is train {at}?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": f"c{at}", "type": "function", "function": {"name": "trains", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": f"c{at}", "content": LOG},
            {"role": "assistant", "content": f"Train {at} is at stop {at * 7}."},
        ]
    return [*out, {"role": "user", "content": "And train 1?"}]


def results(request):
    return [m.parts[0].content[0].text for m in request.messages if m.role == "tool"]


async def test_long_results_are_trimmed_and_headers_and_record_tell():
    async with rig() as running:
        seen = []
        running.emulator.add("oai-one", recorder(seen))
        body = chat("turnout/short") | {"messages": conversation()}
        answer = await call(running, "/v1/chat/completions", body)
        assert answer.status == 200
        assert "characters left out" in results(seen[0])[0]
        (record,) = await running.records()
        view = record.compressed
        assert [each.step for each in view.steps] == ["tidy", "trim"]
        told = ",".join(f"{each.step}={each.n_tokens}" for each in view.steps)
        assert answer.header("x-turnout-compressed") == (
            f"before={view.n_before},after={view.n_after},{told}"
        )
        assert view.n_after < view.n_before / 5
        assert not record.attempts[0].express


async def test_a_request_may_ask_for_less_by_header_and_by_body():
    async with rig() as running:
        seen = []
        running.emulator.add("oai-one", recorder(seen))
        body = chat("turnout/short") | {"messages": conversation()}
        minified = json.dumps(json.loads(LOG), separators=(",", ":"))
        for headers, extra, wanted in (
            (("x-turnout-compress: off",), {}, LOG),
            (("x-turnout-compress: off",), {"turnout": {"compress": "lossless"}}, minified),
            ((), {"turnout": {"compress": "lossless"}}, minified),
        ):
            await call(running, "/v1/chat/completions", body | extra, *headers)
            assert results(seen.pop()) == [wanted]
        answer = await call(running, "/v1/chat/completions", body, "x-turnout-compress: most")
        assert answer.status == 400


async def test_middle_out_is_honoured_where_something_is_configured_and_warned_of_elsewhere():
    async with rig() as running:
        seen = []
        running.emulator.add("oai-one", recorder(seen))
        long = [{"role": "user", "content": f"{at} " + "The signal is red. " * 500} for at in range(60)]
        body = {"messages": [*long, {"role": "user", "content": "Why?"}], "transforms": ["middle-out"]}
        answer = await call(running, "/v1/chat/completions", chat("turnout/short") | body)
        assert answer.status == 200
        assert answer.header("x-turnout-warnings") is None
        assert seen[0].messages[0].parts[0].text == long[0]["content"]
        assert any("earlier messages were left out" in m.parts[0].text for m in seen[0].messages)
        body["messages"] = conversation()
        answer = await call(running, "/v1/chat/completions", chat("turnout/plain") | body)
        assert answer.header("x-turnout-warnings") == "transforms_ignored"


async def test_a_cheap_model_writes_the_gist_once_and_its_failure_is_recorded():
    async with rig() as running:
        seen, asked = [], []
        running.emulator.add("oai-one", recorder(seen))
        running.emulator.add("ant-two", recorder(asked))
        body = chat("turnout/gist") | {"messages": conversation(5)}
        for _ in range(2):
            await call(running, "/v1/chat/completions", body)
        assert len(asked) == 1
        gist = seen[0].messages[1]
        assert "shortened:\nAt stop 7.\n]" in "".join(p.text for p in gist.parts if isinstance(p, Text))
        first, second = await running.records()
        assert [attempt.model for attempt in first.attempts] == ["ant/two", "oai/one"]
        assert [attempt.model for attempt in second.attempts] == ["oai/one"]
        assert first.compressed.steps[1] == Shortened("compact", first.compressed.steps[1].n_tokens, 16)


async def test_an_unchanged_request_stays_on_the_express_track():
    async with rig() as running:
        answer = await call(running, "/v1/chat/completions", chat("turnout/short"))
        assert answer.status == 200
        (record,) = await running.records()
        assert record.attempts[0].express
        assert record.compressed.steps == ()
        assert answer.header("x-turnout-compressed") is None


def said(request):
    """Which messages bear a mark."""
    return [at for at, m in enumerate(request.messages) for part in m.parts if "cache_control" in part.extra]


async def test_prompts_are_marked_for_the_provider_unless_the_client_marks_them():
    async with rig() as running:
        seen = []
        running.emulator.add("claude-sonnet-4-5", recorder(seen))
        messages = conversation(3)
        messages[0]["content"] *= 500
        body = chat("turnout/marked") | {"messages": messages, "tools": [TRAINS]}
        await call(running, "/v1/chat/completions", body)
        assert said(seen.pop()) == [0, 12]
        marked = {"type": "text", "text": "Again.", "cache_control": {"type": "ephemeral"}}
        own = [*messages[:-1], {"role": "user", "content": [marked]}]
        await call(running, "/v1/chat/completions", body | {"messages": own})
        assert said(seen.pop()) == [13]
        messages[0]["content"] += " Today is 2026-11-22."
        answers = []
        for day in "45":
            messages[0]["content"] = messages[0]["content"][:-4] + f"2{day}."
            answers.append(await call(running, "/v1/chat/completions", body))
        assert [answer.header("x-turnout-warnings") for answer in answers] == [None, "volatile_prefix"]


def test_what_was_taken_away_and_what_prompt_caches_saved_are_counted():
    metrics = Metrics()
    usage = Usage(input_uncached=10, cache_read=1_000, output_text=1)
    attempt = {"n": 1, "deployment": "d", "model": "m", "provider": "p", "start_s": 0.0, "duration_s": 1.0}
    saved = Attempt(**attempt, outcome="ok", usage=usage, cache_saved_nusd=NanoUsd(2_700))
    lost = Attempt(**attempt, outcome="ok", usage=Usage(cache_write_5m=7), cache_saved_nusd=NanoUsd(-5))
    event = {"request_id": "r", "at": datetime.now(UTC), "endpoint": "chat", "dialect": "x", "route": "a"}
    metrics.observe(
        AccessEvent(
            **event,
            total_s=1.0,
            overhead_s=0.0,
            attempts=(saved, lost),
            compressed=(Shortened("trim", 90, 1),),
        )
    )
    told = metrics.text().decode()
    for line in (
        'turnout_compressed_tokens_total{route="a",step="trim"} 90',
        'turnout_prompt_cache_tokens_total{kind="read",route="a"} 1000',
        'turnout_prompt_cache_saved_nusd_total{route="a"} 2700',
        'turnout_prompt_cache_lost_nusd_total{route="a"} 5',
    ):
        assert line in told
