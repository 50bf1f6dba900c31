"""Starts emulators that this project did not write, and a gateway in front of one."""

import asyncio
import json
import os
import socket
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

from tests.clients.kit import environment
from tests.server.kit import gateway

START_S = 20
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Foreign:
    """A running emulator."""

    def __init__(self, base: str) -> None:
        self.base = base

    async def call(self, method: str, path: str, body: dict | None = None):
        """Ask its own interface."""
        return await asyncio.to_thread(self._call, method, path, body)

    def _call(self, method: str, path: str, body: dict | None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.base + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b"null")


@asynccontextmanager
async def _started(command: list[str], port: int, health: str):
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    emulator = Foreign(f"http://{HOST}:{port}")
    try:
        async with asyncio.timeout(START_S):
            while not await _answers(emulator, health):  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)
        yield emulator
    finally:
        process.terminate()
        await process.wait()


async def _answers(emulator: Foreign, health: str) -> bool:
    try:
        await emulator.call("GET", health)
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def llmock():
    """Start `llmock` of PyPI."""
    port = free_port()
    program = str(environment("python-llmock") / "venv" / "bin" / "llmock")
    return _started([program, "serve", "--port", str(port), "--log-level", "error"], port, "/health")


def aimock(fixtures: str, *options: str):
    """Start `@copilotkit/aimock` of npm with a file of fixtures."""
    port = free_port()
    program = str(environment("node-aimock") / "node_modules" / ".bin" / "llmock")
    return _started([program, "-p", str(port), "-f", fixtures, *options], port, "/__aimock/journal")


def behind(bases: dict[str, str]):
    """Start a gateway whose providers are one emulator at these addresses, a model `one` each."""
    facts = "price: {input: 1, output: 2}, context_window: 200000, max_output: 8192"
    vendors = {"oai": "openai", "ant": "anthropic", "gem": "gemini", "mis": "mistral", "groq": "groq"}
    providers = "".join(
        f'  {name}: {{vendor: {vendors[name]}, base_url: "{base}", secret: upstream}}\n'
        for name, base in bases.items()
    )
    models = "".join(f"  - {{model: {name}/one, {facts}}}\n" for name in bases)
    return gateway(f"""
server: {{port: 0}}
journal: {{enabled: false}}
retry: {{base_s: 0.05}}
providers:
{providers}\
models:
{models}\
routes:
  - {{name: all, models: [{", ".join(f"{name}/one" for name in bases)}]}}
default_route: all
""")
