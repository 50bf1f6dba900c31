"""The law of the house (ARCHITECTURE.md section 2), as tests.

Floors, siblings, imports, public names, words.
"""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import turnout
from tests.source import ROOT, SRC, Module, docstrings, imports, modules, parse, within

FLOORS: dict[str, int] = {
    **dict.fromkeys(("errors", "types", "plan"), 0),
    **dict.fromkeys(("registry", "catalog"), 1),
    **dict.fromkeys(("codecs", "signals", "strategies", "learn", "guards", "compress"), 2),
    **dict.fromkeys(("transport", "stores"), 3),
    **dict.fromkeys(("layers", "engine", "jobs"), 4),
    **dict.fromkeys(("config", "compile", "parts", "build", "importers", "govern"), 5),
    **dict.fromkeys(("client", "operations", "sync", "server", "evaluate", "testing"), 6),
    **dict.fromkeys(("cli", ""), 7),
}

PUBLIC_NAMES = [
    "AllAttemptsFailed",
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "BudgetExceeded",
    "CallerError",
    "Candidate",
    "Cascade",
    "ChatRequest",
    "ChatResponse",
    "Client",
    "Config",
    "ConfigError",
    "Constraints",
    "ContentFiltered",
    "ContextLengthExceeded",
    "Decision",
    "Deployment",
    "EmbedRequest",
    "EmbedResponse",
    "Engine",
    "Event",
    "Fanout",
    "Features",
    "Finish",
    "GatewayError",
    "GuardBlocked",
    "Hedge",
    "InvalidRequest",
    "Media",
    "Message",
    "Model",
    "ModelConfig",
    "ModelNotFound",
    "NoEligibleModel",
    "Outcome",
    "OutputFormat",
    "Plan",
    "PolicyError",
    "Price",
    "ProviderConfig",
    "ProviderError",
    "ProviderOverloaded",
    "ProviderRateLimited",
    "Ranked",
    "RateLimited",
    "Reasoning",
    "ReasoningDelta",
    "Recommendation",
    "Record",
    "Refusal",
    "RouteConfig",
    "Secret",
    "Sequence",
    "Stream",
    "StreamInterrupted",
    "Text",
    "TextDelta",
    "Thinking",
    "TimeoutTotal",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolDelta",
    "ToolResult",
    "Try",
    "TurnoutError",
    "Unauthenticated",
    "UnsupportedParameter",
    "Usage",
    "UsageUpdate",
    "Vectors",
    "Vendor",
    "load_config",
]
"""What a release promises to keep. A name enters here when it is meant to stay."""

MAX_IMPORT_CPU_S = 0.15
NOT_AT_IMPORT = {
    "numpy",
    "starlette",
    "yaml",
    "uvicorn",
    "httpx",
    "rich",
    "click",
    "sqlite3",
    "ssl",
    "asyncio",
}

THIRD_PARTY: dict[str, set[str]] = {
    "msgspec": {*FLOORS},
    "httptools": {"transport", "server"},
    "certifi": {"transport"},
    "httpcore": {"transport"},
    "h2": {"transport"},
    "jsonschema_rs": {"strategies"},
    "opentelemetry": {"server"},
    "zstandard": {"transport"},
    "uvloop": {"transport", "client", "sync", "server", "cli"},
    "uvicorn": {"server", "testing", "cli"},
    "yaml": {"config", "cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "numpy": {"learn", "strategies", "evaluate"},
    "pyarrow": {"stores", "evaluate", "cli"},
    "openai": {"cli"},
    "xllamacpp": {"testing"},
    "bpe_openai": {"signals"},
    "onnxruntime": {"learn"},
    "presidio_analyzer": {"guards"},
    "spacy": {"guards"},
    "tokenizers": {"learn"},
    "usearch": {"learn"},
    "valkey": {"stores"},
    "websockets": {"transport"},
    "psycopg": {"stores", "testing", "cli"},
    "cryptography": {"govern", "transport"},
    "joserfc": {"server"},
    "resvg_py": {"evaluate"},
}
"""Third-party package -> where it may be imported. One edge, one owner (ARCHITECTURE.md law 3, S-11)."""

NO_CLOCK_NO_IO = (
    *(
        "asyncio",
        "contextvars",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "secrets",
        "select",
    ),
    *(
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    ),
    *("urllib.request", "uuid"),
)
"""What the floors 0 and 2 cannot need: time, randomness and environment are arguments (law 2)."""


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, "PYTHONPATH": str(SRC), **env}
    return subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, text=True, check=False)


