"""The official openai client's `conversations` against the running gateway."""

import asyncio

import openai
import pytest
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
    Message,
)

from tests.server.kit import call
from tests.server.test_openai_responses import (
    KEYS,
    TOOL,
    asked,
    client,
    ended,
    in_background,
    running,
    said,
    words,
)
from turnout.config import ResponsesConfig
from turnout.stores.conversations.sqlite import SqliteConversations

HELLO = {"role": "user", "content": "I am Ann."}


@pytest.fixture
async def rig():
    async with running() as rig:
        yield rig


def texts(items):
    return [item.content[0].text for item in items]


async def test_a_conversation_is_made_looked_at_labelled_and_deleted(rig):
    async with client(rig) as ai:
        made = await ai.conversations.create(items=[HELLO], metadata={"topic": "names"})
        assert made.to_dict() == {
            "id": made.id,
            "object": "conversation",
            "created_at": made.created_at,
            "metadata": {"topic": "names"},
        }
        assert Conversation.model_validate(made.to_dict(), strict=True).id.startswith("conv_")
        assert await ai.conversations.retrieve(made.id) == made
        labelled = await ai.conversations.update(made.id, metadata={"topic": "other"})
        assert (labelled.id, labelled.metadata) == (made.id, {"topic": "other"})
        gone = await ai.conversations.delete(made.id)
        assert ConversationDeletedResource.model_validate(gone.to_dict(), strict=True).deleted is True
        for ask in (
            ai.conversations.retrieve(made.id),
            ai.conversations.delete(made.id),
            ai.conversations.update(made.id, metadata=None),
            ai.conversations.items.create(made.id, items=[HELLO]),
            ai.responses.retrieve(made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await ask
        with pytest.raises(openai.NotFoundError):
            await ai.conversations.items.list(made.id)


async def test_items_are_added_listed_page_by_page_and_deleted(rig):
    async with client(rig) as ai:
        talk = await ai.conversations.create()
        empty = await ai.conversations.items.list(talk.id)
        call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "c1", "output": "22"}
        answer = {"role": "assistant", "content": "Warm.", "id": "msg_mine"}
        new = await ai.conversations.items.create(talk.id, items=[HELLO, call, output, answer])
        ConversationItemList.model_validate(new.to_dict(), strict=False)
        listed = await ai.conversations.items.list(talk.id, order="asc", limit=3)
        paged = [item async for item in ai.conversations.items.list(talk.id, limit=1)]
        first = await ai.conversations.items.retrieve(new.first_id, conversation_id=talk.id)
        left = await ai.conversations.items.delete(new.data[1].id, conversation_id=talk.id)
        with pytest.raises(openai.NotFoundError):
            await ai.conversations.items.retrieve(new.data[1].id, conversation_id=talk.id)
        rest = await ai.conversations.items.list(talk.id)
    assert (empty.data, empty.has_more, empty.first_id) == ([], False, None)
    assert (listed.has_more, listed.data) == (True, new.data[:3])
    assert [item.id for item in reversed(paged)] == [item.id for item in new.data]
    assert (new.last_id, new.data[3].content[0].type) == ("msg_mine", "output_text")
    assert Message.model_validate(first.to_dict(), strict=True).to_dict() == {
        "id": new.first_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "I am Ann."}],
    }
    assert left == talk
    assert [item.type for item in rest.data] == ["message", "function_call_output", "message"]


@pytest.mark.parametrize("model", ["res/one", "ant/one"], ids=["express", "rendered"])
async def test_an_answer_goes_on_in_its_conversation(rig, model):
    async with client(rig) as ai:
        talk = await ai.conversations.create(items=[HELLO, {"role": "assistant", "content": "Hello."}])
        first = await ai.responses.create(model=model, input="Who am I?", conversation=talk.id)
        stream = await ai.responses.create(
            model=model, input="Sure?", conversation={"id": talk.id}, stream=True
        )
        events = [event async for event in stream]
        seen = asked(rig, "gem/two")
        await ai.responses.create(model="gem/two", input="Really?", conversation=talk.id)
        items = (await ai.conversations.items.list(talk.id, order="asc")).data
        kept = await ai.responses.retrieve(first.id)
        after = await ai.responses.create(model=model, input="And now?", previous_response_id=first.id)
    named = [event.response.conversation.id for event in events if hasattr(event, "response")]
    assert {first.conversation.id, kept.conversation.id, *named} == {talk.id}
    said_so = said(model, "Who am I?"), "Sure?", said(model, "Sure?")
    told = ["I am Ann.", "Hello.", "Who am I?", *said_so, "Really?"]
    assert texts(items) == [*told, "ok"]
    assert [text for _, text in words(seen[0])] == told
    assert len({item.id for item in items}) == len(items)
    assert first.output[0].id == items[3].id
    assert after.status == "completed"


async def test_calls_and_references_go_on_in_a_conversation(rig):
    async with client(rig) as ai:
        talk = await ai.conversations.create()
        first = await ai.responses.create(
            model="ant/one", input="Weather?", tools=[TOOL], conversation=talk.id
        )
        seen = asked(rig, "oai/one")
        output = {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "22"}
        await ai.responses.create(model="oai/one", input=[output], tools=[TOOL], conversation=talk.id)
        (item,) = (await ai.conversations.items.list(talk.id, limit=1)).data
        await ai.responses.delete(first.id)
        await ai.responses.create(
            model="oai/one", input=[HELLO, {"type": "item_reference", "id": item.id}, HELLO]
        )
    assert [turn.role for turn in seen[0].messages] == ["user", "assistant", "tool"]
    assert words(seen[1]) == [("user", "I am Ann."), ("assistant", "ok"), ("user", "I am Ann.")]


