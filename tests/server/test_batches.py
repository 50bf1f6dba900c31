"""Files and batches over HTTP: handed in, run by the background queue, collected by their owner alone."""

import asyncio
import json
from contextlib import asynccontextmanager

import anthropic
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


@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
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
            while len(held) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        held.clear()
        assert (await ended(ai, lost)).request_counts.completed == 2


async def test_every_endpoint_that_asks_models_takes_batches(tmp_path):
    async with rig(tmp_path) as running, client(running) as ai:
        asked = {
            "/v1/embeddings": ("oai/vectors", {"input": "x"}, "list"),
            "/v1/responses": ("ant/one", {"input": "x"}, "response"),
            "/v1/completions": ("gem/one", {"prompt": "x"}, "text_completion"),
        }
        for endpoint, (model, body, kind) in asked.items():
            batch = await batch_of(ai, line("a", model, endpoint, **body), endpoint=endpoint)
            done = await ended(ai, batch)
            [answer] = await lines_of(ai, done.output_file_id)
            assert answer["response"]["body"]["object"] == kind, answer


async def test_a_file_with_a_faulty_line_fails_whole_and_says_which(tmp_path):
    async with rig(tmp_path) as running, client(running) as ai:
        text = jsonl(line("a")) + b"{nope\n" + jsonl(line("a"), line("b", url="/v1/embeddings", input="x"))
        text += b'{"custom_id": "c", "method": "GET", "url": "/v1/chat/completions", "body": {}}\n\n'
        file = await ai.files.create(file=("in.jsonl", text), purpose="batch")
        batch = await ai.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        failed = await ended(ai, batch)
        assert (failed.status, failed.output_file_id, failed.request_counts.total) == ("failed", None, 0)
        assert [(each.line, each.code) for each in failed.errors.data] == [
            (2, "invalid_json_line"),
            (3, "duplicate_custom_id"),
            (4, "mismatched_endpoint"),
            (5, "invalid_method"),
        ]
        assert await running.records() == ()
        for wrong in (
            {"endpoint": "/v1/background"},
            {"completion_window": "30d"},
            {"input_file_id": "file-x"},
            {"endpoint": "/v1/models"},
        ):
            with pytest.raises(openai.APIStatusError) as refused:
                await ai.batches.create(
                    **{"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **wrong}
                )
            assert refused.value.status_code in (400, 404)


async def test_cancelling_keeps_what_was_answered_and_calls_back_the_rest(tmp_path):
    async with rig(tmp_path) as running, client(running) as ai:
        running.behave("ant-one", Fault(kind="hang"))
        batch = await batch_of(ai, line("a"), *(line(f"b{n}", "ant/one") for n in range(6)))
        async with asyncio.timeout(10):
            while (await ai.batches.retrieve(batch.id)).request_counts.completed < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        cancelling = await ai.batches.cancel(batch.id)
        assert cancelling.status in ("cancelling", "cancelled")
        done = await ended(ai, cancelling)
        assert (done.status, done.request_counts.total, done.request_counts.completed) == ("cancelled", 7, 1)
        assert [each["custom_id"] for each in await lines_of(ai, done.output_file_id)] == ["a"]
        codes = {each["error"]["code"] for each in await lines_of(ai, done.error_file_id)}
        assert codes == {"batch_cancelled"}
        with pytest.raises(openai.ConflictError):
            await ai.batches.cancel((await ended(ai, await batch_of(ai, line("a")))).id)


async def test_lines_that_are_not_answered_within_the_window_expire(tmp_path):
    async with rig(tmp_path) as running, client(running) as ai:
        running.behave("ant-one", Fault(kind="hang"))
        batch = await batch_of(ai, line("a"), line("b", "ant/one"))
        async with asyncio.timeout(10):
            while (await ai.batches.retrieve(batch.id)).request_counts.completed < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        past(running, batch.id)
        done = await ended(ai, batch)
        assert (done.status, done.request_counts.failed) == ("expired", 1)
        [late] = await lines_of(ai, done.error_file_id)
        assert (late["custom_id"], late["response"], late["error"]["code"]) == ("b", None, "batch_expired")


def past(running, batch_id):
    """Let a batch's window be over."""
    import msgspec

    from turnout.stores.files import Batch

    database = running.gateway.bulk._batches.bulk.batches._database
    with database.transaction() as db:
        (doc,) = db.execute("SELECT doc FROM batches WHERE id = ?", (batch_id,)).fetchone()
        batch = msgspec.msgpack.decode(doc, type=Batch)
        late = msgspec.structs.replace(batch, deadline_at=batch.created_at)
        db.execute("UPDATE batches SET doc = ? WHERE id = ?", (msgspec.msgpack.encode(late), batch_id))


async def test_what_is_a_projects_is_seen_by_its_keys_and_by_nobody_else(tmp_path):
    async with rig(tmp_path, server=KEYS) as running:
        ann, amy, bob = (client(running, f"sk-{name}-0123456789abc") for name in ("ann", "amy", "bob"))
        done = await ended(ann, await batch_of(ann, line("a")))
        assert (await amy.batches.retrieve(done.id)).id == done.id
        assert [each.id async for each in amy.files.list()] == [done.output_file_id, done.input_file_id]
        assert [each.id async for each in bob.files.list()] == []
        assert [each.id async for each in bob.batches.list()] == []
        for asked in (
            bob.files.retrieve(done.input_file_id),
            bob.files.content(done.output_file_id),
            bob.files.delete(done.input_file_id),
            bob.batches.retrieve(done.id),
            bob.batches.cancel(done.id),
            bob.batches.create(input_file_id=done.input_file_id, endpoint=CHAT, completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                await asked
        [record] = await running.records()
        assert (record.principal, record.project) == ("ann", "red")
        assert (await amy.files.delete(done.input_file_id)).deleted
        assert len(list((tmp_path / "files" / "content").iterdir())) == 1
        for each in (ann, amy, bob):
            await each.close()


async def test_files_are_bounded_listed_page_by_page_and_go_when_they_expire(tmp_path):
    small = "max_file_mib: 0.001, max_batch_mib: 0.002, max_mib: 0.004, max_files: 3"
    edit = lambda text: text.replace("/files}", f"/files, {small}}}")  # noqa: E731
    async with rig(tmp_path, edit=edit) as running, client(running) as ai:
        ids = []
        for n in range(3):
            age = {"anchor": "created_at", "seconds": 3600}
            file = await ai.files.create(file=(f"../{n}", b"x" * n), purpose="user_data", expires_after=age)
            ids.append(file.id)
        assert (file.filename, file.bytes, file.expires_at - file.created_at) == ("../2", 2, 3600)
        assert (await ai.files.content(file.id)).read() == b"xx"
        assert (await ai.files.content(ids[0])).read() == b""
        first = await ai.files.list(limit=2)
        assert ([each.id for each in first.data], first.has_more) == ([ids[2], ids[1]], True)
        assert [each.id async for each in ai.files.list(limit=2, order="asc")] == ids
        assert [each.id async for each in ai.files.list(purpose="batch")] == []
        with pytest.raises(openai.RateLimitError):
            await ai.files.create(file=("4", b"x"), purpose="user_data")
        await ai.files.delete(ids[0])
        for content, purpose in ((b"x" * 1100, "user_data"), (b"x" * 5000, "batch"), (b"x", "batch_output")):
            with pytest.raises(openai.APIStatusError) as refused:
                await ai.files.create(file=("5", content), purpose=purpose)
            assert refused.value.status_code in (400, 413)
        await ai.files.create(file=("6", b"x" * 1500), purpose="batch")
        assert sorted(each.name for each in (tmp_path / "files" / "content").iterdir()) == sorted(
            [each.id async for each in ai.files.list()]
        )


async def test_message_batches_in_anthropics_shape_over_any_provider(tmp_path):
    async with rig(tmp_path) as running, anthropic.AsyncAnthropic(base_url=running.url, api_key="x") as ai:
        running.behave("gem-two", Fault(kind="context"))
        params = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
        models = {"a": "ant/one", "b": "oai/one", "c": "nobody/knows", "d": "gem/two"}
        requests = [{"custom_id": name, "params": {**params, "model": m}} for name, m in models.items()]
        batch = await ai.messages.batches.create(requests=requests)
        assert (batch.type, batch.processing_status, batch.request_counts.processing) == (
            "message_batch",
            "in_progress",
            4,
        )
        async with asyncio.timeout(20):
            while batch.processing_status != "ended":
                await asyncio.sleep(0.01)
                batch = await ai.messages.batches.retrieve(batch.id)
        assert batch.request_counts.model_dump() == {
            "canceled": 0,
            "errored": 2,
            "expired": 0,
            "processing": 0,
            "succeeded": 2,
        }
        stream = await ai.messages.batches.results(batch.id)
        results = {each.custom_id: each.result async for each in stream}
        assert [result.type for result in results.values()] == [
            "succeeded",
            "succeeded",
            "errored",
            "errored",
        ]
        assert results["b"].message.content[0].text.startswith("This is an emulated answer of oai-one")
        assert results["c"].error.error.type == "not_found_error"
        assert results["d"].error.error.message.startswith("prompt is too long")
        second = await ai.messages.batches.create(requests=requests[:1])
        listed = await ai.messages.batches.list(limit=1)
        assert ([each.id for each in listed.data], listed.has_more) == ([second.id], True)
        assert [each.id async for each in ai.messages.batches.list(limit=1)] == [second.id, batch.id]
        assert (await ai.messages.batches.delete(batch.id)).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError):
            await ai.messages.batches.retrieve(batch.id)
        with pytest.raises(anthropic.BadRequestError):
            await ai.messages.batches.create(requests=[requests[0], requests[0]])


async def test_batch_jobs_in_geminis_shape_over_any_provider(tmp_path):
    def entry(text, **metadata):
        contents = [{"role": "user", "parts": [{"text": text}]}]
        return {"request": {"contents": contents, "model": "models/oai/one"}, "metadata": metadata}

    async with rig(tmp_path) as running:

        async def ask(path, body=None, method="POST"):
            reply = await call(running, f"/v1beta/{path}", body, method=method)
            return reply.status, reply.json()

        async def wait(name):
            async with asyncio.timeout(20):
                while not (told := (await ask(name, method="GET"))[1]).get("done"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            return told

        def job(*entries):
            return {
                "batch": {"displayName": "night", "inputConfig": {"requests": {"requests": list(entries)}}}
            }

        asked = job(
            entry("one", key="a"), entry("two", deep={"b": 1}), {"request": entry("three")["request"]}
        )
        status, made = await ask("models/oai/one:batchGenerateContent", asked)
        assert (status, made["metadata"]["state"], made["metadata"]["model"]) == (
            *(200, "BATCH_STATE_RUNNING", "models/oai/one"),
        )
        assert made["metadata"]["batchStats"] == {"requestCount": "3", "pendingRequestCount": "3"}
        done = await wait(made["name"])
        assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
        assert done["metadata"]["batchStats"] == {"requestCount": "3", "successfulRequestCount": "3"}
        assert done["metadata"]["output"] == done["response"]
        answers = done["response"]["inlinedResponses"]["inlinedResponses"]
        assert [each.get("metadata") for each in answers] == [{"key": "a"}, {"deep": {"b": 1}}, None]
        texts = [each["response"]["candidates"][0]["content"]["parts"][0]["text"] for each in answers]
        assert [text.rpartition(" ")[2] for text in texts] == ["one", "two", "three"]
        failing = (await ask("models/nobody/knows:batchGenerateContent", job({"request": {"contents": []}})))[
            1
        ]
        (answer,) = (await wait(failing["name"]))["response"]["inlinedResponses"]["inlinedResponses"]
        assert set(answer) == {"error"}
        first = (await ask("batches?pageSize=1", method="GET"))[1]
        rest = (await ask(f"batches?pageSize=1&pageToken={first['nextPageToken']}", method="GET"))[1]
        assert [first["operations"][0]["name"], rest["operations"][0]["name"], rest.get("nextPageToken")] == [
            *(failing["name"], made["name"], None)
        ]
        file = f"/v1/files/file-{made['name'].removeprefix('batches/batch_')}o"
        assert (await call(running, file, method="DELETE")).status == 200
        del done["response"], done["metadata"]["output"]
        assert await ask(made["name"], method="GET") == (200, done)
        assert (await ask(f"{made['name']}:cancel"))[0] == 200
        assert await ask(made["name"], method="DELETE") == (200, {})
        status, told = await ask(made["name"], method="GET")
        assert (status, told["error"]["status"]) == (404, "NOT_FOUND")
        for wrong in (
            job(),
            job({"request": {"model": "models/else", "contents": []}}),
            {"batch": {"inputConfig": {"fileName": "files/1"}}},
        ):
            status, told = await ask("models/oai/one:batchGenerateContent", wrong)
            assert (status, told["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_without_a_place_to_keep_them_there_are_none(rig):
    for path in ("/v1/files", "/v1/batches", "/v1/messages/batches", "/v1beta/batches"):
        reply = await call(rig, path, method="GET")
        assert (reply.status, "its operator can set" in reply.body.decode()) == (404, True)


async def test_what_is_with_a_provider_is_called_off_there_and_kept_as_far_as_it_came(tmp_path):
    async with rig(tmp_path, more=NATIVE, edit=cheaper) as running:
        running.emulator.batches.polls = 10_000
        ai = anthropic.AsyncAnthropic(base_url=running.url, api_key="x")
        params = {"model": "oai/one", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
        batch = await ai.messages.batches.create(requests=[{"custom_id": "a", "params": params}])
        held = running.emulator.batches.held
        async with asyncio.timeout(10):
            while not held or not next(iter(held.values())).n_polls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        batch = await ai.messages.batches.cancel(batch.id)
        assert batch.processing_status == "canceling"
        async with asyncio.timeout(10):
            while batch.processing_status != "ended":
                await asyncio.sleep(0.02)
                batch = await ai.messages.batches.retrieve(batch.id)
        [result] = [each.result async for each in await ai.messages.batches.results(batch.id)]
        assert (result.type, result.message.type, result.message.model) == ("succeeded", "message", "oai/one")
        assert [each.cancelled for each in held.values()] == [True]
        [record] = await running.records()
        assert (record.dialect, record.metadata) == ("anthropic", {"batch": batch.id})
        await ai.close()


async def test_jobs_of_vectors_in_geminis_shape(tmp_path):
    def entry(text, **metadata):
        content = {"parts": [{"text": text}]}
        return {"request": {"content": content, "outputDimensionality": 4}, "metadata": metadata}

    async with rig(tmp_path) as running:
        requests = {"requests": [entry("one", key="a"), entry("two", key="b"), {"request": {"content": 1}}]}
        asked = {"batch": {"displayName": "vectors", "inputConfig": {"requests": requests}}}
        made = (await call(running, "/v1beta/models/oai/vectors:asyncBatchEmbedContent", asked)).json()
        alone = (
            await call(running, "/v1beta/models/oai/vectors:embedContent", entry("one")["request"])
        ).json()
        told = {}
        async with asyncio.timeout(60):
            while not told.get("done"):
                told = (await call(running, f"/v1beta/{made['name']}", method="GET")).json()
    answers = told["response"]["inlinedResponses"]["inlinedResponses"]
    assert told["metadata"]["@type"].endswith(".EmbedContentBatch")
    assert told["metadata"]["model"] == "models/oai/vectors"
    assert [each.get("metadata") for each in answers] == [{"key": "a"}, {"key": "b"}, None]
    assert answers[0]["response"] == alone
    assert len(answers[1]["response"]["embedding"]["values"]) == 4
    assert answers[2]["error"]["status"] == "INVALID_ARGUMENT"