def floor(module: Module) -> int:
    """Floor of a module; -1 for one that stands nowhere yet: give it a place in FLOORS and .importlinter."""
    return FLOORS.get(module.part, -1)


# Floors and siblings


def test_every_import_goes_down_and_siblings_do_not_know_each_other() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = run(sys.executable, "-c", lint, "--no-cache", "--no-logo")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_file_says_what_it_is_and_its_floor_in_its_first_line() -> None:
    wrong = {}
    for module in modules():
        first = (ast.get_docstring(module.tree) or "").partition("\n")[0]
        if f"floor {floor(module)}" not in first.lower():
            wrong[module.name] = f"expected 'Floor {floor(module)}' in {first!r}"
    assert wrong == {}


def test_only_the_version_is_taken_from_the_package_root() -> None:
    wrong = [
        f"{module.name}:{line} takes {name}"
        for module in modules()
        for line, name in imports(module)
        if name.removeprefix("turnout.") in (*turnout.__all__, "turnout")
    ]
    assert wrong == []


def test_third_party_packages_are_imported_only_by_their_owners() -> None:
    ours = {"turnout", "compression", *sys.stdlib_module_names}  # compression: in the library from 3.14 on
    wrong = []
    for module in modules():
        for line, name in imports(module):
            package = name.partition(".")[0]
            if package not in ours and module.part not in THIRD_PARTY.get(package, set()):
                wrong.append(f"{module.name}:{line} imports {package}")
    assert wrong == []


def impurities(module: Module) -> Iterator[str]:
    for line, name in imports(module):
        if within(name, *NO_CLOCK_NO_IO) and name != "io.BytesIO":  # bytes in memory, which zips want
            yield f"{module.name}:{line} imports {name}"
        if within(name, "random") and name != "random.Random":
            yield f"{module.name}:{line} imports {name}: take a Random as an argument"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef) and not _is_protocol_method(node):
            yield f"{module.name}:{node.lineno} is async"
        if isinstance(node, ast.Global):
            yield f"{module.name}:{node.lineno} writes a global"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "open",
            "datetime.now",
            "datetime.utcnow",
            "date.today",
        ):
            yield f"{module.name}:{node.lineno} calls {ast.unparse(node.func)}"


def _is_protocol_method(node: ast.AsyncFunctionDef) -> bool:
    """Whether the body is `...`: a promise that a higher floor keeps."""
    return ast.unparse(node.body[-1]) == "..."


def test_facts_and_pure_floors_do_no_io_and_read_no_clock() -> None:
    assert [line for module in modules() if floor(module) in (0, 2) for line in impurities(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from asyncio import sleep",
        "def f():\n    import socket",
        "from random import choice",
        "async def f():\n    await g()",
        "datetime.now(UTC)",
        "open('x')",
    ],
)
def test_the_purity_rule_sees(source: str) -> None:
    assert len(list(impurities(parse("turnout.codecs.mine", source)))) == 1


# Vendors are data (law 5)

DIALECT_WORDS = {"openai", "anthropic", "gemini", "cohere", "bedrock", "ollama"}
"""Names of wire formats as well as of companies; the faces that speak a format may say its name."""

