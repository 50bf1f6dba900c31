"""A page of the documentation, and its reader: runs the page top to bottom in an empty folder.

Theory of operation.
1. A block with a title (```` ```yaml title="turnout.yaml" ````) is written to that file. A `console` block is
   typed in, line by line. A `python` block continues the one before. Nothing else is run.
2. What a page shows is what must come: lines below a `$ command`, or a `text` block right after a `python`
   block, are compared with what was printed. `…` stands for anything within a line, a line of only `…` for
   any number of lines, and runs of spaces count as one. A command that shows nothing must end with status 0.
3. `$ command &` runs on; the page goes on when the address it printed accepts connections, and
   `$ kill %1` reaches it as it would in a shell. Whatever still runs at the end of the page is ended.
4. Ports that pages like to name are replaced by free ones, everywhere on the page, so that tests may run
   beside each other.
"""

import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from msgspec import Struct

PORTS = re.compile(r"\b(?:40[0-2]0|90[0-9][0-9])\b")
FENCE = re.compile(
    r"^(?P<skip><!-- not run: .+ -->\n\n?)?```(?P<language>\w*)(?: title=\"(?P<title>[^\"\n]+)\")?\n"
    r"(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
JOB = re.compile(r"kill(?: -(?P<signal>\w+))? %(?P<job>\d+)")
ADDRESS = re.compile(r"\w+://(?:\w+@)?127\.0\.0\.1:(\d+)")
START_S = 20.0
COMMAND_S = 60.0


class Block(Struct, frozen=True):
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    title: str | None = None
    is_run: bool = True
    follows: bool = False
    """Nothing but blank lines stands between this block and the one before."""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for fence in FENCE.finditer(text):
        found.append(
            Block(
                page,
                text.count("\n", 0, fence.start("code")),
                fence["language"],
                fence["code"],
                fence["title"],
                not fence["skip"],
                bool(found) and not text[end : fence.start()].strip(),
            )
        )
        end = fence.end()
    return found


def play(page: Path) -> None:
    """Run a page in the current folder. Raises `AssertionError` where the page does not tell the truth."""
    reader = _Reader(page)
    try:
        reader.read()
    finally:
        reader.leave()
    assert not reader.lies, "\n".join(reader.lies)


class _Reader:
    def __init__(self, page: Path) -> None:
        self.lies: list[str] = []
        self._page = page
        self._names: dict[str, object] = {"__name__": "__main__"}
        self._ports: dict[str, str] = {}
        self._jobs: list[subprocess.Popen[bytes]] = []
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
        }

    def read(self) -> None:
        told: str | None = None
        for block in blocks(self._page):
            code = PORTS.sub(lambda port: self._port(port[0]), block.code)
            if block.language == "text" and block.follows and told is not None:
                self._compare(code, told, block)
            told = None
            if not block.is_run:
                continue
            if block.title is not None:
                Path(block.title).write_text(code, encoding="utf-8")
            elif block.language == "console":
                self._type(code, block)
            elif block.language == "python":
                told = self._python(code, block)

    def leave(self) -> None:
        for job in self._jobs:
            if job.poll() is None:
                job.terminate()
        for job in self._jobs:
            try:
                job.wait(5)
            except subprocess.TimeoutExpired:
                job.kill()
                job.wait()

    def _port(self, named: str) -> str:
        if named not in self._ports:
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", 0))
                self._ports[named] = str(sock.getsockname()[1])
        return self._ports[named]

    def _python(self, code: str, block: Block) -> str:
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile("\n" * block.line + code, str(block.page), "exec"), self._names)
        return out.getvalue()

    def _type(self, code: str, block: Block) -> None:
        command, expected = "", list[str]()
        for line in [*code.replace("\\\n", "").splitlines(), "$ "]:
            if not line.startswith("$ "):
                expected.append(line)
                continue
            if command:
                self._command(command, "\n".join(expected), block)
            command, expected = line[2:], []

    def _command(self, command: str, expected: str, block: Block) -> None:
        job = JOB.fullmatch(command)
        if job is not None:
            self._kill(job)
            return
        if command.endswith(" &"):
            self._start(command.removesuffix(" &"), expected, block)
            return
        result = subprocess.run(
            ["sh", "-c", command],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        if expected.strip():
            self._compare(expected, result.stdout, block)
        else:
            assert result.returncode == 0, f"{block.page.name}:{block.line}: {command}\n{result.stdout}"

    def _start(self, command: str, expected: str, block: Block) -> None:
        log = Path(f".job{len(self._jobs) + 1}")
        with log.open("wb") as out:
            job = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], env=self._env, stdout=out, stderr=subprocess.STDOUT
            )
        self._jobs.append(job)
        where = f"{block.page.name}:{block.line}: {command}"
        give_up = time.monotonic() + START_S
        while not _answers(log.read_text()):
            said = log.read_text()
            assert job.poll() is None, f"{where} ended\n{said}"
            assert time.monotonic() < give_up, f"{where}: no address in\n{said}"
            time.sleep(0.05)
        if expected.strip():
            self._compare(expected, log.read_text(), block)

    def _compare(self, shown: str, came: str, block: Block) -> None:
        want = [_squeeze(line) for line in shown.strip().splitlines()]
        have = [_squeeze(line) for line in came.strip().splitlines()]
        if not _matches(want, have):
            self.lies.append(f"{block.page.name}:{block.line}: shown\n{shown}\nbut this came\n{came}")

    def _kill(self, command: re.Match[str]) -> None:
        at = int(command["job"]) - 1
        job, log = self._jobs[at], Path(f".job{at + 1}")
        size = log.stat().st_size
        number = _signal(command["signal"] or "TERM")
        job.send_signal(number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            job.wait(10)
            return
        give_up = time.monotonic() + 5
        while log.stat().st_size == size and time.monotonic() < give_up:
            time.sleep(0.05)


def _signal(name: str) -> signal.Signals:
    return signal.Signals(int(name)) if name.isdigit() else signal.Signals[f"SIG{name}"]


def _answers(said: str) -> bool:
    found = ADDRESS.search(said)
    if found is None:
        return False
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", int(found[1]))) == 0


def _matches(want: list[str], have: list[str]) -> bool:
    if not want:
        return not have
    if want[0] == "…":
        return any(_matches(want[1:], have[skip:]) for skip in range(len(have) + 1))
    pattern = ".*".join(re.escape(part) for part in want[0].split("…"))
    return bool(have) and re.fullmatch(pattern, have[0]) is not None and _matches(want[1:], have[1:])


def _squeeze(line: str) -> str:
    return " ".join(line.split())


def words(code: str) -> list[list[str]]:
    """Return the commands of a console block, split as a shell would."""
    lines = code.replace("\\\n", "").splitlines()
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


if __name__ == "__main__":
    play(Path(sys.argv[1]))
