"""Finds personal data. Floor 2.

Theory of operation.

1. Each family of patterns has a cheap sign (`@`, a digit, a colon) without which it is not run.
2. Every pattern is linear: repeats are bounded, and what may repeat next to each other does not overlap.
   It begins with the class of its first character, and looks behind that only then: so the places where it
   cannot begin are passed over by the matcher itself, which is several times faster.
3. Runs of digits are found once; card, national number and telephone are decided on the run, in this order:
   what a check digit vouches for comes before what only looks right.
4. Only what is near a digit is looked at; digits whose windows touch are one window, and one match finds it.
5. Where neither form nor check is enough, a word must stand near: at most `BEFORE` characters before the
   number or `AFTER` behind it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import ClassVar, Final, Literal, get_args

from msgspec import Struct

from turnout.guards.base import BOTH, Context, Finding, Stage, plain
from turnout.guards.pii.checksums import luhn, mod97
from turnout.guards.pii.ids import DIGITS, LETTERS
from turnout.guards.pii.near import Words
from turnout.guards.pii.places import addresses

Kind = Literal[
    "email",
    "phone",
    "iban",
    "card",
    "national_id",
    "ip",
    "mac",
    "postal_address",
    "date_of_birth",
    "url",
    "drivers_license",
]
KINDS: Final[frozenset[Kind]] = frozenset(get_args(Kind))
STANDARD: Final[frozenset[Kind]] = KINDS - {"url"}
"""A URL is seldom about a person."""
LONGEST: Final = 160
BEFORE: Final = 40
AFTER: Final = 14

WINDOW: Final = 130
"""Characters around a digit or an `@` that are looked at: more than an entity has before its first digit."""
Windows = Sequence[tuple[int, int]]
NARROW: Final = 45
"""The same where an entity begins with digits or few letters: an IBAN has 34 characters and spaces."""
EVERYWHERE: Final = ((0, 1 << 40),)
_ATS: Final = re.compile(f"@(?:[^@]{{0,{2 * WINDOW}}}+@)*+")
_DIGITS: Final = re.compile(f"[0-9]++(?:[^0-9]{{1,{2 * NARROW}}}+[0-9]++)*+")
"""Signs whose windows touch, from the first to the last of them."""
_LICENSE_SIGNS: Final = ("icen", "ICEN", "schein", "permis")

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9_.+%'-](?<![\w.+-].)[A-Za-z0-9_.+%'-]{0,63}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w-])",
    re.ASCII,
)
_RUN: Final = re.compile(
    r"[+(0-9](?<![\w+$€£#=/.-].)(?:(?<=[0-9])|(?<=\+)[0-9]|(?<=\()\+?[0-9])"
    r"(?:[ .\-/()]{0,3}[0-9]){5,21}(?:x[0-9]{1,5})?(?![0-9A-Za-z_])",
    re.ASCII,
)
_IBAN: Final = re.compile(
    r"[A-Z](?<![A-Za-z0-9].)[A-Z][0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.ASCII
)
_MIXED: Final = re.compile(
    r"[0-9A-Z](?<![\w-].)(?:(?<=[A-Z])(?:[A-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"
    r"|[A-Z]{5}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]|[A-Z]{3}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]"
    r"|(?<=[XYZ])-?[0-9]{7}-?[A-Z])|(?<=[0-9])(?:[0-9]{7}-?[A-Z]|[0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y]"
    r"|(?<=[12])[0-9]{4}2[AB][0-9]{8}|(?<=[1-9])[0-9]{16}X))(?![\w-])",
    re.ASCII,
)
_IPV4: Final = re.compile(r"[0-9](?<![\w.-].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])", re.ASCII)
_IPV6: Final = re.compile(r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f:]{2,38}(?![\w:])", re.ASCII)
_MAC: Final = re.compile(
    r"[0-9A-Fa-f](?<![\w:-].)[0-9A-Fa-f]([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])", re.ASCII
)
_URL: Final = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]{3,150}", re.IGNORECASE)
_DATE: Final = re.compile(
    r"[0-9A-Z](?<![\w.-].)(?:(?<=[0-9])(?:[0-9]?[./-][0-9]{1,2}[./-](?:19|20)?[0-9]{2}"
    r"|(?:(?<=1)9|(?<=2)0)[0-9]{2}[./-][0-9]{1,2}[./-][0-9]{1,2}"
    r"|[0-9]?\.?(?:st|nd|rd|th)? (?:of )?[A-Z][a-zéûäç]{2,9}\.?,? (?:19|20)[0-9]{2})"
    r"|(?<=[A-Z])[a-z]{2,8}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? (?:19|20)[0-9]{2})(?!\w)"
)
_LICENSE: Final = re.compile(
    r"(?<![\w-])(?:[A-Z]{1,2}[0-9]{5,14}|[0-9]{6,12}|[0-9]{4}-[0-9]{2}-[0-9]{4})(?![\w-])", re.ASCII
)

_PHONE_NEAR: Final = Words(
    r"(?<![a-z])(?:tele?(?:ph|f)|tel\b|phone|mobile?|mob\b|cell|handy|fax|desk|office\b|call(?:ed| me|ing)?\b"
    r"|whats ?app|sms|my registered|dial|hotline|m[oó]vil|celular|portable|numéro|puhelin)"
)
_CARD_NEAR: Final = Words(r"(?<![a-z])(?:card|cc\b|credit|debit|visa|master ?card|amex|karte|carte|tarjeta)")
_BIRTH_NEAR: Final = Words(
    r"(?<![a-z])(?:born|birth|dob|d\.o\.b|geburt|geboren|geb\.|né(?:e)? le|naissance"
    r"|nacid|nacimiento|nato|nata|nasc)"
)
_LICENSE_NEAR: Final = Words(r"driv\w{1,4}'?s? licen[cs]e|führerschein|permis de conduire")
_VERSION_NEAR: Final = re.compile(r"(?:version|release|build|section|chapter|\bv)\W{0,2}$", re.IGNORECASE)

_PHONES: Final = re.compile(
    r"(?:\+|00)[1-9][0-9]{0,2}[ .-]?(?:\(0?[0-9]{0,4}\)[ .-]?)?[0-9](?:[ .-]?[0-9]){5,12}(?:x[0-9]{1,5})?"
    r"|\(?[2-9][0-9]{2}\)?[ .-]?[2-9][0-9]{2}[.-][0-9]{4}(?:x[0-9]{1,5})?"
    r"|\([2-9][0-9]{2}\) ?[0-9]{3}[ .-][0-9]{4}(?:x[0-9]{1,5})?"
    r"|1[-.][2-9][0-9]{2}[-.][0-9]{3}[-.][0-9]{4}(?:x[0-9]{1,5})?"
    r"|0[1-9](?:[ .-][0-9]{2}){4}"  # France
    r"|0[0-9]{4} ?[0-9]{3} ?[0-9]{3}"  # United Kingdom
    r"|\(?0[1-9][0-9]{1,4}\)?[ /-][0-9]{3,4}(?: ?[0-9]{2,4}){1,2}"  # Germany, Italy, Switzerland
    r"|0[0-9]{3}(?: [0-9]{2}){3}",  # Belgium
    re.ASCII,
)
_BRANDS: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5]|2[2-7])[0-9]{14}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-59]|6[0-9]|[89][0-9])[0-9]{11,16}"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|35[2-8][0-9]{13}|(?:2131|1800)[0-9]{11}"  # JCB
    r"|62[0-9]{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5[68][0-9]{2}|6304|6759|676[1-3]|0604|6390)[0-9]{8,15}",  # Maestro
    re.ASCII,
)
"""Issuer prefixes and lengths (ISO/IEC 7812 and the brands' public tables, seen 2026-11)."""
_MARKS: Final = str.maketrans("", "", " .-/()")


class Pii(Struct, frozen=True, kw_only=True, tag_field="type", tag="pii"):
    """Finds personal data by form and check digit."""

    kinds: frozenset[Kind] = STANDARD
    """What is looked for. National numbers are reported under their own words, such as `us_ssn`."""

    stages: ClassVar[frozenset[Stage]] = BOTH
    whole: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Word for Records."""
        return "pii"

    @property
    def hold_back(self) -> int:
        """Characters of the longest entity."""
        return LONGEST

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the entities found."""
        shown = plain(text)
        return shown.back(_found(shown.text, self.kinds))


def _found(text: str, kinds: frozenset[Kind]) -> Iterator[Finding]:
    if "@" in text and "email" in kinds:
        yield from _spans(_EMAIL, text, "email", _windows(_ATS, text, WINDOW))
    if "url" in kinds and ("://" in text or "www." in text.lower()):
        yield from _spans(_URL, text, "url")
    around = _windows(_DIGITS, text, NARROW)
    if not around:
        return
    for kind, find in _FAMILIES:
        if kind in kinds:
            yield from find(text, around)
    if "postal_address" in kinds:
        yield from addresses(text, around)
    if not kinds.isdisjoint(_OF_DIGITS):
        for start, end in around:
            for match in _RUN.finditer(text, start, end):
                yield from _number(text, match, kinds)


def _windows(signs: re.Pattern[str], text: str, width: int) -> list[tuple[int, int]]:
    """Return the parts of a text that are near signs; most of a text is not, and is never looked at."""
    return [(max(0, match.start() - width), match.end() + width) for match in signs.finditer(text)]


def _spans(pattern: re.Pattern[str], text: str, kind: str, around: Windows = EVERYWHERE) -> Iterator[Finding]:
    for start, end in around:
        for match in pattern.finditer(text, start, end):
            yield Finding(match.start(), match.end(), kind)


def _near(words: Words, text: str, found: Finding) -> bool:
    """Tell whether one of the words stands near a place."""
    start, end = found.start, found.end
    return words.stand(text, max(0, start - BEFORE), start) or words.stand(text, end, end + AFTER)


def _ips(text: str, around: Windows) -> Iterator[Finding]:
    for each in _spans(_IPV4, text, "ip", [w for w in around if text.count(".", *w) >= 3]):
        parts = text[each.start : each.end].split(".")
        if any(int(part) > 255 or (len(part) == 3 and part[0] == "0") for part in parts):
            continue
        if not _VERSION_NEAR.search(text[max(0, each.start - 12) : each.start]):
            yield each
    if text.count(":") < 2:
        return
    for each in _spans(_IPV6, text, "ip", [w for w in around if text.count(":", *w) >= 2]):
        raw = text[each.start : each.end]
        if len(raw) < 5 or not ("::" in raw or raw.count(":") == 7) or raw.strip("0:") == "":
            continue
        try:
            IPv6Address(raw)
        except AddressValueError:
            continue
        yield each


def _ibans(text: str, around: Windows) -> Iterator[Finding]:
    for each in _spans(_IBAN, text, "iban", around):
        # The pattern may have run on into the capitals of the next word: try without trailing groups.
        raw = text[each.start : each.end]
        while len(raw) >= 15:
            compact = raw.replace(" ", "")
            if 15 <= len(compact) <= 34 and mod97(compact[4:] + compact[:4]):
                yield Finding(each.start, each.start + len(raw), "iban")
                break
            raw = raw[: raw.rfind(" ")] if " " in raw else ""


def _mixed(text: str, around: Windows) -> Iterator[Finding]:
    for each in _spans(_MIXED, text, "national_id", around):
        raw = text[each.start : each.end]
        compact = raw.replace(" ", "").replace("-", "")
        for row in LETTERS:
            if row.form.fullmatch(raw) and row.check(raw if row.kind == "fi_hetu" else compact):
                yield Finding(each.start, each.end, row.kind)
                break


def _macs(text: str, around: Windows) -> Iterator[Finding]:
    if text.count(":") >= 5 or text.count("-") >= 5:
        around = [w for w in around if text.count(":", *w) >= 5 or text.count("-", *w) >= 5]
        yield from _spans(_MAC, text, "mac", around)


def _births(text: str, around: Windows) -> Iterator[Finding]:
    for each in _spans(_DATE, text, "date_of_birth", around):
        if _near(_BIRTH_NEAR, text, each):
            yield each


def _licences(text: str, around: Windows) -> Iterator[Finding]:
    if any(sign in text for sign in _LICENSE_SIGNS):
        for each in _spans(_LICENSE, text, "drivers_license", around):
            if _near(_LICENSE_NEAR, text, each):
                yield each


_FAMILIES: Final[tuple[tuple[Kind, Callable[[str, Windows], Iterator[Finding]]], ...]] = (
    ("mac", _macs),
    ("ip", _ips),
    ("date_of_birth", _births),
    ("drivers_license", _licences),
    ("iban", _ibans),
    ("national_id", _mixed),
)
_OF_DIGITS: Final = frozenset(("card", "national_id", "phone"))


def _number(text: str, match: re.Match[str], kinds: frozenset[Kind]) -> Iterator[Finding]:
    raw, place = match[0], Finding(match.start(), match.end(), "phone", 0.9)
    digits = raw.translate(_MARKS)
    if digits.isdigit():
        # Brands are given new ranges: where the words say that it is a card, the formula is enough.
        is_card = "card" in kinds and len(digits) >= 12 and luhn(digits)
        if is_card and (_BRANDS.fullmatch(digits) or _near(_CARD_NEAR, text, place)):
            yield Finding(place.start, place.end, "card")
            return
        kind = _national(text, raw, place) if "national_id" in kinds and 9 <= len(digits) <= 18 else None
        if kind is not None:
            yield Finding(place.start, place.end, kind)
            return
    if "phone" in kinds and (_PHONES.fullmatch(raw) or _called(text, raw, place)):
        yield place


def _national(text: str, raw: str, place: Finding) -> str | None:
    digits = raw.translate(_MARKS)
    for row in DIGITS:
        if (
            row.form.fullmatch(raw)
            and row.check(digits)
            and (row.near is None or _near(row.near, text, place))
        ):
            return row.kind
    return None


def _called(text: str, raw: str, place: Finding) -> bool:
    """Tell whether the words say that it is a telephone number."""
    n_digits = sum(char.isdigit() for char in raw.partition("x")[0])
    return 6 <= n_digits <= 13 and _near(_PHONE_NEAR, text, place) and not _DATE.fullmatch(raw)
