"""Official clients of sessions and of tools, each in its own environment, against the running gateway."""

import asyncio
import json

from tests.clients.kit import HERE, environment
from tests.server import test_mcp, test_realtime
from tests.server.kit import call, chat

RUN_S = 60


async def drive(name: str, driver: str, *arguments: str) -> dict[str, object]:
    """Run a driver to its end; return what it printed."""
    python = environment(name) / "venv" / "bin" / "python"
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-B",
        str(HERE / "drivers" / driver),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": "/nonexistent"},
    )
    try:
        said, noise = await asyncio.wait_for(process.communicate(), RUN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, noise.decode(errors="replace")[-4000:]
    found: dict[str, object] = {}
    for line in said.splitlines():
        found.update(json.loads(line))
    return found


async def test_openais_own_client_speaks_through_the_gateway():
    async with test_realtime.speaking() as rig:
        seen = await drive("python-openai-realtime", "drive_openai_realtime.py", rig.url, test_realtime.KEY)
        record = await test_realtime.recorded(rig)
    kinds = ["session.created", "session.updated", "conversation.item.added", "response.created"]
    assert seen == {
        "said": "one two three",
        "tokens": [14, 3],
        "kinds": [*kinds, "response.output_text.delta", "response.done"],
        "refused": True,
    }
    assert record.outcome.usage.output_text == 3


async def test_the_official_mcp_client_asks_every_tool():
    async with test_mcp.offering() as rig:
        served = await call(rig, "/v1/chat/completions", chat("oai/one"), test_mcp.KEY)
        request_id = served.header("x-turnout-request-id")
        seen = await drive("python-mcp", "drive_mcp.py", rig.url, test_mcp.KEYS[0], request_id)
    assert seen["welcome"] == ["2025-06-18", "turnout"]
    assert seen["tools"] == ["route", "recommend", "explain", "usage"]
    assert seen["route"]["model"] == "oai/one"
    assert len(seen["recommend"]["ranked"]) == 2
    assert seen["explain"]["outcome"]["model"] == "oai/one"
    assert seen["usage"]["total"]["requests"] == 1
    assert seen["nothing"] == -32602
