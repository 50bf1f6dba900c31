"""`POST /admin/benchmarks`: own scores by API, all or nothing, in force at once, for admins alone."""

import json

import pytest

from tests.server.kit import call, wire
from tests.server.kit import rig as start
from turnout.server.scores import ScoresFile

KEYS = (
    "keys: [{name: ann, secret: sk-ann-0123456789abc, role: admin},"
    " {name: bob, secret: sk-bob-0123456789abc}]"
)
ANN = "Authorization: Bearer sk-ann-0123456789abc"
BOB = "Authorization: Bearer sk-bob-0123456789abc"
ROUTE = (
    "  - {name: quiz, models: [oai/one, ant/one, gem/one],"
    " strategy: {type: benchmarks, weights: {own-quiz: 1.0}, missing: exclude}}"
)
CSV = "Content-Type: text/csv"
LINES = "Content-Type: application/jsonl"


def row(model, score, **more):
    return {
        "model": model,
        "benchmark": "own-quiz",
        "score": score,
        "date": "2026-07-01",
        "source": "run 7",
        **more,
    }


def lines(*rows):
    return "\n".join(json.dumps(each) for each in rows).encode()


def scored(tmp_path, **options):
    path = tmp_path / "own.jsonl"
    path.write_bytes(lines(row("oai/one", 60), row("ant/one", 50)))

    return path, start(f"benchmarks: {{import_path: {path}}}", routes=ROUTE, **options)


async def post(running, data, *headers, kind=LINES):
    # The kit declares JSON for a body; here the declared type is what is tested.
    text = [
        "POST /admin/benchmarks HTTP/1.1",
        "Host: gateway.test",
        f"Content-Length: {len(data)}",
        *([kind] if kind else []),
        *headers,
    ]
    async with wire(running) as connection:
        await connection.send(("\r\n".join(text) + "\r\n\r\n").encode() + data)
        return await connection.reply()


async def chosen(running, *headers):
    body = {"model": "turnout/quiz", "messages": [{"role": "user", "content": "hi"}]}
    return (await call(running, "/v1/chat/completions", body, *headers)).header("x-turnout-model")


async def test_a_new_models_scores_make_it_compete_at_once(tmp_path):
    path, started = scored(tmp_path)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        assert await chosen(running) == "oai/one"
        version = running.built.engine.snapshot.version
        reply = await post(running, lines(row("gem/one", 90)))
        assert (reply.status, reply.json()) == (
            200,
            {
                "object": "benchmarks.import",
                "n_scores": 1,
                "models": ["gem/one"],
                "benchmarks": ["own-quiz"],
                "config_version": version + 1,
            },
        )
        assert await chosen(running) == "gem/one"
        assert [json.loads(line)["model"] for line in path.read_text().splitlines()] == [
            "oai/one",
            "ant/one",
            "gem/one",
        ]
    async with start(f"benchmarks: {{import_path: {path}}}", routes=ROUTE) as running:
        assert await chosen(running) == "gem/one"


async def test_a_later_score_replaces_an_earlier_one(tmp_path):
    _, started = scored(tmp_path)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        csv = b"model,benchmark,score,date,source\nant/one,own-quiz,99,2026-07-02,run 8\n"
        assert (await post(running, csv, kind=CSV)).status == 200
        assert await chosen(running) == "ant/one"


async def test_a_faulty_row_is_told_and_none_is_taken(tmp_path):
    path, started = scored(tmp_path)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        before, version = path.read_bytes(), running.built.engine.snapshot.version
        data = lines(row("gem/one", 90), row("gem/two", "many"), row("oai/two", 5, n=0))
        reply = await post(running, data)
        error = reply.json()["error"]
        assert (reply.status, error["code"]) == (400, "faulty_scores")
        first, second, third = error["message"].split("\n")
        assert first == "nothing was taken in:"
        assert second.startswith("body:2: score: ")
        assert third == "body:3: n is 0; expected at least 1"
        assert (path.read_bytes(), running.built.engine.snapshot.version) == (before, version)


async def test_scores_no_route_can_work_with_are_taken_back(tmp_path):
    path, started = scored(tmp_path)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        before = path.read_bytes()
        turned = await post(running, lines(row("gem/one", 90, higher_is_better=False)))
        assert turned.status == 400
        assert "higher_is_better of own-quiz differs" in turned.json()["error"]["message"]
        assert path.read_bytes() == before
        assert await chosen(running) == "oai/one"


@pytest.mark.parametrize(("key", "status"), [(ANN, 200), (BOB, 403), ("X-Other: 1", 401)])
async def test_only_an_admins_key_may(tmp_path, key, status):
    path, started = scored(tmp_path, server=KEYS)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        before = path.read_bytes()
        reply = await post(running, lines(row("gem/one", 90)), key)
        assert reply.status == status
        assert (path.read_bytes() != before) == (status == 200)


async def test_what_a_page_in_a_browser_can_send_unasked_is_refused(tmp_path):
    path, started = scored(tmp_path)
    async with started as running:
        running.gateway.scores = ScoresFile(running.built)
        before = path.read_bytes()
        for kind in ("Content-Type: text/plain", "Content-Type: multipart/form-data", ""):
            assert (await post(running, lines(row("gem/one", 90)), kind=kind)).status == 400
        assert path.read_bytes() == before


async def test_without_a_path_the_error_says_which_key_to_set(rig):
    rig.gateway.scores = ScoresFile(rig.built)
    reply = await post(rig, lines(row("gem/one", 90)))
    assert reply.status == 404
    assert reply.json()["error"]["message"].endswith("its operator can set benchmarks.import_path")


async def test_another_process_sees_the_file_change_once(tmp_path):
    _, started = scored(tmp_path)
    async with started as running:
        mine, other = ScoresFile(running.built), ScoresFile(running.built)
        mine.take(lines(row("gem/one", 90)))
        assert (mine.changed(), other.changed(), other.changed()) == (False, True, False)
