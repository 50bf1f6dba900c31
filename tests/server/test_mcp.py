"""The gateway as a tool server, over real sockets."""

import json
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.server.kit import call, chat, rig
from turnout.server.mcp_tools import TOOLS

KEYS = ("tn_agent_5d2f8b1c9e3a7046", "tn_other_7c4e1a9d2b6f8035", "tn_small_1b9d6f3e8a2c5074")
KEY, OTHER, SMALL = (f"Authorization: Bearer {key}" for key in KEYS)
SERVER = (
    f"keys: [{{name: agent, secret: {KEYS[0]}}}, {{name: other, secret: {KEYS[1]}}}, "
    f"{{name: small, secret: {KEYS[2]}, endpoints: [mcp, chat]}}]"
)
EXTRA = """
mcp: {enabled: true, origins: ["https://app.test"]}
ledger: {store: memory}
budgets: [{id: pocket, level: key, usd: 2, per: day}, {id: all, level: organisation, usd: 9, per: day}]
quotas: [{id: pace, level: key, of: requests, limit: 100, per: 1m}]
"""


@asynccontextmanager
async def offering(extra: str = EXTRA):
    async with rig(extra, server=SERVER) as running:
        running.gateway.mcp.tools.look_into(running.journal, lambda: running.built.books)
        yield running


def rpc(method: str, params: dict | None = None, id_: int | str | None = 1) -> dict:
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    return message if id_ is None else {**message, "id": id_}


async def ask(running, method: str, params: dict | None = None, *headers: str):
    return (await call(running, "/mcp", rpc(method, params), *(headers or (KEY,)))).json()


async def tool(running, name: str, arguments: dict, *headers: str):
    reply = await ask(running, "tools/call", {"name": name, "arguments": arguments}, *headers)
    result = reply["result"]
    if not result["isError"]:
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]
    return json.loads(result["content"][0]["text"])["error"]["class"]


async def test_a_client_is_welcomed_in_its_own_version_or_in_ours():
    async with offering() as running:
        versions = []
        for asked in ("2025-03-26", "2025-06-18", "2099-01-01"):
            reply = await ask(running, "initialize", {"protocolVersion": asked, "capabilities": {}})
            versions.append(reply["result"]["protocolVersion"])
        listed = (await ask(running, "tools/list"))["result"]["tools"]
        noted = await call(running, "/mcp", rpc("notifications/initialized", id_=None), KEY)
        batch = [rpc("ping"), rpc("notifications/x", id_=None), rpc("nothing", id_="b")]
        raw = json.dumps(batch).encode()
        both = (await call(running, "/mcp", raw, KEY)).json()
        later = await call(running, "/mcp", raw, KEY, "MCP-Protocol-Version: 2025-06-18")
    assert versions == ["2025-03-26", "2025-06-18", "2025-06-18"]
    assert [each["name"] for each in listed] == ["route", "recommend", "explain", "usage"]
    assert (noted.status, noted.body) == (202, b"")
    assert both == [
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {
            "jsonrpc": "2.0",
            "id": "b",
            "error": {"code": -32601, "message": "there is no method 'nothing' here"},
        },
    ]
    assert later.status == 400


async def test_who_may_not_ask_is_told_so_by_http():
    async with offering() as running:
        found = {
            "no key": (await call(running, "/mcp", rpc("ping"))).status,
            "another page": (
                await call(running, "/mcp", rpc("ping"), KEY, "Origin: https://evil.test")
            ).status,
            "a listed page": (
                await call(running, "/mcp", rpc("ping"), KEY, "Origin: https://app.test")
            ).status,
            "unknown version": (
                await call(running, "/mcp", rpc("ping"), KEY, "MCP-Protocol-Version: 1")
            ).status,
            "stream": (await call(running, "/mcp", None, KEY, method="GET")).status,
            "end": (await call(running, "/mcp", None, KEY, method="DELETE")).status,
        }
    async with rig(server=SERVER) as off:
        found["off"] = (await call(off, "/mcp", rpc("ping"), KEY)).status
    assert found == {
        "no key": 401,
        "another page": 403,
        "a listed page": 200,
        "unknown version": 400,
        "stream": 405,
        "end": 405,
        "off": 404,
    }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', 400, -32700),
        (b'{"id":1,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', 400, -32600),
        (b"[]", 400, -32600),
        (rpc("tools/call", {"name": "shell"}), 200, -32602),
        (
            json.dumps(rpc("tools/call", {"name": "route", "arguments": {"command": "ls"}})).encode(),
            200,
            -32602,
        ),
        (json.dumps(rpc("tools/call", {"name": "usage", "arguments": {"days": 0}})).encode(), 200, -32602),
    ],
)
async def test_what_is_asked_wrongly_is_an_error_of_the_protocol(body, status, code):
    async with offering() as running:
        reply = await call(running, "/mcp", body, KEY)
    assert (reply.status, reply.json()["error"]["code"]) == (status, code)


async def test_the_tools_say_what_the_endpoints_say_and_send_nothing():
    async with offering() as running:
        routed = await tool(running, "route", {"prompt": "Hello", "model": "turnout/assistant"})
        ranked = await tool(
            running, "recommend", {"prompt": "Hello", "candidates": ["oai/one", "ant/two"], "top_k": 1}
        )
        dry = await tool(running, "explain", {"request": chat("oai/two")})
        refused = [
            await tool(running, "route", {}),
            await tool(running, "route", {"prompt": "Hello", "model": "nobody"}),
            await tool(running, "explain", {}),
            await tool(running, "explain", {"request": chat()}, SMALL),
        ]
        assert running.emulator.served == {}
    assert routed["model"] == routed["candidates"][0]["model"] == "oai/one"
    assert (routed["route"], routed["reason"]) == ("assistant", "highest_score")
    assert [each["model"] for each in routed["candidates"]] == ["oai/one", "ant/one", "gem/one"]
    assert len(ranked["ranked"]) == 1
    assert (dry["decision"]["reason"], dry["attempts"], dry["outcome"]) == ("pinned_by_caller", [], None)
    assert refused == ["invalid_request", "model_not_found", "invalid_request", "forbidden"]


async def test_a_key_sees_its_own_requests_and_its_own_purse():
    async with offering() as running:
        served = await call(running, "/v1/chat/completions", chat("oai/one"), KEY)
        request_id = served.header("x-turnout-request-id")
        cost = served.header("x-turnout-cost-usd")
        past = await tool(running, "explain", {"request_id": request_id})
        foreign = await tool(running, "explain", {"request_id": request_id}, OTHER)
        own = await tool(running, "usage", {})
        other = await tool(running, "usage", {}, OTHER)
    assert (past["decision"]["reason"], past["outcome"]["model"]) == ("pinned_by_caller", "oai/one")
    assert [each["outcome"] for each in past["attempts"]] == ["ok"]
    assert foreign == "not_found"
    assert (own["key"], own["total"]["requests"], own["total"]["cost_usd"]) == ("agent", 1, cost)
    assert [each["model"] for each in own["by_model"]] == ["oai/one"]
    assert [(each["id"], each["of"], each["used"], each["limit"]) for each in own["limits"]] == [
        ("pocket", "usd", cost, "2"),
        ("pace", "requests", 1, 100),
    ]
    assert (other["total"]["requests"], [each["used"] for each in other["limits"]]) == (0, ["0", 0])


def test_what_a_tool_is_said_to_take_is_what_it_takes():
    shown = {name: set(each.input["properties"]) for name, each in TOOLS.items()}
    assert shown == {name: {f.name for f in msgspec.structs.fields(t.takes)} for name, t in TOOLS.items()}
