"""Postal addresses: a house number beside what makes a street of a name. Floor 2.

Theory of operation.

1. Written addresses have no grammar that holds everywhere, but nearly all have a house number. Each short
   number is looked at once, with the words beside it: most have none that matter, and cost a look.
2. A number is a house number where a street stands beside it: after it (`12 Crown Street`, `12 rue du Bac`),
   or before it (`Hauptstraße 12`, `Via Roma 12`, `ul. Długa 12`), known by a lexicon of kinds of streets;
   where a flat follows (`6750 Koskikatu 25 Apt. 864`); or where the words before it speak of an address.
3. Street, flat, place and postal code are one finding: the parts beside a street are drawn in, and a place
   only as far as a postal code ends it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from turnout.guards.base import Finding
from turnout.guards.pii.near import Words

_STREETS: Final = (
    "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|courts|square|squares|place|pl|terrace|way|"
    "parkway|pkwy|highway|hwy|crescent|close|gardens|alley|loop|trail|turnpike|row|plaza|forges?|heights|ridge|mews|walk|quay"
)
"""Behind a name, in English."""
_LATIN: Final = (
    r"rue|avenue|av\.|boulevard|bd\.?|place|chemin|all[ée]e|impasse|quai|cours|route|via|viale|piazza|piazzale|corso|largo"
    r"|vicolo|strada|calle|c/|avenida|avda\.?|paseo|plaza|carrer|camino|carretera|rua|travessa|pra[çc]a|estrada|ul\.|ulica"
)
"""Before a name, in French, Italian, Spanish, Portuguese and Polish."""
_SMALL: Final = (
    r"(?:(?:de|du|des|d'|l'|la|las|los|le|les|da|do|dos|del|della|delle|dei|di|san|santa|st\.?) ?){0,3}"
)
_NAMED: Final = r"[^\W\d_][\w'’.-]{0,24}"
_AFTER: Final = re.compile(
    rf"[A-Za-z]?,? (?:(?:[A-ZÀ-Þ0-9][\w.'’-]{{0,20}} ){{1,4}}(?i:{_STREETS})(?![\w'])\.?"
    rf"|(?i:{_LATIN}) (?i:{_SMALL}){_NAMED}(?: [A-ZÀ-Þ]{_NAMED}){{0,3}})"
)
_PLAIN_LATIN: Final = _LATIN.translate({ord(sign): None for sign in "\\.?"}).replace(
    "all[ée]e", "allée|allee"
)
_SIGNS: Final = frozenset(
    (*_STREETS.replace("forges?", "forge|forges").split("|"), *_PLAIN_LATIN.split("|"), "av", "bd")
)
"""One of these words must be near, or the costlier look is not taken."""
_FIRST: Final = _SIGNS | {"praça", "praca"}
_WORD: Final = re.compile(r"[^\W_]+(?:/)?")
_ASCII_SIGNS: Final = frozenset(sign.encode() for sign in _SIGNS if sign.isascii())
_SPACED: Final = bytes(ord(chr(at).lower()) if at < 128 and chr(at).isalnum() else 32 for at in range(256))
"""Letters of ASCII made small, and whatever is no letter or digit a space: words, five times as fast."""
_FIRST_SIX, _LAST_SIX = slice(6), slice(-6, None)
_NEXT: Final = re.compile(r"[A-Za-z]?,? (?:[A-ZÀ-Þ0-9]|([^\W_]+/?))")
"""What an address goes on with behind its number; a word in small letters must be a kind of street."""
_ENDINGS: Final = (
    *("straße", "strasse", "straat", "str", "weg", "platz", "allee", "gasse", "damm", "ufer"),
    *("graben", "brücke", "steig", "gata", "gatan", "gate", "vägen", "väg", "gränd", "veien"),
    *("vegen", "vej", "gade", "vænget", "stræde", "allé", "katu", "kuja", "polku", "tie", "laan"),
    *("plein", "gracht", "kade", "dijk", "stræti", "straeti", "braut"),
)
"""Ends of names of streets: German, Dutch, Swedish, Norwegian, Danish, Finnish, Icelandic."""
_LAST_TWO: Final = frozenset(ending[-2:] for ending in _ENDINGS)
_KINDS: Final = frozenset(
    (
        *("straße", "strasse", "str.", "str", "weg", "allee", "platz", "ring", "utca", "u.", "út", "tér"),
        *("kapu", "terrasse", "street", "road", "avenue", "lane", "drive", "ulica", "vej", "gade"),
    )
)
"""Kinds that stand as a word of their own between name and number."""
_BEFORE_NAME: Final = re.compile(
    rf"(?<![\w.])(?:[0-9]{{1,5}},? )?(?:{_LATIN}) {_SMALL}{_NAMED}(?: {_NAMED}){{0,3}},? $", re.IGNORECASE
)
_FLATS: Final = (
    *("apt", "apartment", "suite", "ste", "unit", "flat", "floor", "whg", "piso", "appartement"),
    "interno",
)
_IS_FLAT: Final = frozenset(_FLATS)
_FLAT_WORDS: Final = "|".join(_FLATS)
_FLAT: Final = rf"(?:[,\s>?]{{1,6}}(?i:{_FLAT_WORDS})\.? ?#?[0-9A-Za-z-]{{1,6}}\b)"
_CODE: Final = (
    r"(?:[0-9]{5}(?:-[0-9]{4})?|[0-9]{4}(?: [A-Z]{2})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}"
    r"|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9])"
)
_TAIL: Final = re.compile(
    rf"\.?(?P<flat>{_FLAT}{{0,2}})(?:"
    rf"[,\s>?]{{1,5}}(?:[A-Z]{{1,2}}-)?{_CODE} (?:[A-ZÀ-Þ]{_NAMED}[ -]?){{1,3}}(?<! )"  # 80331 München
    rf"|(?:[,\s>]{{1,5}}[^\W\d_][^\n,>?!:;@0-9]{{1,30}}){{0,3}}"
    rf"[,\s>]{{1,5}}(?:[A-Z]{{2}} )?{_CODE}(?![\w-]))?"
)
_FLAT_TAIL: Final = re.compile(rf"\.?(?P<flat>{_FLAT}{{0,2}})")
_REACH: Final = re.compile(r"[^0-9!:;@]{1,180}+[0-9]")
"""A digit so near that it may be a postal code's: without one the costlier look is not taken."""
_PART: Final = rf"(?:{_NAMED}|[0-9]{{1,5}})"
_TO_FLAT: Final = re.compile(
    rf"(?<![\w.,-])[0-9]{{1,5}}[A-Za-z]?,? (?:{_PART}[ .,]{{1,2}}){{0,5}}{_PART}[.,]?[\s,>?]{{1,8}}"
    rf"(?i:{_FLAT_WORDS})\.? ?#?$"
)
_TOLD: Final = Words(
    r"address|suite|apt\b|liv(?:e|es|ing) (?:at|on|in)|located|deliver|sen[dt]\b|ship|meet\b|office|resid"
    r"|arrive|corner|moved|drops?\b|situated|wohn|anschrift|adress|indirizz|direcci[oó]n|domicil|habit[ae]"
)
_MONTHS: Final = Words(
    r"jan|feb|m[aä]r|apr|ma[yi]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|gen|mag|giu|lug|ago|set|dic|ene|abr|avr|fév"
)
_BETWEEN: Final = re.compile(
    rf"(?<![\w.,$€£-])(?P<begin>[0-9]{{1,5}}),? [^\W\d_a-z]{_NAMED}(?: {_NAMED}){{0,2}} $"
)
_NAME_BEFORE: Final = re.compile(rf"(?:at|on|of|is|to|in|:|and) (?P<begin>(?:[A-ZÀ-Þ]{_NAMED} ){{1,3}})$")
_NUMBER: Final = re.compile(r"[0-9](?<![\w.,$€£%#/+@:=-].)[0-9]{0,4}(?![0-9]|[.,:/%=@_-][0-9\w]|%)", re.ASCII)
_BOX: Final = re.compile(
    r"[PpUuCc](?<!\w.)(?i:(?:(?<=P)SC|(?<=U)nit|(?<=C)MR) [0-9]{2,5},? Box [0-9]{2,5}"
    r"|(?<=P)\.? ?O\.? Box [0-9]{1,6}|(?<=P)ostfach [0-9]{2,7})"
    r"(?i:,?\s{1,2}(?:APO|FPO|DPO) A[AEP] [0-9]{5})?"
)
_DIGIT: Final = re.compile("[0-9]")
_BACK: Final = 72
_SEEN: Final = 90
"""Characters before a number in which words may speak of an address."""


