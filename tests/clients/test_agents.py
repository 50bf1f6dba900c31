"""Coding agents finish a task with tool calls, although another vendor than their own answers."""

import json

import pytest

from tests.clients.agents import AFTER, BEFORE, DONE, claude_code, codex, desk, editing
from tests.clients.kit import running


@pytest.mark.parametrize("upstream", ["oai", "gem"])
async def test_claude_code_edits_a_file(upstream):
    async with running() as rig:
        with desk() as at:
            edit = {"file_path": str(at.note), "old_string": "teh", "new_string": "the"}
            answer, seen = editing(("Read", {"file_path": str(at.note)}), ("Edit", edit))
            rig.emulator.add(f"{upstream}-one", answer)
            run = await claude_code(rig, f"{upstream}/one", at)
        records = await rig.records()
    assert (run.status, run.note) == (0, AFTER), run.noise
    told = json.loads(run.told)
    assert (told["result"], told["num_turns"], told["is_error"]) == (DONE, 3, False)
    assert BEFORE.strip() in seen[0]
    assert "has been updated" in seen[1]
    assert [record.outcome.model for record in records] == [f"{upstream}/one"] * 3
    assert {record.outcome.finish for record in records} == {"tool_calls", "stop"}
    assert told["usage"]["input_tokens"] == sum(record.outcome.usage.n_input for record in records)


@pytest.mark.parametrize("upstream", ["ant", "gem"])
async def test_codex_edits_a_file(upstream):
    async with running() as rig:
        with desk() as at:
            answer, seen = editing(("exec_command", {"cmd": "sed -i s/teh/the/ note.txt && cat note.txt"}))
            rig.emulator.add(f"{upstream}-one", answer)
            run = await codex(rig, f"{upstream}/one", at)
        records = await rig.records()
    assert (run.status, run.note) == (0, AFTER), run.told + run.noise
    events = [json.loads(line) for line in run.told.splitlines()]
    assert events[-1]["type"] == "turn.completed"
    assert DONE in {event["item"].get("text") for event in events if event["type"] == "item.completed"}
    assert AFTER.strip() in seen[0]
    assert [record.outcome.model for record in records] == [f"{upstream}/one"] * 2
    assert events[-1]["usage"]["input_tokens"] == sum(record.outcome.usage.n_input for record in records)