async def test_turns_at_once_both_land_and_a_repeated_one_lands_once(rig, tmp_path):
    close = rig.gateway.responses.keep_in(ResponsesConfig(path=str(tmp_path / "talk.db")))
    async with client(rig) as ai:
        talk = await ai.conversations.create()
        await asyncio.gather(
            *(ai.responses.create(model="oai/one", input=str(n), conversation=talk.id) for n in range(4))
        )
        items = (await ai.conversations.items.list(talk.id, order="asc")).data
        found = texts(items)
        again = {"extra_headers": {"idempotency-key": "k1"}, "conversation": talk.id}
        one = await ai.responses.create(model="oai/one", input="x", **again)
        two = await ai.responses.create(model="oai/one", input="x", **again)
        n_after = len((await ai.conversations.items.list(talk.id)).data)
        size = await ai.responses.input_tokens.count(model="oai/one", input="x", conversation=talk.id)
        alone = await ai.responses.input_tokens.count(model="oai/one", input="x")
    assert sorted(found[::2]) == ["0", "1", "2", "3"]
    assert [said("oai/one", text) for text in found[::2]] == found[1::2]
    assert (one, n_after) == (two, 10)
    assert size.input_tokens > alone.input_tokens
    await close()
    file = SqliteConversations(tmp_path / "talk.db")
    assert (await file.erase(""), await file.get("", talk.id)) == (6, None)
    await file.close()


async def test_what_is_not_to_be_kept_is_not_added(rig):
    async with client(rig) as ai:
        talk = await ai.conversations.create(items=[HELLO])
        seen = asked(rig, "oai/one")
        for wish in ({"store": False}, {"extra_headers": {"x-turnout-log-content": "off"}}):
            answer = await ai.responses.create(model="oai/one", input="Hi", conversation=talk.id, **wish)
            assert answer.conversation.id == talk.id
        items = (await ai.conversations.items.list(talk.id)).data
    assert [text for _, text in words(seen[1])] == ["I am Ann.", "Hi"]
    assert texts(items) == ["I am Ann."]


async def test_a_conversation_is_its_keys_alone():
    async with running(server=KEYS) as rig:
        ann, bob = client(rig, "sk-ann-0123456789abc"), client(rig, "sk-bob-0123456789abc")
        async with ann, bob:
            talk = await ann.conversations.create(items=[HELLO])
            (item,) = (await ann.conversations.items.list(talk.id)).data
            for ask in (
                bob.conversations.retrieve(talk.id),
                bob.conversations.update(talk.id, metadata={}),
                bob.conversations.delete(talk.id),
                bob.conversations.items.create(talk.id, items=[HELLO]),
                bob.conversations.items.retrieve(item.id, conversation_id=talk.id),
                bob.conversations.items.delete(item.id, conversation_id=talk.id),
            ):
                with pytest.raises(openai.NotFoundError):
                    await ask
            with pytest.raises(openai.BadRequestError) as caught:
                await bob.responses.create(model="oai/one", input="x", conversation=talk.id)
            assert (caught.value.code, caught.value.param) == ("conversation_not_found", "conversation")
            reference = {"type": "item_reference", "id": item.id}
            with pytest.raises(openai.BadRequestError):
                await bob.responses.create(model="oai/one", input=[reference])
            assert len((await ann.conversations.items.list(talk.id)).data) == 1


async def test_what_no_conversation_can_be_is_refused(rig):
    async with client(rig) as ai:
        talk = await ai.conversations.create()
        for wrong, param in (
            ({"items": [HELLO] * 21}, "items"),
            ({"items": [{"type": "item_reference", "id": "x"}]}, "items[0].type"),
            ({"items": [{"role": "user"}]}, "input[0].content"),
            ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
            ({"metadata": {"a": "x" * 513}}, "metadata[...]"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await ai.conversations.create(**wrong)
            assert caught.value.param == param
        for wrong in (
            {"conversation": talk.id, "previous_response_id": "resp_x"},
            {"conversation": 7},
            {"conversation": "resp_x"},
            {"conversation": ""},
            {"conversation": {}},
            {"previous_response_id": ""},
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await ai.responses.create(model="res/one", input="x", **wrong)
            assert caught.value.param in {"conversation", "previous_response_id"}
        with pytest.raises(openai.BadRequestError):
            await ai.conversations.items.list(talk.id, limit=0)
    reply = await call(rig, "/v1/conversations/conv_x/items/msg_x/more", method="GET")
    assert reply.status == 404
    rig.gateway.responses.keep_in(ResponsesConfig(keep=False))
    async with client(rig) as ai:
        for ask in (ai.conversations.create(), ai.conversations.retrieve(talk.id)):
            with pytest.raises(openai.NotFoundError):
                await ask


async def test_a_background_answer_is_added_when_it_is_made(tmp_path):
    async with in_background(tmp_path) as rig, client(rig) as ai:
        talk = await ai.conversations.create(items=[HELLO])
        queued = await ai.responses.create(
            model="oai/one", input="Who?", background=True, conversation=talk.id
        )
        done = await ended(ai, queued.id)
        items = (await ai.conversations.items.list(talk.id, order="asc")).data
    assert (queued.conversation.id, done.conversation.id) == (talk.id, talk.id)
    assert texts(items) == ["I am Ann.", "Who?", said("oai/one", "Who?")]
