"""From a tree to a function: true, false or unknown. Floor 2.

Theory of operation.
1. Every node becomes a closure over its own constants; patterns, zones and sets are made once. Nothing
   is looked up by name while a request waits.
2. Unknown is None. `and` is false if one term is, `or` true if one is, whatever the others; else unknown
   wins. `not` of unknown is unknown. What cannot be compared compares as unknown, never as an error.
3. Kinds that are known when a rule is loaded are checked then (`RuleError`).
4. What reads the words of the request is answered once, by the signal of `verdicts.py`, which goes into the
   Record as true, false or unknown; a decision made again reads the answer there. Without the signal the
   words themselves are looked at.
"""

from collections.abc import Callable, Mapping
from math import isnan
from operator import eq, ge, gt, le, lt, ne
from typing import Final, assert_never

from msgspec import Struct

from turnout.strategies.rules.ast import (
    MIRRORED,
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
    Scalar,
    Span,
    show,
)
from turnout.strategies.rules.facts import TEXT, VERDICTS, Kind, Read, Scene, source_of
from turnout.strategies.rules.patterns import MAX_INPUT, compile_pattern
from turnout.strategies.rules.windows import find_window, read_zone
from turnout.types.json import Json

Test = Callable[[Scene], bool | None]
_NUMBERS: Final = frozenset((int, float))

_OPS: Final[Mapping[Operator, Callable[[object, object], bool]]] = {
    "==": eq,
    "!=": ne,
    "<": lt,  # type: ignore[dict-item]  # kinds are checked before it is called
    "<=": le,  # type: ignore[dict-item]  # as above
    ">": gt,  # type: ignore[dict-item]  # as above
    ">=": ge,  # type: ignore[dict-item]  # as above
}


class Names(Struct, frozen=True):
    """What conditions may refer to by name."""

    zone: str = "UTC"
    windows: Mapping[str, str] = {}


class Condition(Struct, frozen=True):
    """A condition, ready."""

    test: Test
    needs: frozenset[str]
    texts: Mapping[str, Test] = {}
    """What it asks of the words of the request, as it is written -> the test on the words."""


def compile_condition(node: Node, context: Names) -> Condition:
    """Make a tree ready.

    Raises:
        ValueError: It names what does not exist, compares what cannot be compared, or has an unsafe pattern.
    """
    compiler = _Compiler(context)
    test = compiler.node(node)
    return Condition(test, frozenset(compiler.needs), compiler.texts)


class _Compiler:
    __slots__ = ("_names", "_zone", "needs", "texts")

    def __init__(self, context: Names) -> None:
        self._names = context
        self._zone = read_zone(context.zone)
        self.needs: set[str] = set()
        self.texts: dict[str, Test] = {}

    def node(self, node: Node) -> Test:
        test = self.plain(node)
        if not _reads_text(node):
            return test
        question = show(node)
        self.texts[question] = test
        return _answered(question, test)

    def plain(self, node: Node) -> Test:  # noqa: C901  one line per kind of node
        match node:
            case Lit(value=value):
                return _always(value is True)
            case Fact():
                return _truth(self.read(node, "truth", node))
            case Call(name="peak", argument=argument):
                window = find_window(argument, self._names.windows, self._names.zone)
                return lambda scene: window.holds(scene.context.at)
            case Call(argument=argument):
                return lambda scene: _is_up(scene, argument)
            case Compare():
                return self.compare(node)
            case Among(fact=fact, items=items):
                return _among(self.read(fact, _kind_of(items[0]), node), frozenset(map(_value, items)))
            case HasAny(fact=fact, items=items):
                return _has_any(self.read(fact, "list", node), tuple(str(item.value) for item in items))
            case Matches(fact=fact, pattern=pattern):
                search = compile_pattern(pattern).search
                read = self.read(fact, "text", node)
                return lambda scene: _search(search, read(scene))
            case Not(term=term):
                return _not(self.node(term))
            case And(terms=terms):
                return _and(tuple(self.node(term) for term in terms))
            case Or(terms=terms):
                return _or(tuple(self.node(term) for term in terms))
            case _:
                assert_never(node)

    def read(self, fact: Fact, wanted: Kind, node: Node) -> Read:
        source = source_of(fact, self._zone)
        self.needs |= source.needs
        fits = source.kind in (wanted, "any") or (wanted == "list" and source.kind == "text")
        if not fits:
            raise ValueError(f"`{show(node)}`: {show(fact)} is a {source.kind}, not a {wanted}")
        return source.read

    def compare(self, node: Compare) -> Test:
        fact, other, op = node.left, node.right, node.op
        if not isinstance(fact, Fact):
            fact, other, op = other, fact, MIRRORED[op]
        assert isinstance(fact, Fact)  # the parser saw to it
        is_order = op not in ("==", "!=")
        if isinstance(other, Fact):
            if TEXT in (fact.name, other.name):
                raise ValueError(f"`{show(node)}`: {TEXT} is compared with words in quotes, not with a fact")
            return self.compare_facts(node, fact, other)
        value, kind = _value(other), _kind_of(other)
        if is_order and kind == "truth":
            raise ValueError(f"`{show(node)}`: truths have no order; write == or !=")
        if is_order and kind == "text":
            raise ValueError(f"`{show(node)}`: texts have no order; write == or !=")
        read, compare = self.read(fact, kind, node), _OPS[op]
        if kind == "number":
            return _number_test(compare, read, value)
        return lambda scene: _same_kind(compare, read(scene), value)

    def compare_facts(self, node: Compare, first: Fact, second: Fact) -> Test:
        """Compare two facts; one whose kind shows only with its value takes the other's."""
        kinds = [source_of(fact, self._zone).kind for fact in (first, second)]
        kind = kinds[1] if kinds[0] == "any" else kinds[0]
        left, right = self.read(first, kind, node), self.read(second, kind, node)
        compare, is_order = _OPS[node.op], node.op not in ("==", "!=")
        return lambda scene: _compared_any(compare, left(scene), right(scene), is_order=is_order)


