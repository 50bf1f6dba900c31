"""Make the environments of the client suite (`make clients`), each client in one of its own.

1. A Python client is a hash lock in requirements/clients/, a Node one a folder in tests/clients/node/ with a
   lock file that holds hashes and no download addresses.
2. Environments lie under $TURNOUT_TEST_CLIENTS, else .cache/clients; a changed lock makes one again.
3. What cannot be installed leaves its reason in the folder's `unavailable`, and its tests skip with it.
4. `--lock` resolves the locks again, from releases that are two weeks old (S-80).
"""

import hashlib
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


def main() -> None:
    """Do what the arguments say; names are of environments, none means all."""
    words = sys.argv[1:]
    if "--lock" in words:
        relock()
        return
    wanted = [(name, lock) for name, lock in sources() if not words or name in words]
    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(lambda pair: install(*pair), wanted):
            if said:
                print(said, flush=True)


if __name__ == "__main__":
    main()