def addresses(text: str, around: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Yield what looks like an address, in the parts of a text that are near a digit."""
    last = 0
    if "ox " in text or "OX " in text or "ach " in text:
        for match in _BOX.finditer(text):
            yield Finding(match.start(), match.end(), "postal_address", 0.7)
    for start, end in around:
        for match in _NUMBER.finditer(text, start, end):
            if match.start() < last:
                continue
            found = _street(text, match.start(), match.end())
            if found is not None:
                begin, stop = found
                tail = (_TAIL if _REACH.match(text, stop) else _FLAT_TAIL).match(text, stop)
                last = stop if tail is None else tail.end()
                yield Finding(begin, last, "postal_address", 0.7)


def _street(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the street a number belongs to."""
    follows = _NEXT.match(text, end)
    if (
        follows is not None
        and (follows[1] is None or follows[1].lower() in _FIRST)
        and _has_sign(text[end : end + 60], _FIRST_SIX)
    ):
        after = _AFTER.match(text, end, end + 80)
        if after is not None:
            return start, after.end()
    if start < 3 or text[start - 1] not in " #":
        return None
    stop = end + (text[end : end + 1].isalpha() and not text[end + 1 : end + 2].isalnum())
    before = text[max(0, start - _BACK) : start]
    line = before.rpartition("\n")[2]
    word = line.rstrip(" ,").rpartition(" ")[2].lstrip("(\"'>")
    lowered = word.lower()
    kind = lowered.rstrip(".")
    if (
        len(kind) > 4
        and kind[-2:] in _LAST_TWO
        and kind.endswith(_ENDINGS)
        and not kind.endswith(("nstrate", "ate"))
    ):
        return _drawn(text, start - len(line) + line.rindex(word)), stop
    if lowered in _KINDS:
        return _drawn(
            text, start - len(line) + max(0, line.rstrip(" ,").rfind(" ", 0, -len(word) - 1)) + 1
        ), stop
    if kind in _IS_FLAT:
        flat = _TO_FLAT.search(before.rstrip("#"))
        return None if flat is None else (start - len(before) + flat.start(), stop)
    return _by_words(text, start, stop, before)


def _has_sign(part: str, which: slice) -> bool:
    """Tell whether one of six words is a kind of street."""
    if part.isascii() and "/" not in part:
        return not _ASCII_SIGNS.isdisjoint(part.encode().translate(_SPACED).split()[which])
    return not _SIGNS.isdisjoint(_WORD.findall(part.lower())[which])


def _drawn(text: str, begin: int) -> int:
    """Return where an address begins whose street begins there: at a number before it, if there is one."""
    head = re.search(r"(?<![\w.,-])[0-9]{1,5},? ?$", text[max(0, begin - 8) : begin])
    return begin - len(head[0]) if head is not None else begin


def _by_words(text: str, start: int, stop: int, before: str) -> tuple[int, int] | None:
    if not (before[-2:-1].isalpha() or before[-2:-1] == ","):
        return None
    if _has_sign(before, _LAST_SIX):
        latin = _BEFORE_NAME.search(before)
        if latin is not None:
            return start - len(before) + latin.start(), stop
    named = _named(before)
    if named is None or _MONTHS.stand(named[0], 0, len(named[0])):
        return None
    if not _TOLD.stand(text, max(0, start - _SEEN), start):
        return None
    return start - len(before) + named.start("begin"), stop


def _named(before: str) -> re.Match[str] | None:
    """Return the name that may be a street's, with what stands before it."""
    if before[-1] != " " or before[-2] == ",":  # no name ends so
        return None
    named = _BETWEEN.search(before) if _DIGIT.search(before) is not None else None
    if named is None:
        first = before[before.rfind(" ", 0, -1) + 1]
        return _NAME_BEFORE.search(before) if "A" <= first <= "Z" or "À" <= first <= "Þ" else None
    return named
