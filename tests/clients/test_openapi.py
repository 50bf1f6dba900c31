"""Our own descriptions, and generated calls that go by them: every answer is one that they allow.

`schemathesis` makes the calls: by the book, and against it. It looks at statuses, bodies, headers, events, at
what happens without a key and with methods nobody declared. Nothing may end with an unexpected 5xx.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from tests.clients import kit
from tests.clients.kit import HERE, KEY, config_text, environment
from tests.server.admin.kit import desked
from tests.server.kit import Emulator, dialects, gateway, serving

LIMIT_S = 400
EXAMPLES = 10
pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@pytest.fixture
def environ(tmp_path):
    """What the generator needs: its own hooks, and an empty folder."""
    (tmp_path / "generator_hooks.py").write_bytes((HERE / "drivers" / "schemathesis_hooks.py").read_bytes())
    home = environment("python-schemathesis") / "venv" / "bin"
    return {
        "PATH": f"{home}:/usr/bin:/bin",
        "PYTHONPATH": str(tmp_path),
        "SCHEMATHESIS_HOOKS": "generator_hooks",
        "HOME": str(tmp_path),
        "COLUMNS": "160",
    }


async def run(environ, tmp_path, *command):
    """Run a program of the environment; return its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, told.decode()


async def generate(environ, tmp_path, url, key):
    """Make calls by a description; return the status and the report."""
    options = ("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none")
    return await run(
        environ,
        tmp_path,
        *("schemathesis", "--config-file", str(HERE / "drivers" / "schemathesis.toml"), "run", url),
        *("-H", f"Authorization: Bearer {key}", "--phases", "coverage,fuzzing"),
        *("--suppress-health-check", "all", *options),
    )


async def valid(environ, tmp_path, text):
    """Tell what a validator of the standard says of a description."""
    (tmp_path / "described.json").write_text(text)
    return await run(environ, tmp_path, "openapi-spec-validator", "described.json")


@asynccontextmanager
async def behind_a_proxy(tmp_path):
    """A gateway that does not lock out an address which shows wrong keys, with a queue."""
    emulator = Emulator(dialects())
    for provider in kit.UPSTREAMS:
        for name, behaviour in kit.BEHAVIOURS.items():
            emulator.add(f"{provider}-{name}", kit.answers(f"{provider}-{name}"), behaviour)
    async with serving(emulator) as base:
        text = config_text(base).replace("server: {port: 0,", "server: {port: 0, behind_proxy: true,")
        async with gateway(f"{text}background: {{path: {tmp_path}/jobs.db}}\n") as rig:
            yield rig


async def test_the_data_plane_keeps_to_its_description(environ, tmp_path):
    async with behind_a_proxy(tmp_path) as rig:
        status, report = await generate(environ, tmp_path, f"{rig.url}/openapi.json", KEY)
        assert status == 0, report


async def test_the_admin_api_keeps_to_its_description(environ, tmp_path):
    async with desked(tmp_path, server="behind_proxy: true") as desk:
        url, key = f"{desk.rig.url}/admin/v1/openapi.json", desk.keys["owner"]
        status, report = await generate(environ, tmp_path, url, key)
        assert status == 0, report


async def test_both_descriptions_are_valid(environ, tmp_path):
    async with desked(tmp_path) as desk:
        for path, name in (("/openapi.json", "call of none"), ("/admin/v1/openapi.json", "owner")):
            told = await desk.http.get(path, headers={"authorization": f"Bearer {desk.keys[name]}"})
            assert json.loads(told.text)["openapi"] == "3.1.0"
            assert await valid(environ, tmp_path, told.text) == (0, "described.json: OK\n")
