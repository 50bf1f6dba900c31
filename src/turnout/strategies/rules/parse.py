"""Reads the condition of a rule: text to tree, never to Python. Floor 2.

Theory of operation.
1. A text is cut into tokens by one pattern; what it does not know is an error at its column.
2. Operators bind as in speech: `or` loosest, then `and`, `not`, and comparisons, which do not chain. Each
   level is one method that calls the next (Pratt's scheme with fixed levels). Depth and length have bounds:
   no text can exhaust the stack.
3. A comparison needs a fact on one side. What a fact is, and which kind of value it has, is checked by
   `facts.check`; here only its form is.
4. Every error is a `RuleError` with the column, counted from 1, at which reading stopped.
"""

import re
from typing import Final, NoReturn

from msgspec import Struct

from turnout.strategies.rules.ast import (
    Among,
    And,
    Call,
    Compare,
    Fact,
    HasAny,
    Lit,
    Matches,
    Node,
    Not,
    Operand,
    Operator,
    Or,
    Span,
)

MAX_CHARS: Final = 4_000
MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 256
KEYED: Final = frozenset({"tags", "meta"})
CALLS: Final = frozenset({"model.is_up", "peak"})
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<span>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ms|s|m|h|d)\b)
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<sign>==|!=|<=|>=|<|>|[()\[\],])
    |(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_][\w-]*)*)""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_OPERATORS: Final[dict[str, Operator]] = {op: op for op in ("==", "!=", "<", "<=", ">", ">=")}
_RESERVED: Final = frozenset({"or", "and", "not", "in", "has_any", "matches"})


class RuleError(ValueError):
    """A condition cannot be read or used; the message says at which column."""

    def __init__(self, fault: str, column: int) -> None:
        super().__init__(f"column {column}: {fault}")
        self.column = column


class Token(Struct, frozen=True):
    """A piece of text with its place."""

    kind: str
    text: str
    column: int


def parse(text: str) -> Node:
    """Return the tree of a condition.

    Raises:
        RuleError: The text is not a condition.
    """
    if len(text) > MAX_CHARS:
        raise RuleError(f"the condition has {len(text)} characters; at most {MAX_CHARS} are read", MAX_CHARS)
    reader = _Reader(_tokens(text))
    if reader.token.kind == "end":
        raise RuleError("the condition is empty; write `true` for a rule that always matches", 1)
    node = reader.disjunction(0)
    if reader.token.kind != "end":
        reader.fail("expected `and`, `or` or the end")
    return node


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RuleError(_unreadable(text[at:]), at + 1)
        kind = match.lastgroup or ""
        if kind != "blank":
            found.append(Token(kind, match[0], at + 1))
        at = match.end()
    return [*found, Token("end", "", len(text) + 1)]


def _unreadable(rest: str) -> str:
    if rest[0] in "\"'":
        return "the string has no end"
    if rest[0] == "=":
        return "`=` is not an operator; did you mean `==`?"
    if rest[0] in "&|!":
        return f"{rest[0]!r} is not an operator; write `and`, `or`, `not`"
    if rest[0].isdigit():
        return "a number or duration is malformed; durations end in ms, s, m, h or d"
    return f"{rest[0]!r} means nothing here"


