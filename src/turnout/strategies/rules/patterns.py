r"""Which regular expressions a rule may use: those whose worst case is bounded. Floor 2.

Theory of operation.
1. The text comes from anyone, the pattern from the operator; a search must end soon on every text. A pattern
   is read here, in a small language of our own, and only then given to `re`: what is not read is refused.
   Refused by form: back-references, look-around, conditionals, named groups, nested repetition (but for
   groups that can match in one way only, such as `(?:\d{1,3}\.){3}`).
2. Time is lost where a search can go on in several ways. `ways` is an upper bound of them at one position,
   `steps` of the work there. A repetition of characters counts its range of lengths, unless what must follow
   can be none of these characters: then it can stop in one place only (`\w{1,64}@`). At the end of a pattern
   nothing can fail any more, and a repetition there costs nothing. Ways of a sequence multiply, those of
   alternatives add, or count once where they begin differently.
3. A repeated group must have one way, so that repetition never multiplies by itself. Steps of a pattern times
   the positions at which it is tried (one, if it begins with `^`) are at most `MAX_STEPS`.
4. Characters are sets in one integer: a bit for each of ASCII, one for all others.
"""

import re
from typing import Final, NoReturn

from msgspec import Struct

MAX_INPUT: Final = 4_096
MAX_STEPS: Final = 4_000_000
"""Some 50 ms at 13 ns a step, on a text made to reach it; ordinary texts take a thousandth."""
MAX_PATTERN: Final = 1_000
MAX_REPEAT: Final = 1_000
MAX_DEPTH: Final = 16

OTHERS: Final = 1 << 128
ALL: Final = (OTHERS << 1) - 1


def _mask(text: str) -> int:
    mask = 0
    for char in text:
        # `re` matches without regard to case where the pattern says so: both cases are counted always.
        for each in {char, char.lower(), char.upper()}:
            mask |= 1 << ord(each) if each.isascii() and len(each) == 1 else OTHERS
    return mask


_DIGITS: Final = _mask("0123456789") | OTHERS
_BLANKS: Final = _mask(" \t\n\r\f\v\x1c\x1d\x1e\x1f") | OTHERS
_WORDS: Final = _mask("abcdefghijklmnopqrstuvwxyz0123456789_") | OTHERS
_CLASSES: Final = {
    "d": _DIGITS,
    "s": _BLANKS,
    "w": _WORDS,
    "D": ALL & ~_DIGITS | OTHERS,
    "S": ALL & ~_BLANKS | OTHERS,
    "W": ALL & ~_WORDS | OTHERS,
}
_CHARS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_REPEATS: Final = {"*": (0, MAX_INPUT), "+": (1, MAX_INPUT), "?": (0, 1)}
_COUNT: Final = re.compile(r"\{(\d{1,4})?(,)?(\d{1,4})?\}")


class PatternError(ValueError):
    """A pattern may not be used; the message says why and at which character, counted from 1."""


class Shape(Struct, frozen=True):
    """What is known of a piece of a pattern."""

    first: int
    """Characters it can begin with."""
    ways: int = 1
    """In how many ways it can match at one position, at most."""
    steps: int = 0
    """Work at one position beside comparing single characters, at most."""
    empty: bool = False
    """Whether it can match nothing."""


END: Final = 0
"""As what follows: the pattern ends, nothing can fail any more."""
_LIMIT: Final = 1 << 62
"""Numbers are cut here: what is so large is refused anyway."""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the pattern, compiled.

    Raises:
        PatternError: It is malformed or its worst case is not bounded.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    reader = _Reader(pattern)
    tree = reader.alternatives(0)
    if reader.at < len(pattern):
        reader.fail("`)` closes nothing")
    starts = 1 if _is_anchored(tree) else MAX_INPUT
    if (1 + _shape(tree, END).steps) * starts > MAX_STEPS:
        raise PatternError(
            "the pattern may search for too long: bound its repetitions, as in `.{0,60}` or `\\w{1,40}`,"
            " begin it with `^`, or separate repetitions by what they cannot match"
        )
    try:
        return re.compile(pattern)
    except re.error as error:
        raise PatternError(f"character {(error.pos or 0) + 1}: {error.msg}") from error