def _reads_text(node: Node) -> bool:
    """Tell whether a node asks something of the words of the request by itself."""
    match node:
        case Compare(left=left, right=right):
            return TEXT in (getattr(left, "name", ""), getattr(right, "name", ""))
        case Among(fact=fact) | HasAny(fact=fact) | Matches(fact=fact):
            return fact.name == TEXT
        case _:
            return False


def _answered(question: str, test: Test) -> Test:
    def answer(scene: Scene) -> bool | None:
        found = scene.context.signals.get(VERDICTS)
        if found is None or not isinstance(found.value, Mapping):
            return test(scene)
        value = found.value.get(question)
        return value if value is True or value is False else None

    return answer


def _value(item: Operand) -> Scalar:
    match item:
        case Span(seconds=seconds):
            return seconds
        case Lit(value=value):
            return value
        case _:
            raise ValueError(f"{show(item)} is no literal")


def _kind_of(item: Operand) -> Kind:
    value = _value(item)
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def _always(value: bool) -> Test:
    def test(scene: Scene) -> bool | None:
        return value

    return test


def _truth(read: Read) -> Test:
    def test(scene: Scene) -> bool | None:
        value = read(scene)
        return value if value is True or value is False else None

    return test


def _is_up(scene: Scene, name: str) -> bool:
    """Tell whether a candidate of this id or model is left that is not shut off."""
    return any(name in (c.id, c.deployment.model.id) and c.stats.state != "open" for c in scene.candidates)


def _number_test(compare: Callable[[object, object], bool], read: Read, right: Scalar) -> Test:
    """Compare numbers; what is none, or not a number, is unknown."""

    def test(scene: Scene) -> bool | None:
        left = read(scene)
        return compare(left, right) if type(left) in _NUMBERS and left == left else None  # noqa: PLR0124  NaN

    return test


def _same_kind(compare: Callable[[object, object], bool], left: Json, right: object) -> bool | None:
    return compare(left, right) if type(left) is type(right) else None


def _compared_any(
    compare: Callable[[object, object], bool], left: Json, right: Json, *, is_order: bool
) -> bool | None:
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return compare(left, right) if not (_is_nan(left) or _is_nan(right)) else None
    return _same_kind(compare, left, right) if left is not None and not is_order else None


def _is_nan(value: Json) -> bool:
    return isinstance(value, float) and isnan(value)


def _among(read: Read, items: frozenset[Scalar]) -> Test:
    kinds = frozenset(map(type, items))
    numbers = not kinds.isdisjoint(_NUMBERS)

    def test(scene: Scene) -> bool | None:
        value = read(scene)
        if type(value) in kinds or (numbers and type(value) in _NUMBERS and not _is_nan(value)):
            return value in items
        return None

    return test


def _has_any(read: Read, items: tuple[str, ...]) -> Test:
    folded = tuple(item.casefold() for item in items)
    wanted = frozenset(items)

    def test(scene: Scene) -> bool | None:
        value = read(scene)
        if isinstance(value, str):
            text = value[:MAX_INPUT].casefold()
            return any(item in text for item in folded)
        if isinstance(value, tuple | list):
            return any(each in wanted for each in value if isinstance(each, str))
        return None

    return test


def _search(search: Callable[[str], object], value: Json) -> bool | None:
    return search(value[:MAX_INPUT]) is not None if isinstance(value, str) else None


def _not(term: Test) -> Test:
    def test(scene: Scene) -> bool | None:
        value = term(scene)
        return None if value is None else not value

    return test


def _and(terms: tuple[Test, ...]) -> Test:
    def test(scene: Scene) -> bool | None:
        result: bool | None = True
        for term in terms:
            value = term(scene)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return test


def _or(terms: tuple[Test, ...]) -> Test:
    def test(scene: Scene) -> bool | None:
        result: bool | None = False
        for term in terms:
            value = term(scene)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return test
