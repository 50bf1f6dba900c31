"""Files and batches over HTTP: handed in, run by the background queue, collected by their owner alone."""

import asyncio
import json
from contextlib import asynccontextmanager

import openai
import pytest

from tests.server.kit import Fault, call
from tests.server.kit import rig as start
from turnout.server.opened import open_beside

KEYS = """keys: [{name: ann, secret: sk-ann-0123456789abc, project: red, organisation: o},
  {name: amy, secret: sk-amy-0123456789abc, project: red, organisation: o},
  {name: bob, secret: sk-bob-0123456789abc}]"""
CHAT = "/v1/chat/completions"


@asynccontextmanager
async def rig(tmp_path, *, more="", server="", routes="", edit=str):
    text = f"background: {{path: {tmp_path}/jobs.db, lease_s: 1}}\nfiles: {{path: {tmp_path}/files}}\n{more}"
    async with start(text, server=server, routes=routes, edit=edit) as running:
        beside = open_beside(running.built, running.gateway)
        over = asyncio.Event()
        serving = asyncio.create_task(beside.serve(over.wait(), lambda: 0.0))
        try:
            yield running
        finally:
            over.set()
            await serving


def client(running, key="none"):
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)


def line(custom_id, model="oai/one", url=CHAT, **body):
    body = {"messages": [{"role": "user", "content": f"hi {custom_id}"}], **body} if url == CHAT else body
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **body}}


def jsonl(*lines):
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


async def batch_of(ai, *lines, endpoint=CHAT, **more):
    file = await ai.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")
    return await ai.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


async def ended(ai, batch):
    async with asyncio.timeout(20):
        while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
            await asyncio.sleep(0.02)
            batch = await ai.batches.retrieve(batch.id)
    return batch


async def lines_of(ai, file_id):
    text = (await ai.files.content(file_id)).text
    return [json.loads(each) for each in text.splitlines()]


async def test_a_batch_over_several_providers_answers_every_line_once(tmp_path):
    async with rig(tmp_path) as running, client(running) as ai:
        running.behave("gem-two", Fault(kind="context"))
        batch = await batch_of(
            ai,
            line("a", "oai/one"),
            line("b", "ant/one"),
            line("c", "nobody/knows"),
            line("d", "gem/two"),
            line("e", "turnout/assistant"),
            metadata={"night": "1"},
        )
        assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", {"night": "1"})
        done = await ended(ai, batch)
        assert done.status == "completed", done
        assert done.request_counts.model_dump() == {"total": 5, "completed": 3, "failed": 2}
        assert done.expires_at - done.created_at == 86_400
        output = await lines_of(ai, done.output_file_id)
        assert [each["custom_id"] for each in output] == ["a", "b", "e"]
        assert {each["response"]["status_code"] for each in output} == {200}
        assert output[0]["response"]["body"]["choices"][0]["message"]["content"].endswith("beginning: hi a")
        assert output[1]["response"]["body"]["model"] == "ant/one"
        failed = await lines_of(ai, done.error_file_id)
        told = {each["custom_id"]: each["response"]["body"]["error"]["code"] for each in failed}
        assert told == {"c": "model_not_found", "d": "context_length_exceeded"}
        records = await running.records()
        asked = {each["response"]["request_id"] for each in output} | {failed[1]["response"]["request_id"]}
        assert {record.request_id for record in records} == asked
        file = await ai.files.retrieve(done.output_file_id)
        assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
        for each in (tmp_path / "files").rglob("*"):
            assert each.stat().st_mode & 0o077 == 0, each


SHARE = "price: {input: 1, output: 2, batch_share: 0.5}"
NATIVE = """batches: {native: auto, poll_s: 0.05}
budgets: [{id: b, level: provider, usd: 1, per: day}]
ledger: {store: memory}"""


def cheaper(text):
    return text.replace("price: {input: 1, output: 2}", SHARE)


async def spent_of(running):
    return {record.request_id: record.outcome.cost_nusd for record in await running.records()}


@pytest.mark.parametrize("model", ["oai/one", "ant/one"])
async def test_a_batch_goes_to_the_providers_own_endpoint_where_that_is_cheaper(tmp_path, model):
    async with rig(tmp_path, more=NATIVE, edit=cheaper) as running, client(running) as ai:
        running.emulator.batches.polls = 2
        batch = await batch_of(ai, line("a", model), line("b", model, max_tokens=5))
        done = await ended(ai, batch)
        assert (done.status, done.request_counts.completed) == ("completed", 2)
        [held] = running.emulator.batches.held.values()
        assert (held.n, held.n_polls >= 2, held.is_messages) == (2, True, model == "ant/one")
        output = await lines_of(ai, done.output_file_id)
        assert [each["custom_id"] for each in output] == ["a", "b"]
        body = output[0]["response"]["body"]
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"].endswith("beginning: hi a")
        assert output[1]["response"]["body"]["choices"][0]["finish_reason"] == "length"
        spent = await spent_of(running)
        usages = {each["response"]["request_id"]: each["response"]["body"]["usage"] for each in output}
        assert spent == {
            name: (u["prompt_tokens"] * 1000 + u["completion_tokens"] * 2000) // 2
            for name, u in usages.items()
        }
        books = running.built.books
        provider = model.partition("/")[0]
        limits = running.built.engine.snapshot.limits
        take = limits.take(limits.budgets["b"], provider, 0, books.now())
        assert await books.ledger.used([take]) == (sum(spent.values()),)


async def test_what_cannot_be_handed_over_is_answered_here(tmp_path):
    async with rig(tmp_path, more=NATIVE, edit=cheaper) as running, client(running) as ai:
        held = running.emulator.batches.held
        mixed = await ended(ai, await batch_of(ai, line("a", "oai/one"), line("b", "ant/one")))
        assert (mixed.request_counts.completed, len(held)) == (2, 0)
        running.emulator.batches.down = True
        refused = await ended(ai, await batch_of(ai, line("a"), line("b")))
        assert (refused.status, refused.request_counts.completed) == ("completed", 2)
        running.emulator.batches.down = False
        running.behave("oai-two", Fault(kind="context", first=1))
        failing = await ended(ai, await batch_of(ai, line("a", "oai/two"), line("b", "oai/two")))
        assert (failing.request_counts.completed, failing.request_counts.failed, len(held)) == (1, 1, 1)
        told = await lines_of(ai, failing.error_file_id)
        assert told[0]["response"]["body"]["error"]["code"] == "context_length_exceeded"
        lost = await batch_of(ai, line("a"), line("b"))
        async with asyncio.timeout(5):
            while len(held) < 2:
                await asyncio.sleep(0.01)
        held.clear()
        assert (await ended(ai, lost)).request_counts.completed == 2