VENDOR_WORDS_ALLOWED: dict[str, tuple[set[str], str]] = {
    **dict.fromkeys(
        ("turnout.config", "turnout.compile", "turnout.parts", "turnout.build"),
        (DIALECT_WORDS, "assembly names wire formats"),
    ),
    "turnout.importers": (DIALECT_WORDS, "a header that the imported file means by one of its keys"),
    "turnout.importers.openrouter": (
        {"openrouter", "moonshot", "mistral", "vertex_ai", "xai", "zai", "bedrock", "gemini"},
        "the imported product's own name, and its names of makers and hosts",
    ),
    "turnout.server": (DIALECT_WORDS, "the dialects clients speak"),
    "turnout.evaluate.surfaces": (DIALECT_WORDS, "recorded calls are told by where they went"),
    "turnout.evaluate.translate": (DIALECT_WORDS, "what each wire format can say, as a table"),
    "turnout.testing": (DIALECT_WORDS, "the emulator speaks these formats"),
}
"""Module prefix -> words it may say, and why."""


def vendor_words() -> set[str]:
    table = SRC / "turnout" / "catalog" / "vendors.toml"
    rows = tomllib.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    rows = rows.get("vendor", rows)
    names = {row["name"] for row in rows} if isinstance(rows, list) else set(rows)
    return names | DIALECT_WORDS


def vendor_mentions(module: Module, words: set[str]) -> Iterator[str]:
    """Literals that look like keys or names (no spaces) and hold a vendor's name as a whole word."""
    free = docstrings(module.tree)
    allowed = {
        word
        for where, (some, _) in VENDOR_WORDS_ALLOWED.items()
        if within(module.name, where)
        for word in some
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in free:
            text = node.value.casefold()
            pieces = set("".join(c if c.isalnum() else " " for c in text).split()) | {text}
            if " " not in text and (said := (words - allowed) & pieces):
                yield f"{module.name}:{node.lineno} says {min(said)!r}"


def test_no_vendor_is_named_above_the_wire_formats() -> None:
    words = vendor_words()
    above = [module for module in modules() if floor(module) in (4, 5, 6)]
    assert [line for module in above for line in vendor_mentions(module, words)] == []


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ('if p == "groq": ...', 1),
        ('x = f"groq/{m}"', 1),
        ('"""groq"""', 0),
        ('"ask groq"', 0),
        ('"groqs"', 0),
    ],
)
def test_the_vendor_rule_sees(source: str, n: int) -> None:
    assert len(list(vendor_mentions(parse("turnout.engine.mine", source), {"groq"}))) == n


# What `import turnout` costs and offers


def test_import_costs_little_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; before = time.process_time(); import turnout; "
        "print(time.process_time() - before, *sys.modules)"
    )
    outputs = [run(sys.executable, "-c", code).stdout.split() for _ in range(3)]
    assert min(float(output[0]) for output in outputs) <= MAX_IMPORT_CPU_S
    assert NOT_AT_IMPORT & set(outputs[0][1:]) == set()


def test_using_every_public_name_loads_no_server_and_no_numpy() -> None:
    code = "import sys, turnout; [getattr(turnout, name) for name in turnout.__all__]; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code).stdout.split())
    assert "turnout.errors" in loaded
    assert {"numpy", "starlette", "uvicorn", "httpx", "rich", "click", "pyarrow", "openai"} & loaded == set()


def test_public_names_are_the_written_list() -> None:
    assert sorted(turnout.__all__) == sorted(PUBLIC_NAMES)


def test_every_public_name_resolves_to_the_object_type_checkers_see() -> None:
    root = next(module for module in modules() if module.name == "turnout")
    seen = {name.rpartition(".")[2]: name for _, name in imports(root) if name.startswith("turnout.")}
    assert {name: f"{turnout._HOME[name]}.{name}" for name in turnout.__all__} == seen
    assert all(hasattr(turnout, name) for name in turnout.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'turnout' has no attribute 'Nonsense'"):
        _ = turnout.Nonsense


def test_version_is_the_one_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert turnout.__version__ == project["version"]


def test_importing_every_module_opens_no_connection_and_starts_no_program() -> None:
    """S-83, S-23: nothing happens at import."""
    code = Path(__file__).with_name("import_everything.py")
    result = run(sys.executable, str(code))
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(result.stdout) == len(modules()) - 1, "a folder without __init__.py hides its modules"
