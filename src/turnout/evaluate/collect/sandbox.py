"""Runs the code of an answer against its tests, in a process of its own. Floor 6.

This bounds time, memory, files and output, and hands no environment on. It is not a sandbox: code from a
model runs with the rights of whoever started the command, so it is off unless asked for, and belongs into a
container.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = 512 * 1024 * 1024
SECONDS: Final = 10.0
"""Of wall clock; processor time is held to the same."""
_FILE_BYTES: Final = 1024 * 1024
_PASSED: Final = 73
"""Exit status after the last line: code that ends the process itself has not passed."""
_START: Final = """\
import resource, sys
seconds, memory, size = {seconds}, {memory}, {size}
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_NPROC, (0, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
source = open("answer.py", encoding="utf-8").read()
exec(compile(source, "answer.py", "exec"), {{"__name__": "answer"}})
import os
os._exit({passed})
"""


async def passes(code: str, tests: str, *, seconds: float = SECONDS) -> bool:
    """Return whether the code runs and its tests raise nothing, within the limits.

    Args:
        code: The answer's Python.
        tests: Python run after it, in the same names.
        seconds: Wall clock allowed.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-answer-") as place:
        _write(Path(place, "answer.py"), f"{code}\n\n{tests}\n")
        start = _START.format(seconds=max(1, round(seconds)), memory=MEMORY, size=_FILE_BYTES, passed=_PASSED)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", start),
            cwd=place,
            env={"PATH": os.defpath, "HOME": place},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(process.wait(), seconds) == _PASSED
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
            await process.wait()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
