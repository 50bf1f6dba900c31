"""Answers that must have a shape, end to end: checked, repaired, counted."""

import json

import pytest

from tests.server.kit import Fault, call, chat
from tests.server.kit import rig as start
from turnout.testing.emulator.script import last_user_text, reply_with
from turnout.types.chat import Text, ToolCall

ROUTES = """
  - {name: told, models: [oai/one], structured: {}}
  - {name: same, models: [oai/one], structured: {repair: same}}
  - {name: strict, models: [oai/one], structured: {repair: same, on_invalid: error}}
  - {name: up, models: [oai/one, ant/two], structured: {repair: stronger}}
  - {name: idle, models: [oai/one], structured: {validate: false, repair: same}}
"""
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
WANTED = {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}}
BAD, GOOD = '{"x": "one"}', '{"x": 1}'
TOLD = '$.x: "one" is not of type "integer"'


def rig(**more):
    dear = "price: {input: 1, output: 2}, context_window: 100000, max_output: 8192"
    return start(
        routes=ROUTES,
        edit=lambda text: text.replace(
            f"model: ant/two, upstream_model: ant-two, {dear}",
            f"model: ant/two, upstream_model: ant-two, {dear.replace('input: 1', 'input: 9')}",
        ),
        **more,
    )


def saying(asked, *answers):
    """Give one answer after the other, the last for ever; keep what was asked."""

    def script(request):
        asked.append(request)
        return reply_with(request, (Text(answers[min(len(asked), len(answers)) - 1]),), model="m")

    return script


def notes(reply):
    names = ("x-turnout-repaired", "x-turnout-warnings", "x-turnout-model")
    return tuple(reply.header(name) for name in names)


def tries(record):
    """What the Record says of each call: for whom, why, and what was said of the answer."""
    return [(a.model, a.repair, a.outcome, a.verdict) for a in record.attempts]


async def ask(running, route, **more):
    return await call(running, "/v1/chat/completions", chat(f"turnout/{route}", **WANTED, **more))


async def test_a_miss_is_only_told_where_nobody_is_asked_again():
    async with rig() as running:
        asked = []
        running.emulator.add("oai-one", saying(asked, BAD))
        reply = await ask(running, "told")
        assert (reply.status, said(reply)["content"]) == (200, BAD)
        assert notes(reply) == (None, "structured_output_invalid", "oai/one")
        streamed = await ask(running, "told", stream=True)
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        off = await ask(running, "idle")
        assert notes(off) == (None, None, "oai/one")
        first, second, third = await running.records()
        assert [r.outcome.shaped for r in (first, second, third)] == ["invalid", "invalid", None]
        assert first.decision.structured.repair == "off"
        assert third.decision.structured is None
        for record in (first, second):
            assert tries(record) == [("oai/one", None, "rejected", "schema_violated")]
            assert record.warnings == ("structured_output_invalid",)
        assert len(asked) == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_model_is_told_what_was_wrong_and_both_calls_are_paid(stream):
    async with rig() as running:
        asked = []
        running.emulator.add("oai-one", saying(asked, BAD, GOOD))
        reply = await ask(running, "same", stream=stream)
        assert notes(reply) == ("1", None, "oai/one")
        assert (words(reply.body) if stream else said(reply)["content"]) == GOOD
        assert [m.role for m in asked[1].messages] == ["user", "assistant", "user"]
        assert asked[1].messages[1].parts == (Text(BAD),)
        assert TOLD in last_user_text(asked[1])
        (record,) = await running.records()
        assert tries(record) == [
            ("oai/one", None, "rejected", "schema_violated"),
            ("oai/one", "schema_violated", "ok", None),
        ]
        assert record.outcome.shaped == "repaired"
        assert record.outcome.cost_nusd == sum(a.cost_nusd for a in record.attempts)
        assert all(a.cost_nusd for a in record.attempts)


async def test_the_next_stronger_model_of_the_route_repairs():
    async with rig() as running:
        asked = []
        running.emulator.add("oai-one", saying([], BAD))
        running.emulator.add("ant-two", saying(asked, GOOD))
        reply = await ask(running, "up")
        assert (said(reply)["content"], *notes(reply)) == (GOOD, "1", "schema_adapted", "ant/two")
        assert TOLD in last_user_text(asked[0])


async def test_an_answer_that_still_misses_is_an_error_where_the_route_says_so():
    async with rig() as running:
        running.emulator.add("oai-one", saying([], BAD))
        reply = await ask(running, "strict")
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"]) == (502, "invalid_model_output")
        as_is = await ask(running, "same")
        assert (said(as_is)["content"], *notes(as_is)) == (BAD, "1", "structured_output_invalid", "oai/one")


async def test_arguments_of_a_forced_tool_are_mended_through_its_result():
    async with rig() as running:
        asked = []

        def script(request):
            asked.append(request)
            part = ToolCall(id=f"c{len(asked)}", name="p", arguments=(BAD, GOOD)[len(asked) - 1])
            return reply_with(request, (part,), model="m")

        running.emulator.add("oai-one", script)
        tool = {"type": "function", "function": {"name": "p", "parameters": SCHEMA}}
        forced = {"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "p"}}}
        reply = await call(running, "/v1/chat/completions", chat("turnout/same", **forced))
        assert said(reply)["tool_calls"][0]["function"]["arguments"] == GOOD
        result = asked[1].messages[-1].parts[0]
        assert (result.call_id, TOLD in result.content[0].text) == ("c1", True)


async def test_a_repair_that_fails_leaves_the_answer_there_was():
    async with rig() as running:
        running.emulator.add("oai-one", saying([], BAD))
        running.behave("ant-two", Fault(kind="server_error"))
        reply = await ask(running, "up")
        assert (reply.status, said(reply)["content"]) == (200, BAD)
        assert notes(reply) == ("1", "structured_output_invalid,schema_adapted,repair_failed", "oai/one")


def said(reply):
    return reply.json()["choices"][0]["message"]


def words(body):
    frames = [line[6:] for line in body.decode().splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for frame in frames for choice in json.loads(frame).get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)
