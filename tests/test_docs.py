"""The documentation is executed: every block of code, every command, every link.

    ```python    the blocks of a page run top to bottom in one fresh process, offline, in an empty folder
    ```console   each `$ make …` names a target, each `$ turnout …` a command with options that it has
    ```yaml      is YAML; with a `routes` or `providers` key it is a configuration that can serve
    ```json      is JSON
    ```toml      is TOML

Pages of the tutorial, the how-tos and the explanations are also played whole, as a reader would who types
everything in (tests/docs_page.py): commands run, files are written, and what a page shows is what must come.

A block after `<!-- not run: why -->` is only shown, and its commands must exist. Pages in docs/design are
contracts with excerpts in them: their links are checked, their blocks are not run. Every file in examples/
runs too, and stays short.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.docs_page import Block, blocks, words
from tests.source import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
PLAYED = [page for page in PAGES if page.parent.name in {"tutorial", "how-to", "explanation"}]
PLAYED += [page for page in PAGES if page.parent.name == "coming-from" and page.stem == "openrouter"]
LATER = [page for page in PAGES if page.parent.name == "coming-from" and page not in PLAYED]
"""Each with servers of its own: played by `make clients` (tests/clients/test_coming_from.py)."""
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_EXAMPLE_LINES = 60
LANGUAGES = {
    "python",
    "console",
    "yaml",
    "json",
    "toml",
    "text",
    "mermaid",
    "http",
    "sql",
    "ini",
    "dockerfile",
}

LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[\w./#:-]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")


def run_blocks(page: Path) -> list[Block]:
    """The blocks of a page that are to be executed."""
    return [block for block in every_block(page) if block.is_run]


def every_block(page: Path) -> list[Block]:
    return [] if page.is_relative_to(ROOT / "docs" / "design") else blocks(page)


def all_blocks(language: str) -> list[object]:
    found = [block for page in PAGES for block in run_blocks(page) if block.language == language]
    if language == "console":
        found = [block for page in PAGES for block in every_block(page) if block.language == language]
    return [pytest.param(block, id=f"{block.page.relative_to(ROOT)}:{block.line}") for block in found]


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_its_language(page: Path) -> None:
    assert [
        f"line {block.line}: {block.language!r}"
        for block in every_block(page)
        if block.language not in LANGUAGES
    ] == []


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page not in (*PLAYED, *LATER) and any(b.language == "python" for b in run_blocks(page))
    ],
    ids=lambda page: page.name,
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    result = run("\n".join(block.code for block in run_blocks(page) if block.language == "python"), tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PLAYED, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    for command in ("curl", "jq", "openssl"):
        if shutil.which(command) is None and any(
            f"$ {command} " in b.code or f"| {command} " in b.code for b in run_blocks(page)
        ):
            pytest.skip(f"the page uses {command}, which is not installed here")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command_line = [sys.executable, "-m", "tests.docs_page", str(page)]
    result = subprocess.run(
        command_line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stderr[-8000:]


@pytest.mark.parametrize("block", all_blocks("json"))
def test_json_parses(block: Block) -> None:
    json.loads(block.code)


@pytest.mark.parametrize("block", all_blocks("toml"))
def test_toml_parses(block: Block) -> None:
    tomllib.loads(block.code)


@pytest.mark.parametrize("block", all_blocks("yaml"))
def test_yaml_parses_and_a_configuration_is_accepted(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turnout.compile import compile_snapshot
    from turnout.config import load_config
    from turnout.parts import load_catalog

    tree = yaml.safe_load(block.code)
    if not isinstance(tree, dict) or not {"routes", "providers"} & tree.keys():
        return
    for name in re.findall(r"\$\{env:(\w+)\}", block.code):
        monkeypatch.setenv(name, "x" * 40)
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\$\{file:([\w.-]+)\}", block.code):
        Path(name).write_text("y" * 40, encoding="utf-8")
    file = tmp_path / "turnout.yaml"
    file.write_text(block.code, encoding="utf-8")
    config = load_config(file)
    if config.catalog.overlay is None and "artifact:" not in block.code:  # its page makes the artifact
        compile_snapshot(config, load_catalog(config), os.environ, credentials=False)


@pytest.mark.parametrize("block", all_blocks("console"))
def test_every_command_shown_exists(block: Block) -> None:
    for command in words(block.code):
        complaint = unknown_in(command)
        assert complaint is None, f"{' '.join(command)}: {complaint}"


def unknown_in(words: list[str]) -> str | None:
    """What in a command does not exist; None when all of it does, or when it is not one of ours."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"no target {unknown[0]}" if unknown else None
    if Path(words[0]).name != "turnout":
        return None
    words = words[: next((at for at, word in enumerate(words) if word in {"&", "|", ">", "|&"}), len(words))]
    command = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
    while command and help_of(*command) is None:
        command.pop()
    text = help_of(*command)
    if text is None or (len(words) > 1 and not command and not words[1].startswith("-")):
        return f"no command {' '.join(words[1:2])}"
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    unknown = [
        option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text)
    ]
    return f"no option {unknown[0]}" if unknown else None


@cache
def help_of(*command: str) -> str | None:
    result = turnout(*command, "--help")
    return result.stdout if result.returncode == 0 else None


def turnout(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from turnout.cli.main import main; sys.argv[0] = 'turnout'; main()"
    command = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, "COLUMNS": "160", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=60)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(
        r"```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    dead = []
    for found in LINK.finditer(text):
        target, _, anchor = (found["target"] or found["image"]).partition("#")
        if ":" in target:
            continue
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(found[0])
    assert dead == []


def links(page: Path) -> set[Path]:
    """Pages that a page leads to; a link to a folder leads to all that are in it."""
    found: set[Path] = set()
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        there = (page.parent / (link["target"] or link["image"]).partition("#")[0]).resolve()
        found |= set(there.glob("*.md")) if there.is_dir() else {there}
    return found


def test_every_page_is_in_the_index_or_in_a_list_that_the_index_names() -> None:
    index = ROOT / "docs" / "index.md"
    lists = {index, *(page for page in links(index) if page.stem in {"README", "coming-from"})}
    listed = lists.union(*map(links, lists))
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [str(page.relative_to(ROOT)) for page in pages if page not in listed] == []


def test_the_plan_of_the_house_names_what_stands_there() -> None:
    text = (ROOT / "docs" / "design" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    layout = text[text.index("```\nsrc/turnout/\n") :].partition("\ntests/")[0]
    named = {name for line in layout.splitlines() if re.match(r"  \w", line) for name in line[:23].split()}
    there = {f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "src" / "turnout").iterdir()}
    assert named == there - {"__pycache__/", "py.typed", "operations.py"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_short_and_runs_offline(example: Path, tmp_path: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_EXAMPLE_LINES
    result = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stderr


def test_the_reference_says_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
