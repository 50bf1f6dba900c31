"""What a rule's condition is made of, and how it is written. Floor 2.

`show` writes a tree so that `parse(show(tree)) == tree`; it writes no more parentheses than that takes.
"""

from collections.abc import Mapping
from typing import Final, Literal, assert_never

from msgspec import Struct

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
MIRRORED: Final[Mapping[Operator, Operator]] = {
    "==": "==",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
"""What says the same with its sides changed."""
Scalar = str | int | float | bool


class Lit(Struct, frozen=True, tag=True):
    """A string, number or truth."""

    value: Scalar


class Span(Struct, frozen=True, tag=True):
    """A duration."""

    seconds: float


class Fact(Struct, frozen=True, tag=True):
    """Something known about the request. `tags["k"]` and `meta.k` have a key."""

    name: str
    key: str = ""


class Call(Struct, frozen=True, tag=True):
    """`model.is_up("…")` or `peak("…")`."""

    name: str
    argument: str


class Compare(Struct, frozen=True, tag=True):
    """A fact against a literal, or a literal against a fact."""

    op: Operator
    left: "Operand"
    right: "Operand"


class Among(Struct, frozen=True, tag=True):
    """`in [..]`: the fact is one of these."""

    fact: Fact
    items: tuple["Lit | Span", ...]


class HasAny(Struct, frozen=True, tag=True):
    """`has_any [..]`: the list shares an item, or the text holds one of these, in any case."""

    fact: Fact
    items: tuple[Lit, ...]


class Matches(Struct, frozen=True, tag=True):
    """`matches "…"`: the pattern is found in the first 4,096 characters."""

    fact: Fact
    pattern: str


class Not(Struct, frozen=True, tag=True):
    """Negation; of unknown it is unknown."""

    term: "Node"


class And(Struct, frozen=True, tag=True):
    """Every term holds."""

    terms: tuple["Node", ...]


class Or(Struct, frozen=True, tag=True):
    """Some term holds."""

    terms: tuple["Node", ...]


Operand = Lit | Span | Fact
Node = Lit | Fact | Call | Compare | Among | HasAny | Matches | Not | And | Or


def show(node: "Node | Operand") -> str:  # noqa: C901  one line per kind of node
    """Write a tree in the language of rules."""
    match node:
        case Lit(value=value):
            return _literal(value)
        case Span(seconds=seconds):
            return f"{seconds!r}s"
        case Fact(name=name, key=key):
            return name if not key else f"{name}[{_literal(key)}]"
        case Call(name=name, argument=argument):
            return f"{name}({_literal(argument)})"
        case Compare(op=op, left=left, right=right):
            return f"{show(left)} {op} {show(right)}"
        case Among(fact=fact, items=items):
            return f"{show(fact)} in [{', '.join(map(show, items))}]"
        case HasAny(fact=fact, items=items):
            return f"{show(fact)} has_any [{', '.join(map(show, items))}]"
        case Matches(fact=fact, pattern=pattern):
            return f"{show(fact)} matches {_literal(pattern)}"
        case Not(term=term):
            return f"not {_wrapped(term, (And, Or))}"
        case And(terms=terms):
            return " and ".join(_wrapped(term, (And, Or)) for term in terms)
        case Or(terms=terms):
            return " or ".join(_wrapped(term, (Or,)) for term in terms)
        case _:
            assert_never(node)


def _wrapped(node: Node, looser: tuple[type, ...]) -> str:
    return f"({show(node)})" if isinstance(node, looser) else show(node)


def _literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    return repr(value)
