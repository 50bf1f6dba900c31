"""Official clients of sessions and of tools, each in its own environment, against the running gateway."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest

from tests.clients.kit import HERE, environment
from tests.server import test_live, test_mcp, test_realtime
from tests.server.kit import call, chat

RUN_S = 60


CERTIFICATE = (
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=gateway "
    "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
)


@pytest.fixture
def certificate(tmp_path):
    """A folder with a certificate for this machine, in cert.pem and key.pem."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make a certificate with")
    subprocess.run([openssl, *CERTIFICATE.split()], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@asynccontextmanager
async def behind_tls(port: int, folder):
    """Serve what a port serves with TLS; yield the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def pipe(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def carry(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def drive(name: str, driver: str, *arguments: str, **environ: str) -> dict[str, object]:
    """Run a driver to its end; return what it printed."""
    python = environment(name) / "venv" / "bin" / "python"
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-B",
        str(HERE / "drivers" / driver),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": "/nonexistent", **environ},
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


async def test_googles_own_client_speaks_through_the_gateway(certificate):
    """It opens sessions by TLS alone."""
    driver = ("python-google-genai", "drive_google_live.py")
    async with test_live.speaking() as rig, behind_tls(rig.port, certificate) as url:
        seen = await drive(*driver, url, test_live.KEY, SSL_CERT_FILE=str(certificate / "cert.pem"))
        await test_live.recorded(rig)
        records = await rig.records()
        served = rig.emulator.served["gem-talk"]
    assert seen == {
        "session": "live_emulated",
        "said": "one two three",
        "tokens": [14, 3],
        "called": ["weather", {"city": "Oslo"}],
        "sound": 2 * 2400,
        "no key": "401",
        "no model": "model_not_found",
    }
    spoken = [record.outcome.usage for record in records if record.outcome.error is None]
    assert sum(usage.n_input for usage in spoken) == served.input_tokens
    assert sum(usage.n_output for usage in spoken) == served.output_tokens


async def test_googles_own_client_for_node_speaks_through_the_gateway():
    """It has its key in the address, and doubles the first slash."""
    home = environment("node-google-genai")
    (home / "live.mjs").write_bytes((HERE / "bulk" / "node-google-live.mjs").read_bytes())
    async with test_live.speaking("realtime: {key_in_query: true}") as rig:
        process = await asyncio.create_subprocess_exec(
            *("node", str(home / "live.mjs"), rig.url, test_live.KEY),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )
        said, noise = await asyncio.wait_for(process.communicate(), RUN_S)
        assert process.returncode == 0, noise.decode(errors="replace")[-4000:]
        record = await test_live.recorded(rig)
    assert json.loads(said) == {"said": "one two three", "tokens": [14, 3]}
    assert (record.outcome.error, record.outcome.usage.n_output) == (None, 3)
