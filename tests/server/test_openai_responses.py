"""The official openai client's `responses` against the running gateway, with upstreams of four formats."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import openai
import pytest

from tests.server.kit import Fault
from tests.server.kit import rig as start
from turnout import registry
from turnout.codecs.openai_chat import OpenAIChat
from turnout.config import ResponsesConfig
from turnout.server.deferred import open_deferred
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Reasoning, Refusal, Text, ToolCall

UPSTREAMS = ("res/one", "oai/one", "ant/one", "gem/one")
RUNNING = ("queued", "in_progress")
KEYS = "keys: [{name: ann, secret: sk-ann-0123456789abc}, {name: bob, secret: sk-bob-0123456789abc}]"
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
MODEL = "{model: res/one, upstream_model: res-one, price: {input: 1, output: 2}, context_window: 100000}"


def with_responses(text):
    """Add a provider that speaks responses, chosen by `codec`."""
    base = re.search(r'base_url: "([^"]*)/v1"', text)[1]
    row = f'  res: {{vendor: openai, codec: openai_responses, base_url: "{base}/v1", secret: sk-x}}\n'
    return text.replace("models:\n", f"{row}models:\n  - {MODEL}\n", 1)


@asynccontextmanager
async def running(extra="", **options):
    async with start(extra, edit=with_responses, **options) as rig:
        yield rig


@pytest.fixture
async def rig():
    async with running() as rig:
        yield rig


def client(rig, key="unused", **options):
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=key, max_retries=0, **options)


def said(model, text):
    name = model.replace("/", "-")
    return f"This is an emulated answer of {name}. You wrote {len(text)} characters, beginning: {text}"


def answers(rig, model, *parts):
    rig.emulator.add(model.replace("/", "-"), lambda request: reply_with(request, parts, model="x"))


def asked(rig, model):
    """Note what an upstream was asked; return the list it goes to."""
    seen = []

    def answer(request):
        seen.append(request)
        return reply_with(request, (Text("ok"),), model="x")

    rig.emulator.add(model.replace("/", "-"), answer)
    return seen


def words(request):
    """Return what was said in a conversation, as (role, text)."""
    return [
        (turn.role, "".join(part.text for part in turn.parts if isinstance(part, Text)))
        for turn in request.messages
    ]


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_question_is_answered(rig, model):
    async with client(rig) as ai:
        raw = await ai.responses.with_raw_response.create(model=model, input="Hi", instructions="Be brief.")
    answer = raw.parse()
    assert answer.output_text == said(model, "Hi")
    assert (answer.status, answer.object, answer.error) == ("completed", "response", None)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert raw.headers["x-turnout-model"] == model
    assert "x-turnout-dropped-params" not in raw.headers
    record = await rig.record(raw.headers["x-turnout-request-id"])
    assert record.outcome.usage.n_input == answer.usage.input_tokens
    assert record.attempts[0].express is (model == "res/one")


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_stream_has_typed_events_in_order(rig, model):
    async with client(rig) as ai:
        stream = await ai.responses.create(model=model, input="Count to three please", stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        *("response.created", "response.in_progress", "response.output_item.added")
    ]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    final = events[-1].response
    assert len(deltas) > 5
    assert "".join(deltas) == final.output_text == said(model, "Count to three please")
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    assert (events[-1].type, final.usage.total_tokens > 0) == ("response.completed", True)


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_the_clients_own_stream_helper_reads_it(rig, model):
    async with client(rig) as ai, ai.responses.stream(model=model, input="Hi") as stream:
        final = await stream.get_final_response()
    assert final.output_text == said(model, "Hi")


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_tool_is_called_and_its_result_read(rig, model, stream):
    items = [{"role": "user", "content": "Weather in Paris?"}]

    async def turn(ai):
        if not stream:
            return await ai.responses.create(model=model, input=items, tools=[TOOL])
        events = await ai.responses.create(model=model, input=items, tools=[TOOL], stream=True)
        return [event async for event in events][-1].response

    async with client(rig) as ai:
        first = await turn(ai)
        (call,) = [item for item in first.output if item.type == "function_call"]
        items += [item.model_dump(exclude_none=True) for item in first.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"})
        second = await turn(ai)
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "example"})
    assert second.output_text.startswith("This is an emulated answer")


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_parallel_calls_keep_apart(rig, model):
    answers(
        rig,
        model,
        ToolCall(id="call00001", name="weather", arguments='{"city":"Paris"}'),
        ToolCall(id="call00002", name="weather", arguments='{"city":"Rome"}'),
    )
    async with client(rig) as ai:
        stream = await ai.responses.create(model=model, input="Compare", tools=[TOOL], stream=True)
        events = [event async for event in stream]
    calls = [item for item in events[-1].response.output if item.type == "function_call"]
    assert [json.loads(item.arguments) for item in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert len({item.call_id for item in calls}) == 2
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [json.loads(event.arguments)["city"] for event in done] == ["Paris", "Rome"]


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_structured_output_is_the_shape_asked_for(rig, model):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    shape = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    async with client(rig) as ai:
        answer = await ai.responses.create(model=model, input="Who?", text=shape)
    assert json.loads(answer.output_text) == {"name": "example", "age": 1}


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_cut_answer_is_incomplete(rig, model):
    async with client(rig) as ai:
        answer = await ai.responses.create(model=model, input="Tell me all", max_output_tokens=2)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


async def test_a_refusal_is_content(rig):
    answers(rig, "oai/one", Refusal("I would rather not."))
    async with client(rig) as ai:
        answer = await ai.responses.create(model="oai/one", input="Do it")
    assert answer.output[0].content[0].refusal == "I would rather not."


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_conversation_goes_on_by_id(rig, model):
    async with client(rig) as ai:
        first = await ai.responses.create(model=model, input="I am Ann.", instructions="Be brief.")
        seen = asked(rig, model)
        second = await ai.responses.create(model=model, input="Who am I?", previous_response_id=first.id)
        third = await ai.responses.create(model="gem/two", input="Sure?", previous_response_id=second.id)
        stream = await ai.responses.create(
            model=model, input="Sure?", previous_response_id=third.id, stream=True
        )
        events = [event async for event in stream]
        kept = await ai.responses.retrieve(third.id)
    assert (first.previous_response_id, second.previous_response_id) == (None, first.id)
    assert kept.previous_response_id == third.previous_response_id == second.id
    assert {e.response.previous_response_id for e in events if hasattr(e, "response")} == {third.id}
    assert words(seen[0]) == [
        ("user", "I am Ann."),
        ("assistant", said(model, "I am Ann.")),
        ("user", "Who am I?"),
    ]


async def test_a_streamed_answer_is_kept_before_its_end_is_seen(rig):
    async with client(rig) as ai:
        for model in UPSTREAMS:
            stream = await ai.responses.create(model=model, input="Hi", stream=True)
            final = [event async for event in stream][-1].response
            found = await ai.responses.retrieve(final.id)
            assert found.output_text == final.output_text == said(model, "Hi")


async def test_calls_go_on_by_id_at_another_vendor(rig):
    async with client(rig) as ai:
        first = await ai.responses.create(model="ant/one", input="Weather?", tools=[TOOL])
        call = first.output[-1]
        seen = asked(rig, "gem/one")
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "22"}
        await ai.responses.create(
            model="gem/one", input=[output], previous_response_id=first.id, tools=[TOOL]
        )
    roles = [turn.role for turn in seen[0].messages]
    called = [part for turn in seen[0].messages for part in turn.parts if isinstance(part, ToolCall)]
    assert roles[:2] == ["user", "assistant"]
    assert [part.name for part in called] == ["weather"]


async def test_signed_thoughts_come_back_to_their_provider_alone(rig):
    thought = Reasoning(text="hm", signature="sig==", wire="anthropic")
    answers(rig, "ant/one", thought, Text("ok"))
    async with client(rig) as ai:
        first = await ai.responses.create(model="ant/one", input="Think")
        assert first.output[0].summary[0].text == "hm"
        seen_ant, seen_res = asked(rig, "ant/one"), asked(rig, "res/one")
        for model in ("ant/one", "res/one"):
            await ai.responses.create(model=model, input="Go on", previous_response_id=first.id)
            items = [item.model_dump(exclude_none=True) for item in first.output]
            items = [{"role": "user", "content": "Think"}, *items, {"role": "user", "content": "Go on"}]
            await ai.responses.create(model=model, input=items)
    for request in seen_ant:
        found = [part for turn in request.messages for part in turn.parts if isinstance(part, Reasoning)]
        assert [(part.text, part.signature) for part in found] == [("hm", "sig==")]
    for request in seen_res:
        assert not [part for turn in request.messages for part in turn.parts if isinstance(part, Reasoning)]


async def test_items_are_found_by_reference(rig):
    async with client(rig) as ai:
        first = await ai.responses.create(model="oai/one", input="Hi")
        seen = asked(rig, "ant/one")
        items = [
            {"role": "user", "content": "Hi"},
            {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": "Go on"},
        ]
        await ai.responses.create(model="ant/one", input=items)
        items[1]["id"] = "msg_nobody"
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="ant/one", input=items)
    assert words(seen[0])[1] == ("assistant", said("oai/one", "Hi"))
    assert (caught.value.param, caught.value.code) == ("input[1].id", "item_not_found")


async def test_an_answer_is_looked_at_listed_and_deleted(rig):
    async with client(rig) as ai:
        first = await ai.responses.create(model="oai/one", input="one")
        second = await ai.responses.create(model="oai/one", input="two", previous_response_id=first.id)
        assert (await ai.responses.retrieve(second.id)).output_text == said("oai/one", "two")
        newest = [item async for item in ai.responses.input_items.list(second.id, limit=1)]
        oldest = await ai.responses.input_items.list(second.id, order="asc", limit=2)
        assert [item.role for item in newest] == ["user", "assistant", "user"]
        assert len({item.id for item in newest}) == 3
        assert [item.content[0].text for item in oldest.data] == ["one", said("oai/one", "one")]
        await ai.responses.delete(first.id)
        for ask in (ai.responses.retrieve, ai.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await ask(first.id)
        assert (await ai.responses.retrieve(second.id)).id == second.id


async def test_what_is_not_to_be_kept_is_not(rig):
    async with client(rig) as ai:
        private = await ai.responses.create(model="oai/one", input="Hi", store=False)
        quiet = await ai.responses.create(
            model="oai/one", input="Hi", extra_headers={"x-turnout-log-content": "off"}
        )
        for answer in (private, quiet):
            with pytest.raises(openai.NotFoundError):
                await ai.responses.retrieve(answer.id)
            with pytest.raises(openai.BadRequestError) as caught:
                await ai.responses.create(model="oai/one", input="x", previous_response_id=answer.id)
            assert caught.value.code == "previous_response_not_found"
            assert caught.value.param == "previous_response_id"


async def test_nobody_goes_on_from_somebody_elses_answer():
    async with running(server=KEYS) as rig:
        ann, bob = client(rig, "sk-ann-0123456789abc"), client(rig, "sk-bob-0123456789abc")
        async with ann, bob:
            answer = await ann.responses.create(model="oai/one", input="secret")
            item = {"type": "item_reference", "id": answer.output[0].id}
            for ask in (bob.responses.retrieve, bob.responses.delete, bob.responses.input_items.list):
                with pytest.raises(openai.NotFoundError):
                    await ask(answer.id)
            for wrong in ({"previous_response_id": answer.id, "input": "x"}, {"input": [item]}):
                with pytest.raises(openai.BadRequestError):
                    await bob.responses.create(model="oai/one", **wrong)
            assert (await ann.responses.retrieve(answer.id)).id == answer.id


async def test_a_gateway_may_keep_nothing():
    async with running() as rig:
        rig.gateway.responses.keep_in(ResponsesConfig(keep=False))
        async with client(rig) as ai:
            answer = await ai.responses.create(model="oai/one", input="Hi")
            with pytest.raises(openai.NotFoundError):
                await ai.responses.retrieve(answer.id)
            with pytest.raises(openai.BadRequestError):
                await ai.responses.create(model="oai/one", input="Hi", background=True)


async def test_conversations_in_a_file_are_shared(tmp_path):
    async with running() as rig:
        close = rig.gateway.responses.keep_in(ResponsesConfig(path=str(tmp_path / "talk.db")))
        async with client(rig) as ai:
            first = await ai.responses.create(model="oai/one", input="Hi")
            await close()
            close = rig.gateway.responses.keep_in(ResponsesConfig(path=str(tmp_path / "talk.db")))
            assert (await ai.responses.retrieve(first.id)).output_text == first.output_text
        await close()


async def test_tools_of_the_provider_pass_where_it_has_them_and_are_refused_elsewhere(rig):
    search = {"type": "web_search"}
    async with client(rig) as ai:
        answer = await ai.responses.create(model="res/one", input="Hi", tools=[search])
        assert answer.status == "completed"
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="ant/one", input="Hi", tools=[search])
    assert caught.value.body["turnout"]["class"] in ("no_eligible_model", "unsupported_parameter")


FAULTS = [
    ("rate_limit", openai.RateLimitError, 429, "provider_rate_limited"),
    ("overloaded", openai.InternalServerError, 503, "provider_overloaded"),
    ("auth", openai.InternalServerError, 502, "provider_auth"),
    ("context", openai.BadRequestError, 400, "context_length_exceeded"),
    ("garbage", openai.InternalServerError, 502, "provider_bad_response"),
    ("close", openai.InternalServerError, 502, "provider_unreachable"),
]


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize(("kind", "raised", "status", "word"), FAULTS, ids=[row[0] for row in FAULTS])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_failures_are_the_clients_own_error_classes(rig, model, kind, raised, status, word, stream):
    rig.behave(model.replace("/", "-"), Fault(kind=kind))
    async with client(rig) as ai:
        with pytest.raises(raised) as caught:
            await ai.responses.create(model=model, input="Hi", stream=stream)
    assert (caught.value.status_code, caught.value.body["turnout"]["class"]) == (status, word)


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize("kind", ["cut", "half_frame", "wrong_length"])
async def test_a_stream_that_breaks_fails_in_its_own_words(rig, model, kind):
    rig.behave(model.replace("/", "-"), Fault(kind=kind))
    async with client(rig) as ai:
        stream = await ai.responses.create(model=model, input="Count to three please", stream=True)
        events = [event async for event in stream]
        with pytest.raises(openai.NotFoundError):
            await ai.responses.retrieve(events[0].response.id)
    error, failed = events[-2:]
    assert [event.type for event in events].count("response.created") == 1
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert failed.response.id == events[0].response.id
    assert (error.type, error.code) == ("error", "server_error")
    assert (failed.type, failed.response.status) == ("response.failed", "failed")
    assert failed.response.error.turnout["class"] in ("stream_interrupted", "provider_unreachable")


async def test_an_unknown_model_is_a_bad_request_here(rig):
    async with client(rig) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="oai/onee", input="Hi")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_chat_client_is_served_by_an_upstream_that_speaks_responses(rig):
    async with client(rig) as ai:
        whole = await ai.chat.completions.create(
            model="res/one", messages=[{"role": "user", "content": "Hi"}], seed=3
        )
        stream = await ai.chat.completions.create(
            model="res/one", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        with pytest.raises(openai.BadRequestError):
            await ai.chat.completions.create(
                model="res/one", messages=[{"role": "user", "content": "Hi"}], stop=["x"]
            )
    assert whole.choices[0].message.content == streamed == said("res/one", "Hi")


@asynccontextmanager
async def in_background(tmp_path):
    async with running(f"background: {{path: {tmp_path / 'jobs.db'}, lease_s: 1}}") as rig:
        deferred = open_deferred(rig.built, rig.gateway)
        try:
            yield rig
        finally:
            await deferred.close()


async def ended(ai, answer_id):
    async with asyncio.timeout(10):
        while (found := await ai.responses.retrieve(answer_id)).status in RUNNING:  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.01)
    return found


async def test_a_background_response_is_a_job(tmp_path):
    async with in_background(tmp_path) as rig, client(rig) as ai:
        queued = await ai.responses.create(model="ant/one", input="Hi", background=True)
        assert (queued.status, queued.background) == ("queued", True)
        found = await ended(ai, queued.id)
        assert (found.id, found.status, found.output_text) == (queued.id, "completed", said("ant/one", "Hi"))
        seen = asked(rig, "oai/one")
        await ai.responses.create(model="oai/one", input="Go on", previous_response_id=queued.id)
        assert words(seen[0])[1] == ("assistant", said("ant/one", "Hi"))


async def test_a_background_response_fails_and_is_cancelled_like_its_job(tmp_path):
    async with in_background(tmp_path) as rig, client(rig) as ai:
        rig.behave("oai-one", Fault(kind="context"))
        failing = await ai.responses.create(model="oai/one", input="Hi", background=True)
        found = await ended(ai, failing.id)
        assert (found.status, found.error.code) == ("failed", "server_error")
        rig.behave("ant-one", Fault(kind="hang"))
        hanging = await ai.responses.create(model="ant/one", input="Hi", background=True)
        with pytest.raises(openai.BadRequestError):
            await ai.responses.create(model="ant/one", input="x", previous_response_id=hanging.id)
        assert (await ai.responses.cancel(hanging.id)).status == "cancelled"


async def test_what_background_cannot_do_is_refused(tmp_path, rig):
    async with client(rig) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="oai/one", input="Hi", background=True)
        assert caught.value.param == "background"
    async with in_background(tmp_path) as other, client(other) as ai:
        for wrong, param in (({"stream": True}, "stream"), ({"store": False}, "store")):
            with pytest.raises(openai.BadRequestError) as caught:
                await ai.responses.create(model="oai/one", input="Hi", background=True, **wrong)
            assert caught.value.param == param
        plain = await ai.responses.create(model="oai/one", input="Hi")
        with pytest.raises(openai.BadRequestError):
            await ai.responses.cancel(plain.id)


async def test_a_format_of_an_installed_package_may_be_named(monkeypatch):
    monkeypatch.setattr(registry._REGISTRY, "_registered", {**registry._REGISTRY._registered})
    registry.register("turnout.codecs", "acme_chat", OpenAIChat)

    def named(text):
        return text.replace("oai: {vendor: openai,", "oai: {vendor: openai, codec: acme_chat,")

    async with start(edit=named) as rig, client(rig) as ai:
        answer = await ai.responses.create(model="oai/one", input="Hi")
    assert answer.output_text == said("oai/one", "Hi")


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_input_is_counted_before_it_is_sent(rig, model):
    async with client(rig) as ai:
        short = await ai.responses.input_tokens.count(model=model, input="Hi")
        first = await ai.responses.create(model=model, input="Tell me all there is to tell")
        more = await ai.responses.input_tokens.count(model=model, input="Hi", previous_response_id=first.id)
    assert more.input_tokens > short.input_tokens > 0
    assert short.object == "response.input_tokens"