class Chars(Struct, frozen=True):
    """One character of a set."""

    mask: int


class Anchor(Struct, frozen=True):
    """A place, not a character."""

    start: bool = False
    """The beginning of the text."""


class Repeat(Struct, frozen=True):
    """A piece, several times."""

    piece: "Piece"
    least: int
    most: int
    at: int


class Series(Struct, frozen=True):
    """Pieces one after the other."""

    pieces: tuple["Piece", ...]


class Choice(Struct, frozen=True):
    """One of several pieces."""

    branches: tuple["Piece", ...]


Piece = Chars | Anchor | Repeat | Series | Choice


def _is_anchored(piece: Piece) -> bool:
    """Tell whether a pattern can only match at the beginning."""
    match piece:
        case Anchor(start=start):
            return start
        case Series(pieces=pieces):
            return bool(pieces) and _is_anchored(pieces[0])
        case Choice(branches=branches):
            return all(map(_is_anchored, branches))
        case _:
            return False


def _shape(piece: Piece, follow: int) -> Shape:
    """Measure a piece. `follow` = characters that can come after it, or `END`."""
    match piece:
        case Chars(mask=mask):
            return Shape(mask)
        case Anchor():
            # It can fail after any character: what stands before it is never settled.
            return Shape(ALL)
        case Series(pieces=pieces):
            return _series(pieces, follow)
        case Choice(branches=branches):
            return _choice([_shape(branch, follow) for branch in branches])
        case Repeat():
            return _repeat(piece, follow)


def _series(pieces: tuple[Piece, ...], follow: int) -> Shape:
    first, ways, steps, empty = 0, 1, 0, True
    for piece in reversed(pieces):
        shape = _shape(piece, follow)
        steps = (
            min(shape.steps + shape.ways * (1 + steps), _LIMIT) if steps or shape.ways > 1 else shape.steps
        )
        ways = min(ways * shape.ways, _LIMIT)
        first = shape.first | (first if shape.empty else 0)
        follow = shape.first | (follow if shape.empty else 0)
        empty &= shape.empty
    return Shape(first, ways, steps, empty)


def _choice(shapes: list[Shape]) -> Shape:
    first, overlap = 0, False
    for shape in shapes:
        overlap |= bool(first & shape.first) or shape.empty
        first |= shape.first
    ways = [shape.ways for shape in shapes]
    return Shape(
        first,
        sum(ways) if overlap else max(ways),
        len(shapes) - 1 + sum(shape.steps for shape in shapes),
        any(shape.empty for shape in shapes),
    )


def _repeat(piece: Repeat, follow: int) -> Shape:
    inner = _shape(piece.piece, follow)
    settled = follow != END and not follow & inner.first
    if piece.most <= 1:
        both = 0 if settled else 1
        return Shape(inner.first, inner.ways + both, inner.steps + 1, empty=True)
    # What follows one round of a group is the group again.
    again = _shape(piece.piece, follow | inner.first)
    if again.ways > 1 or inner.empty or _holds_anchor(piece.piece):
        raise PatternError(
            f"character {piece.at}: a group that can match in several ways is repeated (nested repetition);"
            " repeat single characters, or make the group's alternatives begin differently"
        )
    if follow == END:
        # One round may fail half-way; then the rounds before it are the match.
        steps = piece.least + (piece.least + 1) * again.steps
        return Shape(inner.first, 1, steps, piece.least == 0)
    steps = piece.most * (1 + again.steps)
    return Shape(inner.first, 1 if settled else piece.most - piece.least + 1, steps, piece.least == 0)


def _holds_anchor(piece: Piece) -> bool:
    match piece:
        case Anchor():
            return True
        case Series(pieces=pieces):
            return any(map(_holds_anchor, pieces))
        case Choice(branches=branches):
            return any(map(_holds_anchor, branches))
        case Repeat(piece=inner):
            return _holds_anchor(inner)
        case _:
            return False