class _Reader:
    __slots__ = ("_at", "_tokens", "token")

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.token = tokens[0]

    def fail(self, fault: str) -> NoReturn:
        got = f"`{self.token.text[:40]}`" if self.token.text else "the end"
        raise RuleError(f"{fault}, got {got}", self.token.column)

    def step(self) -> Token:
        token = self.token
        self._at += 1
        self.token = self._tokens[min(self._at, len(self._tokens) - 1)]
        return token

    def takes(self, text: str) -> bool:
        if self.token.text != text or self.token.kind == "string":
            return False
        self.step()
        return True

    def expect(self, text: str) -> None:
        if not self.takes(text):
            self.fail(f"expected `{text}`")

    def disjunction(self, depth: int) -> Node:
        terms = [self.conjunction(depth)]
        while self.takes("or"):
            terms.append(self.conjunction(depth))
        return terms[0] if len(terms) == 1 else Or(_flat(terms, Or))

    def conjunction(self, depth: int) -> Node:
        terms = [self.negation(depth)]
        while self.takes("and"):
            terms.append(self.negation(depth))
        return terms[0] if len(terms) == 1 else And(_flat(terms, And))

    def negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        if self.takes("not"):
            return Not(self.negation(depth + 1))
        if self.takes("("):
            node = self.disjunction(depth + 1)
            self.expect(")")
            return node
        return self.comparison()

    def comparison(self) -> Node:
        column = self.token.column
        left = self.operand()
        if isinstance(left, Call):
            return left
        token = self.token
        if token.kind == "sign" and token.text in _OPERATORS:
            self.step()
            right = self.operand()
            if isinstance(right, Call) or not (isinstance(left, Fact) or isinstance(right, Fact)):
                raise RuleError("a comparison needs a fact on one side and no call", column)
            return Compare(_OPERATORS[token.text], left, right)
        if token.kind == "name" and token.text in ("in", "has_any", "matches"):
            if not isinstance(left, Fact):
                raise RuleError(f"`{token.text}` needs a fact before it", column)
            self.step()
            return self.relation(left, token)
        if isinstance(left, Span):
            raise RuleError("a duration is no condition; compare it with a fact", column)
        if isinstance(left, Lit) and not isinstance(left.value, bool):
            raise RuleError("a literal is no condition; compare it with a fact", column)
        return left

    def relation(self, fact: Fact, word: Token) -> Node:
        if word.text == "matches":
            if self.token.kind != "string":
                self.fail("`matches` needs a pattern in quotes")
            return Matches(fact, _unquoted(self.step()))
        self.expect("[")
        items: list[Lit | Span] = []
        while not self.takes("]"):
            column = self.token.column
            item = self.operand()
            if not isinstance(item, Lit | Span):
                raise RuleError("a list holds literals only", column)
            items.append(item)
            if len(items) > MAX_ITEMS:
                raise RuleError(f"a list holds at most {MAX_ITEMS} items", column)
            if self.token.text != "]":
                self.expect(",")
        if not items:
            raise RuleError("the list is empty: nothing is in it", word.column)
        if word.text == "in":
            return Among(fact, tuple(items))
        literals = tuple(item for item in items if isinstance(item, Lit) and isinstance(item.value, str))
        if len(literals) != len(items):
            raise RuleError("`has_any` needs strings", word.column)
        return HasAny(fact, literals)

    def operand(self) -> Operand | Call:
        token = self.token
        if token.kind in ("sign", "end") or token.text in _RESERVED:
            self.fail("expected a fact or a literal")
        self.step()
        match token.kind:
            case "string":
                return Lit(_unquoted(token))
            case "number":
                return Lit(_number(token))
            case "span":
                return _span(token)
            case _ if token.text in ("true", "false"):
                return Lit(token.text == "true")
            case _:
                return self.named(token)

    def named(self, token: Token) -> Fact | Call:
        if self.takes("("):
            if token.text not in CALLS:
                raise RuleError(
                    f"{token.text} cannot be called; only {', '.join(sorted(CALLS))} can", token.column
                )
            if self.token.kind != "string":
                self.fail(f'{token.text} needs a name in quotes, as in {token.text}("…")')
            argument = _unquoted(self.step())
            self.expect(")")
            return Call(token.text, argument)
        if token.text == "peak":
            return Call("peak", "peak")
        if token.text == "model.is_up":
            raise RuleError('model.is_up needs a model, as in model.is_up("vendor/model")', token.column)
        if token.text in KEYED and self.takes("["):
            if self.token.kind not in ("string", "name") or not self.token.text.strip("\"'"):
                self.fail("expected a key")
            key = self.step()
            self.expect("]")
            return Fact(token.text, _unquoted(key) if key.kind == "string" else key.text)
        head, dot, rest = token.text.partition(".")
        return Fact(head, rest) if head == "meta" and dot else Fact(token.text)


def _flat(terms: list[Node], kind: type[And] | type[Or]) -> tuple[Node, ...]:
    """Merge what associates, so that one meaning has one tree."""
    return tuple(inner for term in terms for inner in (term.terms if isinstance(term, kind) else (term,)))


def _unquoted(token: Token) -> str:
    def replace(match: re.Match[str]) -> str:
        # An unknown escape keeps its backslash: patterns are full of them.
        return _ESCAPES.get(match[1], match[0])

    return _ESCAPE.sub(replace, token.text[1:-1])


def _number(token: Token) -> int | float:
    value = float(token.text)
    if value in (float("inf"), float("-inf")):
        raise RuleError("the number is too large", token.column)
    return int(token.text) if token.text.lstrip("-").isdigit() else value


def _span(token: Token) -> Span:
    unit = "ms" if token.text.endswith("ms") else token.text[-1]
    seconds = float(token.text.removesuffix(unit)) * UNITS[unit]
    if not 0 <= seconds <= 366 * UNITS["d"]:
        raise RuleError("a duration lies between 0 and 366d", token.column)
    return Span(seconds)
