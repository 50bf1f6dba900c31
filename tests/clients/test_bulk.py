"""Files and batches by unmodified official clients, each in its own environment, over every upstream."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import pytest

from tests.clients.kit import HERE, KEY, RUN_S, UPSTREAMS, config_text, environment
from tests.server.kit import Emulator, dialects, gateway, serving
from turnout.server.opened import open_beside

MODELS = [f"{upstream}/one" for upstream in UPSTREAMS]
SAID = "This is an emulated answer of {}. You wrote 2 characters, beginning: Hi"
ANSWERS = {model: SAID.format(model.replace("/", "-")) for model in MODELS}


@asynccontextmanager
async def running(folder):
    """A gateway with a queue and a place for files."""
    async with serving(Emulator(dialects())) as base:
        more = f"background: {{path: {folder}/jobs.db}}\nfiles: {{path: {folder}/files}}\n"
        async with gateway(config_text(base) + more) as rig:
            over = asyncio.Event()
            beside = open_beside(rig.built, rig.gateway)
            serve = asyncio.create_task(beside.serve(over.wait(), lambda: 0.0))
            yield rig
            over.set()
            await serve


async def run(rig, *command):
    """Run a client; return what it saw."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        *(rig.url, KEY, ",".join(MODELS)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    async with asyncio.timeout(RUN_S):
        out, err = await process.communicate()
    if process.returncode:
        pytest.fail(err.decode(errors="replace")[-4000:])
    return json.loads(out)


async def test_openais_python_client_uploads_and_has_a_batch_answered(tmp_path):
    python = environment("python-openai") / "venv" / "bin" / "python"
    async with running(tmp_path) as rig:
        saw = await run(rig, python, "-B", HERE / "bulk" / "python_openai.py")
    assert saw == {
        "file": ["processed", "batch", True, 3600],
        "batch": ["completed", len(MODELS), {"a": "b"}],
        "answers": ANSWERS,
        "listed": True,
        "files": 2,
        "deleted": True,
    }


async def test_anthropics_python_client_shows_files_and_has_a_message_batch_answered(tmp_path):
    python = environment("python-anthropic") / "venv" / "bin" / "python"
    async with running(tmp_path) as rig:
        saw = await run(rig, python, "-B", HERE / "bulk" / "python_anthropic.py")
    assert saw == {
        "file": ["a.txt", "text/plain", 15],
        "files": True,
        "content": "words of a file",
        "shown": dict.fromkeys(MODELS, "end_turn"),
        "counted": True,
        "forgotten": "file_deleted",
        "batch": ["ended", len(MODELS)],
        "answers": {model.replace("/", "-"): text for model, text in ANSWERS.items()},
        "listed": True,
        "deleted": "message_batch_deleted",
    }


async def test_openais_node_client_uploads_and_has_a_batch_answered(tmp_path):
    home = environment("node-openai")
    (home / "bulk.mjs").write_bytes((HERE / "bulk" / "node-openai.mjs").read_bytes())
    async with running(tmp_path) as rig:
        saw = await run(rig, "node", home / "bulk.mjs")
    assert saw == {"batch": ["completed", len(MODELS)], "answers": ANSWERS}


async def test_googles_python_client_has_batch_jobs_answered(tmp_path):
    python = environment("python-google-genai") / "venv" / "bin" / "python"
    async with running(tmp_path) as rig:
        saw = await run(rig, python, "-B", HERE / "bulk" / "python_google_genai.py")
    assert saw == {
        "names": [f"of {model}" for model in MODELS],
        "answers": ANSWERS,
        "vectors": [4, 4],
        "listed": True,
        "left": len(MODELS) - 1,
    }