class _Reader:
    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 4 if text.startswith("(?i)") else 0

    def error(self, fault: str) -> PatternError:
        return PatternError(f"character {self.at + 1}: {fault}")

    def fail(self, fault: str) -> NoReturn:
        raise self.error(fault)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def alternatives(self, depth: int) -> Piece:
        if depth > MAX_DEPTH:
            self.fail(f"groups are nested deeper than {MAX_DEPTH}")
        branches = [self.series(depth)]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.series(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def series(self, depth: int) -> Piece:
        pieces: list[Piece] = []
        while self.peek() not in ("", "|", ")"):
            pieces.append(self.repeated(self.atom(depth)))
        return pieces[0] if len(pieces) == 1 else Series(tuple(pieces))

    def repeated(self, piece: Piece) -> Piece:
        start = self.at + 1
        least, most = self.count()
        if most < 0:
            return piece
        if isinstance(piece, Anchor):
            self.fail("a place cannot be repeated")
        if self.peek() in ("*", "+", "{") or (
            self.peek() == "?" and self.text[self.at + 1 : self.at + 2] == "?"
        ):
            self.fail("repetition of a repetition")
        if self.peek() == "?":
            self.at += 1
        return Repeat(piece, least, most, start)

    def count(self) -> tuple[int, int]:
        """Return least and most of a repetition; (0, -1) = none stands here."""
        sign = self.peek()
        if sign == "{":
            return self.braces()
        found = _REPEATS.get(sign)
        if found is None:
            return 0, -1
        self.at += 1
        return found

    def braces(self) -> tuple[int, int]:
        match = _COUNT.match(self.text, self.at)
        if match is None or not (match[1] or match[3]):
            raise self.error("`{` must begin a count such as {2,5}; write \\{ for the character")
        least = int(match[1] or 0)
        most = int(match[3]) if match[3] else (MAX_INPUT if match[2] else least)
        if least > most or least > MAX_REPEAT or (match[3] and most > MAX_REPEAT):
            raise self.error(f"a count lies between 0 and {MAX_REPEAT}")
        self.at = match.end()
        return least, most

    def atom(self, depth: int) -> Piece:
        char = self.take()
        match char:
            case "(":
                return self.group(depth)
            case "[":
                return Chars(self.character_class())
            case ".":
                return Chars(ALL & ~_mask("\n"))
            case "^" | "$":
                return Anchor(char == "^")
            case "\\":
                return self.escape()
            case "*" | "+" | "?" | "{":
                self.at -= 1
                raise self.error("there is nothing to repeat")
            case _:
                return Chars(_mask(char))

    def group(self, depth: int) -> Piece:
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self.peek() == "?":
            self.fail("of groups only (…) and (?:…) are allowed, and (?i) at the very beginning")
        inner = self.alternatives(depth + 1)
        if self.take() != ")":
            self.at -= 1
            self.fail("the group has no end")
        return inner

    def escape(self) -> Piece:
        char = self.take()
        if char in _CLASSES and char:
            return Chars(_CLASSES[char])
        if char in ("b", "B", "A", "Z") and char:
            return Anchor(char == "A")
        return Chars(_mask(self.escaped(char)))

    def escaped(self, char: str) -> str:
        if char.isdigit():
            self.at -= 1
            self.fail("back-references are not allowed")
        if char in _CHARS:
            return _CHARS[char]
        if not char or char.isalnum():
            self.at -= 1
            self.fail(f"the escape \\{char} is not allowed")
        return char

    def character_class(self) -> int:
        negated = self.peek() == "^"
        self.at += negated
        mask, is_first = 0, True
        while self.peek() != "]" or is_first:
            if not self.peek():
                self.fail("the class has no end")
            is_first = False
            mask |= self.class_item()
        self.at += 1
        return (ALL & ~mask) | OTHERS if negated else mask

    def class_item(self) -> int:
        low = self.take()
        if low == "[":
            self.fail("write \\[ for the character")
        if low == "\\":
            char = self.take()
            if char and char in _CLASSES:
                return _CLASSES[char]
            low = self.escaped(char)
        if self.peek() != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return _mask(low)
        self.at += 1
        high = self.take()
        if high == "\\":
            high = self.escaped(self.take())
        if high < low:
            self.fail("the range is upside down")
        if not high.isascii():
            return OTHERS | (_mask("".join(map(chr, range(ord(low), 128)))) if low.isascii() else 0)
        return _mask("".join(map(chr, range(ord(low), ord(high) + 1))))
