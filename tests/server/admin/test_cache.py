"""Counting and clearing what is cached, over the admin API and the command line."""

import asyncio
import time

from click.testing import CliRunner

from tests.server.admin.kit import CHAT, desked
from turnout.cli.main import cli
from turnout.stores.cache.sqlite import SqliteCache
from turnout.testing.cache import example


async def say(gateway, key, text):
    body = {**CHAT, "messages": [{"role": "user", "content": text}]}
    bearer = {"authorization": f"Bearer {gateway.keys[key]}"}
    return (await gateway.http.post("/v1/chat/completions", json=body, headers=bearer)).headers


async def test_a_tenant_sees_and_clears_its_own_answers_alone(tmp_path):
    async with desked(tmp_path, extra="cache: {default: exact}\n") as gateway:
        await gateway.issue("other caller", role="call", organisation="other")
        keys = [
            (await say(gateway, who, text))["x-turnout-cache-key"]
            for who, text in (("call", "one"), ("call", "two"), ("other caller", "one"))
        ]
        await say(gateway, "call", "one")
        seen = (await gateway.call("viewer", "GET", "/cache")).json()
        whole = (await gateway.call("owner", "GET", "/cache")).json()
        foreign = await gateway.call("operator", "DELETE", "/cache?organisation=other")
        bad = await gateway.call("owner", "DELETE", "/cache?prefix=zz")
        one = (await gateway.call("operator", "DELETE", f"/cache?prefix={keys[0]}")).json()
        rest = (await gateway.call("operator", "DELETE", "/cache")).json()
        left = (await gateway.call("owner", "GET", "/cache")).json()
        again = (await say(gateway, "other caller", "one"))["x-turnout-cache"]
        audit = (await gateway.call("owner", "GET", "/audit?organisation=own&limit=1000")).json()["data"]
    assert len(set(keys)) == 3
    assert (seen["answers"], seen["of"], "since_start" in seen) == (2, {"organisation": "own"}, False)
    assert (whole["answers"], whole["since_start"]["hits"]) == (3, {"hit": 1})
    assert whole["since_start"]["saved_nusd"] > 0
    assert (foreign.status_code, bad.status_code) == (404, 400)
    assert (one["answers"], rest["answers"], left["answers"], again) == (1, 1, 1, "hit")
    assert [each["action"] for each in audit].count("cache.clear") == 2


def test_the_command_line_counts_and_clears_what_lies_in_a_file(tmp_path):
    path = tmp_path / "cache.db"
    config = tmp_path / "turnout.yaml"
    config.write_text(f"cache: {{store: sqlite, path: {path}}}\n")

    async def fill():
        store = SqliteCache(path)
        for n in range(3):
            await store.put(example(n, expires=time.time() + 60, route=f"r{n}"), time.time())
        await store.close()

    asyncio.run(fill())

    def said(*words):
        return CliRunner().invoke(cli, ["cache", *words, "-c", str(config)])

    assert said("stats").output.startswith("3 answers, ")
    assert said("clear", "--route", "r1").output == "1 answers cleared\n"
    assert "whose answers" in str(said("clear").exception.problems)
    assert said("clear", "--all").output == "2 answers cleared\n"
    config.write_text("cache: {default: exact}\n")
    assert "admin/v1/cache" in str(said("stats").exception.problems)
