"""Telling what is known of a customer, and forgetting it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cli.run import turnout
from tests.server.admin.kit import desked, failure
from turnout.config import parse_config
from turnout.parts import open_journal
from turnout.server.desk import Room
from turnout.stores.base import Query
from turnout.stores.conversations import Kept, MemoryConversations
from turnout.stores.files import Database, Files
from turnout.stores.files.base import File
from turnout.testing.store import example_record
from turnout.types.record import Content

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def of_customer(n, customer, organisation="own"):
    return replace(
        example_record(n),
        at=AT,
        organisation=organisation,
        customer=customer,
        content=Content(request="what is my balance?", response="42"),
        metadata={"ticket": "T-1"},
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )


def keep_a_file(folder: Path) -> None:
    database = Database(folder / "files")
    files = Files(database)
    draft = files.draft()
    draft.write(b"{}")
    draft.finish()
    file = File(
        id="file-1",
        owner="project:shop",
        name="a.jsonl",
        purpose="batch",
        n_bytes=2,
        created_at=AT,
        customer="cus",
        organisation="own",
    )
    files.keep(draft, file)
    database.close()


async def test_a_customer_is_told_of_and_forgotten_and_its_money_stays(folder) -> None:
    extra = f"files: {{path: '{folder}/files'}}\n"
    async with desked(folder, extra=extra) as gateway:
        journal = gateway.rig.journal
        for n, customer in enumerate(("cus", "cus", "other")):
            journal.append(of_customer(n, customer))
        before = (await gateway.call("owner", "GET", "/spend?by=organisation")).json()["data"]
        keep_a_file(folder)
        told = await gateway.call("admin", "GET", "/customers/cus/data")
        assert [json.loads(line)["customer"] for line in told.text.splitlines()] == ["cus", "cus"]
        gone = await gateway.call("admin", "DELETE", "/customers/cus/data")
        counted = {"records": 2, "conversations": 0, "jobs": 0, "files": 1}
        about = {"object": "customer.erasure", "customer": "cus", "organisation": "own"}
        assert gone.json() == {**about, **counted}
        records = (await journal.query(Query(order="oldest"))).records
        assert [each.customer == "cus" for each in records] == [False, False, False]
        texts = [each.content for each in records]
        assert (texts[:2], texts[2] is None) == ([None, None], False)
        assert [(dict(each.metadata), each.trace_id) for each in records[:2]] == [({}, None), ({}, None)]
        assert (await gateway.call("owner", "GET", "/spend?by=organisation")).json()["data"] == before
        acts = [entry.act for entry in await gateway.office.desk.audit("own")]
        assert [(act.action, act.object) for act in acts[-2:]] == [("customer.erase", "customer/cus")] * 2
        assert acts[-1].facts == counted


async def test_nobody_forgets_anothers_customer(folder) -> None:
    async with desked(folder) as gateway:
        await gateway.make("customer", id="theirs", organisation="other")
        refused = await gateway.call("admin", "DELETE", "/customers/theirs/data")
        assert failure(refused)[:2] == (404, "not_found")


async def test_conversations_in_memory_are_forgotten_by_every_process(folder) -> None:
    async with desked(folder) as gateway:
        await gateway.make("customer", id="cus", organisation="own")
        await gateway.issue("theirs", role="call", organisation="own", customer="cus")
        await gateway.issue("anothers", role="call", organisation="own")
        others = MemoryConversations()

        async def forgets(keys):
            return sum([await others.erase(key) for key in keys])

        other = Room(gateway.rig.built, lambda _: None)
        other.forgets = forgets
        await other.start()
        ids = {name: await converse(gateway, name) for name in ("theirs", "anothers")}
        await others.put(gateway.ids["theirs"], Kept("resp_elsewhere", b"{}"))
        gone = await gateway.call("admin", "DELETE", "/customers/cus/data")
        await other.look()
        assert gone.json()["conversations"] == 1
        assert await others.get(gateway.ids["theirs"], "resp_elsewhere") is None
        assert {name: await asked_for(gateway, name, ids[name]) for name in ids} == {
            "theirs": 404,
            "anothers": 200,
        }
        await others.put(gateway.ids["theirs"], Kept("resp_after", b"{}"))
        await other.look()
        assert await others.get(gateway.ids["theirs"], "resp_after") == b"{}", "each erasure is heeded once"
        await other.close()


async def converse(gateway, name):
    headers = {"authorization": f"Bearer {gateway.keys[name]}"}
    reply = await gateway.http.post(
        "/v1/responses", json={"model": "oai/one", "input": "hi"}, headers=headers
    )
    return reply.json()["id"]


async def asked_for(gateway, name, answer):
    headers = {"authorization": f"Bearer {gateway.keys[name]}"}
    return (await gateway.http.get(f"/v1/responses/{answer}", headers=headers)).status_code


def test_the_command_line_exports_and_forgets(folder) -> None:
    (folder / "turnout.yaml").write_text("journal: {path: journal.db}\n")
    asyncio.run(fill(folder / "journal.db"))
    told = turnout("privacy", "export", "--customer", "cus", "--config", "turnout.yaml", cwd=folder)
    assert [json.loads(line)["customer"] for line in told.stdout.splitlines()] == ["cus"]
    gone = turnout("privacy", "delete", "--customer", "cus", "--yes", "--config", "turnout.yaml", cwd=folder)
    assert (gone.returncode, gone.stdout.splitlines()[:1]) == (0, ["1 records made nobody's"])
    told = turnout("privacy", "export", "--customer", "cus", "--config", "turnout.yaml", cwd=folder)
    assert (told.returncode, told.stdout) == (0, "")


async def fill(path: Path) -> None:
    journal = open_journal(parse_config(f"journal: {{path: '{path}'}}", env={}))
    journal.append(of_customer(1, "cus", None))
    journal.append(of_customer(2, "other", None))
    await journal.close()
