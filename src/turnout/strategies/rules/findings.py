"""What is allowed in a list of rules but deserves a look: rules that never win, rules that overlap. Floor 2.

Theory of operation.
1. A condition is brought into alternatives of demands (disjunctive normal form), each demand on one fact: a
   range of numbers, a set of values, or something opaque (patterns, calls) that is only compared by its text.
2. An alternative is inside another if each demand of the other follows from one of its own. A rule is
   unreachable if each of its alternatives is inside one of an earlier rule. That finds what a reader
   would find; it misses what only several earlier rules cover together, and says nothing wrong.
3. Two rules overlap if some alternative of both can hold at once *and both ask for a common fact*: rules
   about different things always overlap, which is no news. Rules that pick the same are not mentioned.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Final, Protocol

from msgspec import Struct

from turnout.strategies.rules.ast import (
    MIRRORED,
    Among,
    And,
    Compare,
    Fact,
    Lit,
    Node,
    Not,
    Operator,
    Or,
    Scalar,
    Span,
    show,
)
from turnout.strategies.rules.parse import parse

MAX_ALTERNATIVES: Final = 64
"""Conditions with more are left alone."""
MAX_OVERLAPS: Final = 10
_INF: Final = float("inf")


class Ruled(Protocol):
    """What is looked at of a rule."""

    @property
    def when(self) -> str:
        """Its condition."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """What it picks."""
        ...

    @property
    def use(self) -> object:
        """How it picks."""
        ...


class Demand(Struct, frozen=True):
    """What an alternative asks of one fact."""

    low: float = -_INF
    low_open: bool = False
    high: float = _INF
    high_open: bool = False
    within: frozenset[object] | None = None
    """Values that are allowed; None = all."""
    without: frozenset[object] = frozenset()

    def both(self, other: "Demand") -> "Demand":
        """Return what satisfies both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        if self.within is not None and other.within is not None:
            within: frozenset[object] | None = self.within & other.within
        else:
            within = other.within if self.within is None else self.within
        return Demand(low, low_open, high, not closed, within, self.without | other.without)

    def allows(self, value: object) -> bool:
        """Tell whether a value satisfies it."""
        if value in self.without or (self.within is not None and value not in self.within):
            return False
        if isinstance(value, int | float) and not isinstance(value, bool):
            above = value > self.low or (value == self.low and not self.low_open)
            below = value < self.high or (value == self.high and not self.high_open)
            return above and below
        return self.low == -_INF and self.high == _INF

    def is_possible(self) -> bool:
        """Tell whether any value satisfies it."""
        if self.within is not None:
            return any(map(self.allows, self.within))
        if self.low == self.high:
            return not (self.low_open or self.high_open) and self.low not in self.without
        return self.low < self.high

    def follows_from(self, other: "Demand") -> bool:
        """Tell whether everything that satisfies `other` satisfies this."""
        if other.within is not None:
            return all(self.allows(value) for value in other.within if other.allows(value))
        if self.within is not None or not self.without <= other.without:
            outside = {value for value in self.without if other.allows(value)}
            return self.within is None and not outside and self._spans(other)
        return self._spans(other)

    def _spans(self, other: "Demand") -> bool:
        low = (self.low, self.low_open) <= (other.low, other.low_open)
        return low and (self.high, not self.high_open) >= (other.high, not other.high_open)


Alternative = Mapping[str, Demand]
"""Text of the fact, or of an opaque condition -> what is asked of it."""
_TRUE: Final = Demand(within=frozenset({True}))
_FALSE: Final = Demand(within=frozenset({False}))


def findings(rules: Sequence[Ruled]) -> list[str]:
    """Return one line per rule that can never win and per pair of rules that overlap, most severe first."""
    forms = [_alternatives(parse(rule.when), positive=True) for rule in rules]
    found: list[str] = []
    dead: set[int] = set()
    for at, form in enumerate(forms):
        reason = _unreachable(at, form, forms, rules)
        if reason:
            dead.add(at)
            found.append(f"rules[{at}] {reason}")
    overlaps = [
        f"rules[{i}] and rules[{j}] overlap where {what}; rules[{i}] wins"
        for i, j in combinations(range(len(rules)), 2)
        if not {i, j} & dead and (rules[i].models, rules[i].use) != (rules[j].models, rules[j].use)
        for what in _overlap(forms[i], forms[j])
    ]
    if len(overlaps) > MAX_OVERLAPS:
        rest = len(overlaps) - MAX_OVERLAPS
        overlaps = [*overlaps[:MAX_OVERLAPS], f"{rest} more pairs of rules overlap"]
    return found + overlaps


