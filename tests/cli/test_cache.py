"""`turnout cache`: what is kept is counted and let go of, by whose it is."""

import asyncio
import json
import time

import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.errors import ConfigError
from turnout.stores.cache.base import Owner
from turnout.stores.cache.sqlite import SqliteCache
from turnout.testing.cache import example

CONFIG = """
providers: {o: {vendor: openai, base_url: "http://127.0.0.1:9/v1", secret: sk-x}}
models: [{model: o/m}]
cache: {store: sqlite, path: cache.db}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turnout.yaml").write_text(CONFIG)

    async def fill():
        store = SqliteCache(tmp_path / "cache.db")
        for n, (route, project) in enumerate((("a", "red"), ("a", "blue"), ("b", "red")), start=1):
            kept = example(n, expires=time.time() + 3600, route=route, owner=Owner("acme", project, "key_1"))
            await store.put(kept, time.time())
        await store.close()

    asyncio.run(fill())
    return lambda *words: CliRunner().invoke(cli, ["cache", *words])


def test_answers_are_counted_and_cleared_by_whose_they_are(run):
    def count(*whose):
        return json.loads(run("stats", "--json", *whose).output)["answers"]

    asked = ((), ("--route", "a"), ("--project", "red"), ("--key", "key_2"), ("--prefix", "02"))
    assert [count(*whose) for whose in asked] == [3, 2, 2, 0, 1]
    assert run("stats", "--organisation", "acme", "--route", "b").output.startswith("1 answers, ")
    assert run("clear", "--route", "a", "--project", "red").output == "1 answers cleared\n"
    assert run("clear", "--all").output == "2 answers cleared\n"
    assert count() == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("clear",), "name whose answers: --route, --organisation, --project, --key, --prefix or --all"),
        (("stats", "--prefix", "xyz"), "--prefix: 'xyz'; expected hexadecimal digits"),
    ],
)
def test_what_names_nobody_is_refused(run, words, complaint):
    refused = run(*words).exception
    assert isinstance(refused, ConfigError)
    assert refused.problems == (complaint,)
