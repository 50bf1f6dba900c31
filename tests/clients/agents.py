"""Runs coding agents without a terminal in a folder of their own: no telemetry, loopback only."""

import asyncio
import json
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from tests.clients.kit import KEY, environment
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Text, ToolCall, ToolResult

TASK = "Fix the typo in note.txt."
BEFORE, AFTER = "Fix teh typo.\n", "Fix the typo.\n"
DONE = "I fixed the typo."
RUN_S = 90


class Run(Struct, frozen=True):
    """How an agent ended."""

    status: int
    told: str
    """What it printed."""
    noise: str
    note: str
    """The file it had to edit."""


class Desk(Struct, frozen=True):
    """Where an agent works: its home and the folder with the file."""

    home: Path
    work: Path

    @property
    def note(self) -> Path:
        return self.work / "note.txt"


@contextmanager
def desk():
    """Make a home and a folder with the file to edit."""
    with TemporaryDirectory(prefix="turnout-agent-") as folder:
        made = Desk(Path(folder, "home"), Path(folder, "work"))
        made.home.mkdir()
        made.work.mkdir()
        made.note.write_text(BEFORE)
        yield made


async def claude_code(rig, model: str, at: Desk) -> Run:
    """Run Claude Code through `/v1/messages`."""
    (program,) = environment("node-claude-code").glob("node_modules/@anthropic-ai/claude-code-*/claude")
    quiet = ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER")
    variables = dict.fromkeys((*quiet, "DISABLE_ERROR_REPORTING"), "1") | {
        "ANTHROPIC_BASE_URL": rig.url,
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
    }
    options = ["--output-format", "json", "--allowedTools", "Read,Edit", "--permission-mode", "acceptEdits"]
    return await _run([str(program), "-p", TASK, *options], variables, at)


async def codex(rig, model: str, at: Desk) -> Run:
    """Run Codex through `/v1/responses`.

    Off are its sandbox, which needs rights that containers rarely give; web search, which only OpenAI runs;
    and sub-agents, whose tools come as a `namespace`, which no other vendor has.
    """
    (program,) = environment("node-codex").glob("node_modules/@openai/codex-*/vendor/*/bin/codex")
    (at.home / "config.toml").write_text(f"""
model = "{model}"
model_provider = "turnout"
check_for_update_on_startup = false
web_search = "disabled"
[model_providers.turnout]
name = "Turnout"
base_url = "{rig.url}/v1"
env_key = "TURNOUT_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
[features]
multi_agent = false
[analytics]
enabled = false
""")
    options = ["--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox"]
    variables = {"CODEX_HOME": str(at.home), "TURNOUT_KEY": KEY}
    return await _run([str(program), "exec", *options, TASK], variables, at)


async def _run(command: list[str], variables: dict[str, str], at: Desk) -> Run:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=at.work,
        env={"PATH": os.environ["PATH"], "HOME": str(at.home), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_S):
            told, noise = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Run(process.returncode, told.decode(), noise.decode(errors="replace"), at.note.read_text())


def editing(*steps: tuple[str, dict[str, object]]):
    """Answer as a model that calls these tools in turn and then is done; also return what they gave."""
    seen: list[str] = []

    def answer(request):
        results = [
            part for message in request.messages for part in message.parts if isinstance(part, ToolResult)
        ]
        offered = {tool.name for tool in request.tools if hasattr(tool, "name")}
        seen[:] = [_text(result) for result in results]
        if len(results) == len(steps) or steps[len(results)][0] not in offered:
            return reply_with(request, (Text(DONE),), model="scripted")
        name, arguments = steps[len(results)]
        call = ToolCall(id=f"call_{len(results)}", name=name, arguments=json.dumps(arguments))
        return reply_with(request, (Text("I will see to it."), call), model="scripted")

    return answer, seen


def _text(result: ToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, Text)) or str(result.value)
