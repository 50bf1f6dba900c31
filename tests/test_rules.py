"""What may not stand in the code, rule by rule (SECURITY.md section 2, STYLE.md rule 8)."""

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.source import Module, calls, functions, imports, modules, parse, within

Rule = Callable[[Module], Iterator[str]]

EDGES = ("turnout.transport",)
"""The one place that opens connections (S-11)."""
DEVELOPER_SIDE = ("turnout.cli", "turnout.evaluate", "turnout.testing")
"""Run by the operator at a terminal or in a test, never reachable from a request."""
PLUGIN_LOADERS = ("turnout", "turnout.registry")
"""Import a module by name: the package root from its own table, the registry from installed entry points."""

EXECUTION_MODULES = (
    "subprocess",
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "cloudpickle",
    "code",
    "runpy",
    "pty",
)
EXECUTION_CALLS = {"exec", "eval", "compile", "__import__", "os.system", "os.popen", "os.startfile"}
EXECUTION_CALLS |= {
    f"os.{name}" for name in ("execv", "execve", "execvp", "execl", "spawnv", "spawnl", "posix_spawn")
}

CLIENT_MODULES = (
    "httpx",
    "httpcore",
    "aiohttp",
    "requests",
    "urllib3",
    "urllib.request",
    "http.client",
    "ftplib",
)
CLIENT_MODULES += (
    "smtplib",
    "telnetlib",
    "xmlrpc.client",
    "websockets",
    "pycurl",
    "openai",
    "anthropic",
    "socket",
)
CLIENT_METHODS = {
    "create_connection",
    "create_datagram_endpoint",
    "open_connection",
    "getaddrinfo",
    "urlopen",
}

BROAD_ALLOWED: dict[str, str] = {
    "turnout.engine.beside.Beside._call": "as engine.sense.read, for a signal that asks a model",
    "turnout.engine.sense.read": "a plugged-in signal that fails is absent, with its error in the Decision",
    "turnout.cli.workers.Supervisor._fork": "the last frame of a process: told, then gone",
    "turnout.layers.journal.JournalLayer.finish": "the answer matters more than its record; counted, logged",
    "turnout.stores.spool.journal.SpooledJournal._carry_over": "the writer outlives its defects; logged",
    "turnout.testing.layer._escaping": "hands what a layer let out to the assertions",
    "turnout.server.app.Gateway._visit": "the server boundary: a defect becomes an answer and a log entry",
    "turnout.server.cycle.Cycle.run_asgi": "the connection's boundary, for what the application let through",
    "turnout.sync._Pump._run": "hands what ended a stream to the thread that reads it",
    "turnout.server.stream.Stream.run": "the server boundary, once a stream has begun",
    "turnout.jobs.alerts.ask.Asker._one": "one defective rule must not end the others; logged, told",
    "turnout.server.alerting.Alerting.run": "alerts outlive their defects; logged",
    "turnout.server.batch_runner.BatchRunner._go": "the batches' boundary: it outlives its defects; logged",
    "turnout.server.deferred.Deferred._work": "the jobs' boundary: the queue outlives its defects; logged",
    "turnout.server.serve.reload": "a defect in reading a file must not end a gateway that serves; logged",
}
"""Function -> why it may catch everything and go on; each records what it caught (STYLE.md rule 8)."""

LISTENERS = ("turnout.server",)
"""May import `socket` to bind the port it serves; connecting stays with the transport."""


def executes_code(module: Module) -> Iterator[str]:
    """S-02, S-03: nothing reachable from a request runs a command, a path, a module name or code."""
    if within(module.name, *DEVELOPER_SIDE):
        return
    for line, name in imports(module):
        if within(name, *EXECUTION_MODULES):
            yield f"{module.name}:{line} imports {name}"
        if within(name, "importlib.import_module", "importlib.util") and module.name not in PLUGIN_LOADERS:
            yield f"{module.name}:{line} imports {name}"
    for line, name in calls(module.tree):
        if name in EXECUTION_CALLS:
            yield f"{module.name}:{line} calls {name}"
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.keyword)
            and node.arg in ("allow_pickle", "shell")
            and not _is_off(node.value)
        ):
            yield f"{module.name}:{node.value.lineno} sets {node.arg}"


