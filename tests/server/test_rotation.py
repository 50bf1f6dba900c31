"""Several credentials at one vendor, from the configuration to the socket."""

import asyncio
from contextlib import suppress

import httpx
import pytest

from tests.server.kit import gateway

BODY = {"model": "up/one", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = (
    b'{"id":"x","object":"chat.completion","model":"one","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)


class Vendor:
    """Answers by the key that is presented."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.seen: list[str] = []

    async def serve(self, reader, writer):
        with suppress(asyncio.IncompleteReadError):
            while True:
                await self.answer(reader, writer)
        writer.close()

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        lower = {name.lower(): value for name, value in fields.items()}
        await reader.readexactly(int(lower["content-length"]))
        key = lower["authorization"].removeprefix("Bearer ")
        self.seen.append(key)
        status = self.refused.get(key, 200)
        body = ANSWER if status == 200 else b'{"error":{"message":"no","type":"x"}}'
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()


@pytest.fixture
async def vendor():
    vendor = Vendor()
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield vendor
    server.close()


def config(vendor, secrets):
    return f"""
server: {{port: 0}}
journal: {{enabled: false}}
providers: {{up: {{base_url: "{vendor.url}", {secrets}}}}}
models: [up/one, up/two]
"""


async def ask(rig, n, model="up/one"):
    async with httpx.AsyncClient(base_url=rig.url) as http:
        replies = [await http.post("/v1/chat/completions", json={**BODY, "model": model}) for _ in range(n)]
    return [reply.status_code for reply in replies]


@pytest.mark.parametrize("secrets", ["secrets: [sk-a, sk-b, sk-c]", "secret: sk-a, secrets: [sk-b, sk-c]"])
async def test_all_credentials_take_turns(vendor, secrets) -> None:
    async with gateway(config(vendor, secrets)) as rig:
        assert await ask(rig, 6) == [200] * 6
    assert vendor.seen == ["sk-a", "sk-b", "sk-c"] * 2


@pytest.mark.parametrize("status", [401, 402])
async def test_a_refused_credential_costs_no_request_and_is_told_without_the_key(
    vendor, status, caplog
) -> None:
    vendor.refused["sk-a"] = status
    async with gateway(config(vendor, "secrets: [sk-a, sk-b]")) as rig:
        assert await ask(rig, 3) == [200] * 3
        assert await ask(rig, 1, "up/two") == [200]
        assert rig.built.wallet.retired() == ("up",)
        rig.built.reload(rig.built.config)
        assert await ask(rig, 1) == [200]
    assert vendor.seen == ["sk-a", "sk-b", "sk-b", "sk-b", "sk-b", "sk-b"]
    assert "credential 'up' set aside for 60 s" in caplog.text
    assert "sk-a" not in caplog.text


async def test_when_all_are_refused_the_caller_is_told_as_with_one(vendor) -> None:
    vendor.refused = {"sk-a": 401, "sk-b": 401}
    async with gateway(config(vendor, "secrets: [sk-a, sk-b]")) as rig:
        assert await ask(rig, 1) == [502]
    assert vendor.seen == ["sk-a", "sk-b"]


async def test_a_stored_credential_takes_turns_and_leaves_when_it_is_removed(vendor, tmp_path) -> None:
    from turnout.govern.records import remove
    from turnout.govern.rules import CLI
    from turnout.govern.vault import masters_of, store
    from turnout.server.desk import Room
    from turnout.types.secret import Secret

    master = "0123456789abcdef" * 4
    desk = f"desk: {{path: '{tmp_path}/desk.db', master_key: {master}}}"
    async with gateway(config(vendor, "secret: sk-a") + desk) as rig:
        room = Room(rig.built, rig.gateway.follow)
        await room.start()
        digest = rig.built.engine.snapshot.digest
        masters = masters_of(rig.built.config.desk)
        made = await store(room.office, CLI, masters, "up", Secret("sk-stored"))
        await room.refresh()
        assert await ask(rig, 4) == [200] * 4
        await remove(room.office, CLI, "credential", made.id)
        await room.refresh()
        assert await ask(rig, 2) == [200] * 2
        assert rig.built.engine.snapshot.digest == digest
        await room.close()
    assert vendor.seen == ["sk-a", "sk-stored", "sk-a", "sk-stored", "sk-a", "sk-a"]
