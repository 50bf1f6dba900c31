"""`/v1/responses/compact` by the official client: the provider's own, and ours (ADR 152)."""

import openai
import pytest

from tests.server.test_openai_responses import asked, client, running, words
from turnout.codecs.openai_responses.compaction import INSTRUCTIONS
from turnout.codecs.openai_responses.seal import summary_in
from turnout.testing.emulator.script import reply_with

TURNS = [
    {"role": "user", "content": "My name is Ann."},
    {"role": "assistant", "content": "Hello Ann."},
    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    {"role": "user", "content": "What now?"},
]
RECORD = (
    "[user] My name is Ann.\n\n[assistant] Hello Ann.\n\n"
    '[assistant] (calls weather: {"city":"Oslo"})\n\n[tool] (result) rain\n\n[user] What now?'
)
OWN = "responses: {compact: own}"


async def test_a_provider_that_has_it_is_asked_and_its_item_goes_only_to_it():
    async with running() as rig, client(rig) as ai:
        raw = await ai.responses.with_raw_response.compact(model="res/one", input=TURNS)
        short = raw.parse()
        seen = asked(rig, "res/one")
        items = [item.model_dump(exclude_none=True) for item in short.output]
        items.append({"role": "user", "content": "Go on."})
        await ai.responses.create(model="res/one", input=items)
        with pytest.raises(openai.BadRequestError, match="no_server_tools"):
            await ai.responses.create(model="ant/one", input=items)
        record = await rig.record(raw.headers["x-turnout-request-id"])
    assert (short.object, [item.type for item in short.output]) == (
        "response.compaction",
        ["message", "message", "compaction"],
    )
    assert [short.output[-1].encrypted_content, short.usage.output_tokens] == ["gAAAA-emulated", 7]
    assert (record.endpoint, record.outcome.usage.n_output) == ("chat", 7)
    assert record.outcome.cost_nusd == short.usage.input_tokens * 1000 + 7 * 2000
    assert len(seen) == 1


async def test_what_no_provider_of_it_makes_short_is_refused():
    async with running() as rig, client(rig) as ai:
        with pytest.raises(openai.BadRequestError, match=r"responses\.compact to own") as refused:
            await ai.responses.compact(model="ant/one", input=TURNS)
        assert refused.value.code == "unsupported_parameter"
        later = {"turnout": {"background": {}}}
        with pytest.raises(openai.BadRequestError, match="at once"):
            await ai.responses.compact(model="res/one", input=TURNS, extra_body=later)
        assert not rig.emulator.served


@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_a_model_is_asked_for_notes_that_every_provider_can_read(model):
    async with running(OWN) as rig, client(rig) as ai:
        seen = asked(rig, model)
        raw = await ai.responses.with_raw_response.compact(model=model, input=TURNS)
        short = raw.parse()
        assert words(seen[0]) == [("system", INSTRUCTIONS), ("user", RECORD)]
        assert summary_in(short.output[-1].model_dump()) == "ok"
        assert [item.content[0].text for item in short.output[:-1]] == ["My name is Ann.", "What now?"]
        assert raw.headers["x-turnout-warnings"] == "compacted_here"
        items = [item.model_dump(exclude_none=True) for item in short.output]
        for other in ("res/one", "ant/one"):
            heard = asked(rig, other)
            await ai.responses.create(model=other, input=[*items, {"role": "user", "content": "Go on."}])
            told = "".join(text for _, text in words(heard[-1]))
            assert told.endswith("What was said before, in short:\n\nokGo on.")
        again = await ai.responses.compact(model="res/one", input=items)
        record = await rig.record(raw.headers["x-turnout-request-id"])
    assert [item.type for item in again.output] == ["message", "message", "compaction"]
    assert (record.outcome.model, record.outcome.usage.n_input > 0) == (model, True)


async def test_an_answer_is_gone_on_from_by_id_and_the_configured_model_writes():
    async with running("responses: {compact: own, compact_with: gem/two}") as rig, client(rig) as ai:
        seen = asked(rig, "gem/two")
        first = await ai.responses.create(model="ant/one", input="Hi")
        short = await ai.responses.compact(model="ant/one", previous_response_id=first.id)
    assert words(seen[0])[-1][1].startswith("[user] Hi\n\n[assistant] This is an emulated answer")
    assert [item.type for item in short.output] == ["message", "compaction"]


GUARDED = """
guards:
  rules:
    - {name: watch, guard: {type: pii}, mode: monitor, everywhere: true}
"""


async def test_what_only_a_provider_can_read_is_not_asked_for_behind_guards():
    async with running(f"{OWN}\n{GUARDED}") as rig, client(rig) as ai:
        raw = await ai.responses.with_raw_response.compact(model="res/one", input=TURNS)
        assert raw.headers["x-turnout-warnings"] == "compacted_here"
    async with running(GUARDED) as rig, client(rig) as ai:
        with pytest.raises(openai.PermissionDeniedError, match="guards apply here"):
            await ai.responses.compact(model="res/one", input=TURNS)


async def test_notes_that_were_cut_short_are_no_answer_and_a_key_asks_twice_for_one():
    async with running(OWN) as rig, client(rig) as ai:
        rig.emulator.add("ant-one", lambda request: reply_with(request, (), model="x"))
        with pytest.raises(openai.InternalServerError, match="nothing whole"):
            await ai.responses.compact(model="ant/one", input=TURNS)
        seen = asked(rig, "ant/one")
        again = {"idempotency-key": "k-1"}
        first = await ai.responses.compact(model="ant/one", input=TURNS, extra_headers=again)
        second = await ai.responses.compact(model="ant/one", input=TURNS, extra_headers=again)
        opaque = [{"type": "compaction", "encrypted_content": "gAAAA"}]
        with pytest.raises(openai.BadRequestError, match="only its provider can read"):
            await ai.responses.compact(model="ant/one", input=opaque)
    assert (first, len(seen)) == (second, 1)