def _unreachable(
    at: int, form: list[Alternative] | None, forms: list[list[Alternative] | None], rules: Sequence[Ruled]
) -> str:
    if form is None:
        return ""
    if not form:
        return f"never wins: `{rules[at].when}` contradicts itself"
    for earlier in range(at):
        other = forms[earlier]
        if other and all(any(_inside(mine, theirs) for theirs in other) for mine in form):
            held = f"rules[{earlier}] (`{rules[earlier].when}`)"
            return f"never wins while a model of {held} is left, which holds whenever it does"
    return ""


def _inside(mine: Alternative, theirs: Alternative) -> bool:
    return all(key in mine and demand.follows_from(mine[key]) for key, demand in theirs.items())


def _overlap(first: list[Alternative] | None, second: list[Alternative] | None) -> Iterable[str]:
    """Yield what both ask about, for the first pair of alternatives that can hold together."""
    for mine, theirs in product(first or (), second or ()):
        common = sorted(mine.keys() & theirs.keys())
        if common and all(mine[key].both(theirs[key]).is_possible() for key in common):
            yield f"both ask about {', '.join(common)}"
            return


def _alternatives(node: Node, *, positive: bool) -> list[Alternative] | None:
    """Return the alternatives that can hold; None where there are too many to look at."""
    match node:
        case Lit(value=value):
            return [{}] if (value is True) == positive else []
        case Not(term=term):
            return _alternatives(term, positive=not positive)
        case And(terms=terms) | Or(terms=terms):
            parts = [_alternatives(term, positive=positive) for term in terms]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            return _all_of(known) if isinstance(node, And) == positive else _any_of(known)
        case Fact():
            return [{show(node): _TRUE if positive else _FALSE}]
        case Compare(op=op, left=Fact() as fact, right=Lit() | Span() as literal):
            return [{show(fact): _demand(op if positive else _OPPOSITE[op], _plain(literal))}]
        case Compare(op=op, left=Lit() | Span() as literal, right=Fact() as fact):
            return [
                {show(fact): _demand(MIRRORED[op] if positive else _OPPOSITE[MIRRORED[op]], _plain(literal))}
            ]
        case Among(fact=fact, items=items):
            values = frozenset(map(_plain, items))
            return [{show(fact): Demand(within=values) if positive else Demand(without=values)}]
        case _:
            return [{show(node): _TRUE if positive else _FALSE}]


def _all_of(parts: list[list[Alternative]]) -> list[Alternative] | None:
    merged: list[Alternative] = [{}]
    for part in parts:
        merged = [both for a, b in product(merged, part) if (both := _merge(a, b)) is not None]
        if len(merged) > MAX_ALTERNATIVES:
            return None
    return merged


def _any_of(parts: list[list[Alternative]]) -> list[Alternative] | None:
    merged = [alternative for part in parts for alternative in part]
    return merged if len(merged) <= MAX_ALTERNATIVES else None


def _merge(a: Alternative, b: Alternative) -> Alternative | None:
    """Return both together; None if they contradict each other."""
    merged = dict(a)
    for key, demand in b.items():
        both = merged[key].both(demand) if key in merged else demand
        if not both.is_possible():
            return None
        merged[key] = both
    return merged


_OPPOSITE: Final[Mapping[Operator, Operator]] = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
}


def _demand(op: Operator, value: Scalar) -> Demand:
    if op == "==":
        return Demand(within=frozenset({value}))
    if op == "!=" or isinstance(value, str):
        return Demand(without=frozenset({value}))
    if op in ("<", "<="):
        return Demand(high=value, high_open=op == "<")
    return Demand(low=value, low_open=op == ">")


def _plain(item: Lit | Span) -> Scalar:
    return item.seconds if isinstance(item, Span) else item.value