def _is_off(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def opens_connections(module: Module) -> Iterator[str]:
    """S-11: one egress client, with the address check in its connector; no other client can be imported."""
    if within(module.name, *EDGES, *DEVELOPER_SIDE):
        return
    for line, name in imports(module):
        if within(name, *CLIENT_MODULES) and not (within(name, "socket") and within(module.name, *LISTENERS)):
            yield f"{module.name}:{line} imports {name}"
    for line, name in calls(module.tree):
        if name.rpartition(".")[2] in CLIENT_METHODS:
            yield f"{module.name}:{line} calls {name}"


def swallows_everything(module: Module) -> Iterator[str]:
    """Catching everything is for cleaning up and raising again; going on needs a line in `BROAD_ALLOWED`."""
    for name, function in functions(module.tree):
        for node in ast.walk(function):
            broad = isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises(node.body)
            broad |= (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith("suppress")
                and any(map(_is_broad, node.args))
            )
            if broad and f"{module.name}.{name}" not in BROAD_ALLOWED:
                yield f"{module.name}.{name} catches everything and goes on"


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(_is_broad, caught.elts))
    return caught is None or ast.unparse(caught) in ("Exception", "BaseException")


def _raises(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Raise)


def prints(module: Module) -> Iterator[str]:
    """Only the command line talks to the terminal."""
    if not within(module.name, "turnout.cli"):
        yield from (f"{module.name}:{line} prints" for line, name in calls(module.tree) if name == "print")


def builds_sql(module: Module) -> Iterator[str]:
    """S-01: values are bound, never written into a statement. Constants are excused beside S608."""
    lines = module.text.splitlines()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        statement = node.args[0]
        excused = "noqa: S608  " in lines[statement.lineno - 1]
        if (
            node.func.attr in ("execute", "executemany", "executescript")
            and _is_assembled(statement)
            and not excused
        ):
            yield f"{module.name}:{node.lineno} builds a statement from pieces"


def _is_assembled(statement: ast.expr) -> bool:
    if isinstance(statement, ast.Call):
        return ast.unparse(statement.func).endswith((".format", ".join", ".replace"))
    return isinstance(statement, ast.JoinedStr | ast.BinOp)


def undocumented(module: Module) -> Iterator[str]:
    """Public classes, functions and methods without a docstring; what is nested in a function is private."""
    if ast.get_docstring(module.tree) is None:
        yield module.name
    yield from _undocumented(module.tree, module.name)


def _undocumented(tree: ast.Module | ast.ClassDef, above: str) -> Iterator[str]:
    for node in tree.body:
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _is_overload(node):
            yield f"{above}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node, f"{above}.{node.name}")


def _is_overload(node: ast.stmt) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", []))


RULES: tuple[Rule, ...] = (
    executes_code,
    opens_connections,
    swallows_everything,
    prints,
    builds_sql,
    undocumented,
)


@pytest.mark.parametrize("rule", RULES)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    assert [line for module in modules() for line in rule(module)] == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (executes_code, "import subprocess"),
        (executes_code, "def f():\n    from pickle import loads"),
        (executes_code, "eval(x)"),
        (executes_code, "os.system(x)"),
        (executes_code, "numpy.load(p, allow_pickle=True)"),
        (executes_code, "from importlib import import_module"),
        (opens_connections, "from urllib.request import urlopen"),
        (opens_connections, "import httpx"),
        (opens_connections, "def f(): loop.create_connection(p, h)"),
        (swallows_everything, "def f():\n    try: g()\n    except Exception: pass"),
        (swallows_everything, "def f():\n    try: g()\n    except (ValueError, BaseException): return 1"),
        (swallows_everything, "def f():\n    with contextlib.suppress(Exception): g()"),
        (prints, "print(1)"),
        (builds_sql, 'db.execute(f"select {x}")'),
        (builds_sql, 'db.execute("select " + x)'),
    ],
)
def test_the_rule_sees(rule: Rule, source: str) -> None:
    assert len(list(rule(parse("turnout.engine.mine", source)))) == 1


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (executes_code, "turnout.engine.mine", "re.compile(x)"),
        (executes_code, "turnout.cli.demo", "import subprocess"),
        (opens_connections, "turnout.transport.http", "loop.create_connection(p, h)"),
        (
            swallows_everything,
            "turnout.engine.mine",
            "def f():\n    try: g()\n    except BaseException:\n        h()\n        raise",
        ),
        (prints, "turnout.cli.demo", "print(1)"),
        (builds_sql, "turnout.stores.mine", 'db.execute("select ?", (x,))'),
    ],
)
def test_the_rule_lets_pass(rule: Rule, name: str, source: str) -> None:
    assert list(rule(parse(name, source))) == []


def test_no_allowance_outlives_its_reason() -> None:
    existing = {f"{module.name}.{name}" for module in modules() for name, _ in functions(module.tree)}
    assert set(BROAD_ALLOWED) - existing == set()


def test_the_docstring_rule_sees() -> None:
    source = (
        '"""Doc."""\nclass A:\n    def f(self): ...\n    def _g(self): ...\ndef h():\n    def inner(): ...'
    )
    assert list(undocumented(parse("m", source))) == ["m.A", "m.A.f", "m.h"]
