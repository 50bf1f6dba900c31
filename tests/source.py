"""The package's own source, parsed once: what the tests of the house rules read."""

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(Struct, frozen=True):
    """One source file."""

    name: str
    """Dotted, a package's `__init__` under the package's own name."""
    text: str
    tree: ast.Module
    package: str = ""
    """What relative imports in it start from."""

    @property
    def part(self) -> str:
        """The piece of the house it belongs to: `engine`, `errors`, `cli`; "" for the package root."""
        return [*self.name.split("."), ""][1]


def parse(name: str, text: str, package: str = "") -> Module:
    return Module(name, text, ast.parse(text), package)


@cache
def modules() -> tuple[Module, ...]:
    """Read every source file, out of the cyclic collector's sight: it would walk these millions of nodes in
    every later test again."""
    gc.collect()
    gc.disable()
    try:
        return tuple(_read(path) for path in sorted((SRC / "turnout").rglob("*.py")))
    finally:
        gc.freeze()
        gc.enable()


def _read(path: Path) -> Module:
    dotted = ".".join(path.relative_to(SRC).with_suffix("").parts)
    return parse(
        dotted.removesuffix(".__init__"), path.read_text(encoding="utf-8"), dotted.rpartition(".")[0]
    )


def functions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its qualified name, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield above + node.name, node
            yield from functions(node, f"{above}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{above}{node.name}.")
        else:
            yield from functions(node, above)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported anywhere, `from a import b` as `a.b`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.package.split(".")[: 1 - node.level or None] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every call: `eval`, `os.system`, `datetime.now`; a call on a value is `.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, _callee(node.func)


def _callee(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name):
            return f"{node.value.id}.{node.attr}"
        return f".{node.attr}"
    return ""


def docstrings(tree: ast.AST) -> frozenset[int]:
    """Ids of the constants that are documentation: any bare string statement, so field docs too."""
    return frozenset(
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def within(name: str, *prefixes: str) -> bool:
    """Whether a dotted name is one of `prefixes` or lies below one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
