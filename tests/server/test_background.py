"""`/v1/background`: jobs handed in over HTTP, run by the endpoint they name, collected by their owner."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.server.kit import Fault, call
from tests.server.kit import rig as start
from turnout.server.deferred import open_deferred

BODY = {"model": "oai/one", "messages": [{"role": "user", "content": "hi"}]}
JOB = {"path": "/v1/chat/completions", "body": BODY}
KEYS = "keys: [{name: ann, secret: sk-ann-0123456789abc}, {name: bob, secret: sk-bob-0123456789abc}]"
ANN = "Authorization: Bearer sk-ann-0123456789abc"
BOB = "Authorization: Bearer sk-bob-0123456789abc"


@asynccontextmanager
async def rig(path, *, server="", slots="", routes="", more=""):
    text = f"background: {{path: {path}, lease_s: 1, {more} slots: [{slots}]}}"
    async with start(text, server=server, routes=routes) as running:
        deferred = open_deferred(running.built, running.gateway)
        try:
            yield running
        finally:
            await deferred.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


async def until(claim):
    """Wait for what happens elsewhere in this process."""
    async with asyncio.timeout(10):
        while not await claim():  # noqa: ASYNC110  nothing announces it over HTTP
            await asyncio.sleep(0.01)


async def job_of(rig, job_id, *headers):
    return (await call(rig, f"/v1/background/{job_id}", None, *headers, method="GET")).json()


async def ended(rig, job_id, *headers):
    async def over():
        return (await job_of(rig, job_id, *headers))["state"] not in ("queued", "running")

    await until(over)
    return await job_of(rig, job_id, *headers)


async def runs(rig, job_id):
    async def under_way():
        return (await job_of(rig, job_id))["state"] == "running"

    await until(under_way)


async def test_a_job_is_answered_as_its_endpoint_would_have_answered(path):
    async with rig(path) as running:
        reply = await call(running, "/v1/background", JOB)
        assert reply.status == 202
        job = reply.json()
        assert (job["object"], job["state"], job["path"]) == ("background.job", "queued", JOB["path"])
        found = await ended(running, job["id"])
        direct = await call(running, "/v1/chat/completions", BODY)
        assert (found["state"], found["runs"], found["status"]) == ("done", 1, 200)
        volatile = ("id", "created")
        kept = {key: value for key, value in found["response"]["body"].items() if key not in volatile}
        assert kept == {key: value for key, value in direct.json().items() if key not in volatile}
        assert found["response"]["headers"]["x-turnout-request-id"] == job["request_id"]
        answer = await call(running, f"/v1/background/{job['id']}/answer", method="GET")
        assert answer.status == 200
        assert answer.header("x-turnout-model") == "oai/one"
        assert answer.json() == found["response"]["body"]
        record = await running.record(job["request_id"])
        assert (record.outcome.error, record.endpoint) == (None, "chat")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/messages", {"model": "ant/one", "max_tokens": 50, "messages": BODY["messages"]}),
        ("/v1/embeddings", {"model": "oai/vectors", "input": "hi"}),
        (
            "/v1beta/models/gem/one:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ),
    ],
)
async def test_any_endpoint_that_asks_models_can_be_named(path, target, body):
    async with rig(path) as running:
        job = (await call(running, "/v1/background", {"path": target, "body": body})).json()
        found = await ended(running, job["id"])
        assert found["state"] == "done", found
        direct = await call(running, target, body)
        assert set(found["response"]["body"]) == set(direct.json())


async def test_a_failure_has_the_shape_of_its_endpoint(path):
    async with rig(path) as running:
        running.behave("ant-one", Fault(kind="context"))
        body = {"model": "ant/one", "max_tokens": 50, "messages": BODY["messages"]}
        job = (await call(running, "/v1/background", {"path": "/v1/messages", "body": body})).json()
        found = await ended(running, job["id"])
        assert (found["state"], found["error"]) == ("failed", "context_length_exceeded")
        assert found["response"]["body"]["type"] == "error"
        answer = await call(running, f"/v1/background/{job['id']}/answer", method="GET")
        assert answer.status == 400


async def test_a_job_waits_for_the_slot_where_it_is_cheaper(path):
    opens = datetime.now(UTC) + timedelta(hours=2)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    slot = f"{{name: cheap, hours: '{hours}', price_factor: 0.25, models: [oai]}}"
    async with rig(path, slots=slot) as running:
        job = (await call(running, "/v1/background", JOB)).json()
        plan = job["plan"]
        assert (job["state"], plan["slot"], plan["model"], plan["price_factor"]) == (
            "queued",
            "cheap",
            "oai/one",
            0.25,
        )
        assert datetime.fromisoformat(plan["start_at"]) == opens.replace(second=0, microsecond=0)
        assert float(plan["expected_cost_usd"]) == pytest.approx(float(plan["cost_now_usd"]) / 4, abs=1e-9)
        assert plan["promoted"] is False
        urgent = (await call(running, "/v1/background", {**JOB, "deadline": 60})).json()
        assert urgent["plan"]["promoted"] is True
        soon = (await call(running, "/v1/background", {**JOB, "deadline": 3600})).json()
        assert (await ended(running, soon["id"]))["plan"]["slot"] is None


async def test_background_strategy_chooses_hour_and_model_together(path):
    opens = datetime.now(UTC) + timedelta(hours=2)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    slot = f"{{name: cheap, hours: '{hours}', price_factor: 0.01, models: [ant/two]}}"
    route = "  - {name: nightly, models: [oai/one, ant/two], strategy: {type: background, deadline_s: 14400}}"
    async with rig(path, slots=slot, routes=route) as running:
        body = {**BODY, "model": "turnout/nightly"}
        job = (await call(running, "/v1/background", {**JOB, "body": body})).json()
        assert (job["plan"]["slot"], job["plan"]["model"]) == ("cheap", "ant/two")
        span = datetime.fromisoformat(job["deadline_at"]) - datetime.fromisoformat(job["created_at"])
        assert span.total_seconds() == pytest.approx(14400, abs=1)
        soon = (await call(running, "/v1/background", {**JOB, "body": body, "deadline": 3600})).json()
        assert (soon["plan"]["slot"], soon["plan"]["model"]) == (None, "oai/one")


async def test_rules_see_that_nobody_waits(path):
    rules = "[{when: 'visibility == \"background\"', models: [gem/two]}]"
    route = f"  - {{name: r, models: [oai/one, gem/two], strategy: {{type: rules, rules: {rules}}}}}"
    async with rig(path, routes=route) as running:
        body = {**BODY, "model": "turnout/r"}
        job = (await call(running, "/v1/background", {**JOB, "body": body})).json()
        found = await ended(running, job["id"])
        assert found["response"]["headers"]["x-turnout-model"] == "gem/two", found
        direct = await call(running, "/v1/chat/completions", body)
        assert direct.header("x-turnout-model") == "oai/one"


async def test_while_there_is_time_a_failure_waits_instead_of_falling_back(path):
    async with rig(path) as running:
        running.behave("oai-one", Fault(kind="overloaded"))
        body = {**BODY, "model": "turnout/assistant"}
        job = (await call(running, "/v1/background", {**JOB, "body": body})).json()

        async def was_run():
            return (await job_of(running, job["id"]))["runs"] == 1

        await until(was_run)
        found = await job_of(running, job["id"])
        assert (found["state"], found["error"]) == ("queued", "provider_overloaded")
        assert found["request_id"] != job["request_id"]
        assert datetime.fromisoformat(found["plan"]["start_at"]) > datetime.now(UTC) + timedelta(seconds=10)
        urgent = (await call(running, "/v1/background", {**JOB, "body": body, "deadline": 30})).json()
        found = await ended(running, urgent["id"])
        assert found["response"]["headers"]["x-turnout-model"] == "ant/one"


async def test_an_idempotency_key_stands_for_one_job(path):
    async with rig(path) as running:
        first = (await call(running, "/v1/background", {**JOB, "idempotency_key": "k"})).json()
        again = await call(running, "/v1/background", {**JOB, "idempotency_key": "k"})
        assert (again.status, again.json()["id"]) == (202, first["id"])
        by_header = (await call(running, "/v1/background", JOB, "Idempotency-Key: k")).json()
        assert by_header["id"] == first["id"]
        other = {**JOB, "body": {**BODY, "model": "oai/two"}, "idempotency_key": "k"}
        conflict = await call(running, "/v1/background", other)
        assert (conflict.status, conflict.json()["error"]["code"]) == (409, "conflict")
        await ended(running, first["id"])
        assert len(await running.records()) == 1


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/chat/completions", BODY),
        ("/anthropic/v1/messages", {"model": "ant/one", "max_tokens": 50, "messages": BODY["messages"]}),
        ("/v1/embeddings", {"model": "oai/vectors", "input": "hi"}),
    ],
)
async def test_a_request_can_itself_ask_to_be_a_job(path, target, body):
    async with rig(path) as running:
        wish = {"deadline": 3600, "idempotency_key": "k"}
        reply = await call(running, target, {**body, "turnout": {"background": wish}})
        job = reply.json()
        assert (reply.status, job["object"], job["path"]) == (202, "background.job", target)
        found = await ended(running, job["id"])
        direct = await call(running, target, body)
        assert (found["state"], set(found["response"]["body"])) == ("done", set(direct.json()))
        assert (await call(running, target, {**body, "turnout": {"background": wish}})).json()["id"] == job[
            "id"
        ]
        bad = await call(running, target, {**body, "turnout": {"background": {"by": 1}}})
        assert bad.status == 400
        assert "turnout.background" in bad.json()["error"]["message"]


async def test_a_job_is_its_keys_and_nobody_elses(path):
    async with rig(path, server=KEYS) as running:
        assert (await call(running, "/v1/background", JOB)).status == 401
        job = (await call(running, "/v1/background", JOB, ANN)).json()
        assert "deployment" not in job["plan"]
        await ended(running, job["id"], ANN)
        for target, method in (
            (f"/v1/background/{job['id']}", "GET"),
            (f"/v1/background/{job['id']}", "DELETE"),
        ):
            assert (await call(running, target, None, BOB, method=method)).status == 404
        mine = (await call(running, "/v1/background", None, ANN, method="GET")).json()
        assert [each["id"] for each in mine["data"]] == [job["id"]]
        theirs = (await call(running, "/v1/background", None, BOB, method="GET")).json()
        assert theirs == {"object": "list", "data": [], "has_more": False}
        assert b"sk-ann" not in path.read_bytes()


async def test_a_page_of_jobs_follows_another(path):
    async with rig(path) as running:
        ids = [
            (await call(running, "/v1/background", {**JOB, "deadline": 100})).json()["id"] for _ in range(3)
        ]
        page = (await call(running, "/v1/background?limit=2", None, method="GET")).json()
        assert ([each["id"] for each in page["data"]], page["has_more"]) == (sorted(ids)[:0:-1], True)
        rest = (
            await call(running, f"/v1/background?limit=2&after={page['data'][-1]['id']}", None, method="GET")
        ).json()
        assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([min(ids)], False)


async def test_a_cancelled_job_breaks_off(path):
    async with rig(path) as running:
        running.behave("oai-one", ttft_s=30.0)
        job = (await call(running, "/v1/background", JOB)).json()
        await runs(running, job["id"])
        cancelled = (await call(running, f"/v1/background/{job['id']}", method="DELETE")).json()
        assert cancelled["state"] == "cancelled"

        async def broken_off():
            return running.gateway.n_open == 0

        await until(broken_off)
        gone = await call(running, f"/v1/background/{job['id']}/answer", method="GET")
        assert (gone.status, gone.json()["error"]["message"]) == (
            404,
            "the job is cancelled: it has no answer",
        )


@pytest.mark.parametrize(
    ("change", "status", "param", "said"),
    [
        ({"path": "/v1/background"}, 404, "path", "is not served in the background"),
        ({"path": "/v1/explain"}, 404, "path", "is not served in the background"),
        ({"path": "/admin/benchmarks"}, 404, "path", "is not served in the background"),
        ({"path": "/v1/nothing"}, 404, "path", "is not served in the background"),
        ({"path": "v1/chat"}, 400, "path", "path: "),
        ({"body": {**BODY, "stream": True}}, 400, "body.stream", "a background job is not streamed"),
        ({"body": {**BODY, "model": "oai/none"}}, 404, "model", "oai/none"),
        ({"body": {"model": "oai/one"}}, 400, "messages", "messages is missing"),
        ({"body": "x"}, 400, "body", "body: expected `object`, got `str`"),
        ({"deadline": 1e9}, 400, "deadline", "more than 604800 s ahead"),
        ({"deadline": "2020-01-01T00:00:00Z"}, 400, "deadline", "deadline has passed"),
        ({"deadline": "2030-01-01T00:00:00"}, 400, "deadline", "deadline: "),
        ({"deadline": -1}, 400, "deadline", "deadline: "),
        ({"priority": 1}, 400, None, "priority"),
    ],
)
async def test_what_cannot_be_a_job_is_refused_when_it_is_handed_in(path, change, status, param, said):
    async with rig(path) as running:
        reply = await call(running, "/v1/background", {**JOB, **change})
        error = reply.json()["error"]
        assert (reply.status, error["param"]) == (status, param), error
        assert said in error["message"]
        assert (await call(running, "/v1/background", None, method="GET")).json()["data"] == []


async def test_a_full_queue_says_when_to_come_again(path):
    async with rig(path, more="max_jobs: 1,") as running:
        running.behave("oai-one", ttft_s=30.0)
        await call(running, "/v1/background", JOB)
        reply = await call(running, "/v1/background", JOB)
        assert (reply.status, reply.header("retry-after")) == (503, "60")


async def test_headers_that_say_how_to_serve_go_with_the_job(path):
    async with rig(path) as running:
        job = (await call(running, "/v1/background", JOB, "x-turnout-tags: nightly", "Cookie: secret")).json()
        await ended(running, job["id"])
        assert (await running.record(job["request_id"])).tags == ("nightly",)


async def test_without_a_path_the_error_says_which_key_to_set(rig):
    for target, method in (
        ("/v1/background", "POST"),
        ("/v1/background", "GET"),
        ("/v1/background/job_1", "GET"),
    ):
        reply = await call(rig, target, JOB if method == "POST" else None, method=method)
        assert reply.status == 404
        assert reply.json()["error"]["message"].endswith("its operator can set background.path")
    inside = await call(rig, "/v1/chat/completions", {**BODY, "turnout": {"background": {}}})
    assert inside.status == 404


async def test_jobs_of_a_stopped_gateway_are_run_by_the_next(path):
    async with rig(path) as running:
        running.behave("oai-one", ttft_s=30.0)
        job = (await call(running, "/v1/background", JOB)).json()
        await runs(running, job["id"])
    async with rig(path) as running:
        found = await ended(running, job["id"])
        assert (found["state"], found["runs"]) == ("done", 1)
        assert len(await running.records()) == 1


async def test_a_job_whose_key_was_withdrawn_is_not_run(path):
    async with rig(path, server=KEYS) as running:
        running.behave("oai-one", ttft_s=30.0)
        job = (await call(running, "/v1/background", JOB, BOB)).json()
    only_ann = KEYS.partition(", {name: bob")[0] + "]"
    async with rig(path, server=only_ann) as running:
        assert job["state"] == "queued"
        await asyncio.sleep(0.2)
        assert await running.records() == ()
