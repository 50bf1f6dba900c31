"""A gateway with keys in front of emulated upstreams, and clients run against it as programs of their own."""

import asyncio
import base64
import json
import os
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.server.kit import Behaviour, Emulator, Fault, dialects, gateway, serving, until
from turnout.testing.emulator import canned
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Media, Text, ToolResult

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
KEY = "tn_suite_5f3c1b7e9d2a4068"
UPSTREAMS = ("oai", "ant", "gem", "res")
"""OpenAI's chat completions, Anthropic's messages, Gemini and OpenAI's responses."""
CANCEL_S = 0.25
"""How soon an upstream must learn that the client left (WIRE.md 2.10)."""
RUN_S = 60

BEHAVIOURS = {
    "one": Behaviour(),
    "limited": Behaviour(faults=(Fault(kind="rate_limit", retry_after_s=7),)),
    "overloaded": Behaviour(faults=(Fault(kind="overloaded"),)),
    "context": Behaviour(faults=(Fault(kind="context"),)),
    "hang": Behaviour(faults=(Fault(kind="hang"),)),
    "slow": Behaviour(tokens_per_s=10),
}


def config_text(base: str) -> str:
    """One provider per wire format, each with a model per behaviour."""
    facts = "price: {input: 1, output: 2}, context_window: 200000, max_output: 65536"
    models = "".join(
        f"  - {{model: {provider}/{name}, upstream_model: {provider}-{name}, {facts}}}\n"
        for provider in UPSTREAMS
        for name in BEHAVIOURS
    )
    return f"""
server: {{port: 0, keys: [{{name: suite, secret: {KEY}}}]}}
journal: {{enabled: false}}
retry: {{enabled: false}}
providers:
  oai: {{vendor: openai, base_url: "{base}/v1", secret: upstream}}
  ant: {{vendor: anthropic, base_url: "{base}/v1", secret: upstream}}
  gem: {{vendor: gemini, base_url: "{base}/v1beta", secret: upstream}}
  res: {{vendor: openai, codec: openai_responses, base_url: "{base}/v1", secret: upstream}}
models:
{models}\
  - {{model: oai/vectors, price: {{input: 0.02, output: 0}}}}
  - {{model: gem/vectors, price: {{input: 0.02, output: 0}}}}
routes:
  - {{name: assistant, models: [oai/one, ant/one, gem/one]}}
default_route: assistant
"""


def answers(name: str):
    """Answer as the canned script, but say what was seen of tool results and of pictures."""
    otherwise = canned(name)

    def answer(request):
        parts = [part for message in request.messages for part in message.parts]
        if parts and isinstance(parts[-1], ToolResult):
            told = parts[-1].content[0].text if parts[-1].content else parts[-1].value
            return reply_with(request, (Text(f"The tool said: {told}"),), model=name)
        media = next((part for part in parts if isinstance(part, Media)), None)
        if media is not None:
            seen = f"{media.mime} of {len(base64.b64decode(media.data))} bytes"
            return reply_with(request, (Text(f"I see {seen}"),), model=name)
        return otherwise(request)

    return answer


@asynccontextmanager
async def running():
    """Start the emulator and the gateway."""
    async with AsyncExitStack() as stack:
        emulator = Emulator(dialects())
        for provider in UPSTREAMS:
            for name, behaviour in BEHAVIOURS.items():
                emulator.add(f"{provider}-{name}", answers(f"{provider}-{name}"), behaviour)
        base = await stack.enter_async_context(serving(emulator))
        rig = await stack.enter_async_context(gateway(config_text(base)))
        rig.emulator, rig.upstream = emulator, base
        yield rig


def environment(name: str) -> Path:
    """Return a client's environment; skip where there is none."""
    home = Path(os.environ.get("TURNOUT_TEST_CLIENTS") or ROOT / ".cache" / "clients") / name
    if (home / "unavailable").exists():
        pytest.skip(f"{name} cannot be had: {(home / 'unavailable').read_text()}")
    if not (home / "made").exists():
        pytest.skip(f"{name} is not installed: run `make clients`")
    return home


def command(name: str, provider: str) -> list[str]:
    """Return what runs a client's driver; `provider` is the part of the client that is meant."""
    home = environment(name)
    kind, _, client = name.partition("-")
    if kind == "python":
        driver = HERE / "drivers" / f"drive_{'_'.join(filter(None, (client.replace('-', '_'), provider)))}.py"
        return [str(home / "venv" / "bin" / "python"), "-B", str(driver)]
    for file in (HERE / "node" / "drive.mjs", HERE / "node" / client / "driver.mjs"):
        (home / file.name).write_bytes(file.read_bytes())
    return ["node", str(home / "driver.mjs")]


async def drive(rig, name: str, provider: str = "") -> dict[str, dict[str, object]]:
    """Run a client's driver; return feature -> upstream -> what it saw."""
    process = await asyncio.create_subprocess_exec(
        *command(name, provider),
        rig.url,
        KEY,
        ",".join(UPSTREAMS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TURNOUT_CLIENT_PROVIDER": provider},
    )
    seen: dict[str, dict[str, object]] = {}
    try:
        async with asyncio.timeout(RUN_S):
            noise = asyncio.create_task(process.stderr.read())
            async for line in process.stdout:
                await _note(rig, json.loads(line), seen)
            said = await noise
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not seen:
        told = said.decode(errors="replace")[-4000:]
        pytest.fail(f"the driver of {name} ended with {process.returncode}: {told}")
    return seen


async def _note(rig, line, seen) -> None:
    feature, upstream, value = line["feature"], line["upstream"], line["value"]
    if feature == "leaving":
        value = await _cancelled(rig, f"{upstream}-slow")
    if feature == "timeout" and "raised" in value:
        value["cancelled"] = await _cancelled(rig, f"{upstream}-hang")
    seen.setdefault(feature, {})[upstream] = value


async def _cancelled(rig, model: str) -> bool:
    """Say whether the upstream learnt in time that its client had given up."""
    served = rig.emulator.served.get(model)
    return served is not None and await until(lambda: served.cancelled == 1) < CANCEL_S
