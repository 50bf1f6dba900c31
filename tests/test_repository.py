"""What may lie in the repository and in the wheel (SECURITY.md section 10, S-14)."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.source import ROOT, imports, modules

LOCKS = sorted((ROOT / "requirements").rglob("*.txt"))
MAX_DIRECT_DEPENDENCIES = 12
MAX_FILE_BYTES = 2 << 20

TRACES = {
    "a path of somebody's machine": r"(?<![\w.-])/([w]ork|[r]oot|[h]ome|[U]sers)/",
    "the host of a package registry": r"[p]ypi\.org|[p]ythonhosted|[r]egistry\.npmjs|[c]rates\.io",
    "a private key": r"-----[B]EGIN [A-Z ]*PRIVATE KEY",
    "a cloud credential": r"\b([A]KIA[0-9A-Z]{16}|[g]hp_\w{36}|[A]Iza[\w-]{35})",
    "a provider key": r"\b[s]k-(ant-api\d\d|proj)-[\w-]{40}",
    "an unfinished merge": r"^([<]{7}|[>]{7}) ",
}
"""What it would be -> how to find it. A bracketed first letter keeps this file from finding itself."""

WHEEL_SUFFIXES = {".py", ".typed", ".json", ".toml", ".yaml", ".html", ".css", ".js", ".svg"}
"""Source and data. Nothing compiled, nothing that runs when Python starts (S-83)."""
WHEEL_METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"}


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def traces(text: str) -> Iterator[str]:
    """What in a text should not be there."""
    for what, pattern in TRACES.items():
        if found := re.search(pattern, text, re.MULTILINE):
            yield f"{what}: {found[0]!r} in line {text.count(chr(10), 0, found.start()) + 1}"


def test_no_file_holds_a_trace_of_a_machine_or_a_secret() -> None:
    found = {
        str(path.relative_to(ROOT)): found
        for path in tracked()
        if (found := list(traces(path.read_text(encoding="utf-8", errors="replace"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "home/me/x",
        "https://" + "pypi" + ".org/simple",
        "-----" + "BEGIN RSA PRIVATE KEY-----",
        "AKIA" + "0123456789ABCDEF",
        "<" * 7 + " HEAD",
    ],
)
def test_the_trace_rules_see(text: str) -> None:
    assert len(list(traces(text))) == 1


def test_no_file_is_a_blob() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > MAX_FILE_BYTES] == []


# Locks


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", line):
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_and_hashes_everything_and_names_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line[:60] for line in lines if "==" not in line or "--hash=sha256:" not in line] == []
    assert [line[:60] for line in lines if "://" in line or " @ " in line or line.startswith("-")] == []


def test_a_lock_of_node_packages_hashes_everything_and_names_no_address() -> None:
    """The root and links have nothing to hash; `resolved` would name a registry."""
    for lock in sorted((ROOT / "tests" / "clients" / "node").glob("*/package-lock.json")):
        packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
        fetched = {name: each for name, each in packages.items() if name}
        assert [name for name, each in fetched.items() if "integrity" not in each or "resolved" in each] == []


def test_a_package_has_the_same_version_in_every_lock() -> None:
    everything = pins(ROOT / "requirements" / "dev.txt")
    beside = ("core.txt", "demo.txt", "build.txt", "browser.txt", "deploy.txt")
    others = {name: pins(ROOT / "requirements" / name) for name in beside}
    wrong = [
        f"{name} {versions} in {lock}"
        for lock, locked in others.items()
        for name, versions in locked.items()
        if not versions <= everything.get(name, versions)
    ]
    assert wrong == []


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {extra: names(lines) for extra, lines in project["optional-dependencies"].items()}
    assert names(project["dependencies"]) - pins(ROOT / "requirements" / "core.txt").keys() == set()
    assert declared["demo"] - pins(ROOT / "requirements" / "demo.txt").keys() == set()
    for needed in (declared["http2"], declared["test"], declared["dev"]):
        assert needed - pins(ROOT / "requirements" / "dev.txt").keys() == set()


def test_everything_that_the_package_imports_is_declared() -> None:
    """A dependency of a dependency may vanish with its next release."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        extra: lines
        for extra, lines in project["optional-dependencies"].items()
        if extra not in ("test", "dev")
    }
    declared = names([*project["dependencies"], *(line for lines in extras.values() for line in lines)])
    declared |= {"h2"}  # httpcore[http2] is h2
    homes = packages_distributions()
    wrong = {
        f"{module.name} imports {package}"
        for module in modules()
        for _, name in imports(module)
        if (package := name.partition(".")[0]) in homes and package != "turnout"
        if not declared & {home.lower().replace("_", "-") for home in homes[package]}
    }
    assert wrong == set()


def names(requirements: list[str]) -> set[str]:
    found = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in requirements}
    return found - {"turnout"}


def test_direct_dependencies_stay_few() -> None:
    """S-80."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) <= MAX_DIRECT_DEPENDENCIES


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_source_data_and_metadata_only(wheel: Path) -> None:
    held = zipfile.ZipFile(wheel).namelist()
    metadata = {name.partition("/")[2] for name in held if ".dist-info/" in name}
    rest = [name for name in held if ".dist-info/" not in name]
    assert metadata - WHEEL_METADATA == set()
    assert [n for n in rest if not n.startswith("turnout/") or Path(n).suffix not in WHEEL_SUFFIXES] == []
    assert {"turnout/__init__.py", "turnout/py.typed", "turnout/errors/__init__.py"} <= set(rest)


def test_the_wheel_asks_for_the_declared_dependencies_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    needed = [
        line.partition(": ")[2]
        for line in lines
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert names(needed) == names(project["dependencies"])


def test_the_wheel_is_the_same_when_built_again(wheel: Path, tmp_path: Path) -> None:
    """S-82: a second builder can compare."""
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


# The two commands and CI


def test_ci_runs_the_command_that_the_readme_names() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert "\nfor target in test " in text
    assert 'make --no-print-directory "$target"' in text


@pytest.mark.parametrize(
    ("python", "complaint"),
    [
        ("no-such-python", "PYTHON=no-such-python is not a program on this machine."),
        ("false", "Python 3.11 or newer is needed."),
    ],
)
def test_an_unusable_python_is_refused_in_one_line(python: str, complaint: str) -> None:
    result = subprocess.run(
        ["sh", "scripts/python.sh", python], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("turnout: ")
    assert result.stderr.endswith(f"{complaint}\n")
    assert result.stderr.count("\n") == 1


def test_a_usable_python_is_taken_as_it_is() -> None:
    command = ["sh", "scripts/python.sh", sys.executable]
    assert (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == f"{sys.executable}\n"
    )
