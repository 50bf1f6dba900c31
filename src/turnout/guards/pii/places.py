"""Postal addresses, lightly: a number and a word for a street, a post box, a military post office. Floor 2.

Written addresses have no grammar that holds in every country: this finds common forms and misses many.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from turnout.guards.base import Finding

_STREETS: Final = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Squares|Place|Pl|Terrace|Way|"
    "Parkway|Pkwy|Highway|Hwy|Crescent|Close|Gardens|Alley|Loop|Trail|Turnpike|Row|Plaza|Forges?|Heights|Ridge|Mews|Walk|Quay"
)
_TAIL: Final = (
    r"(?:,?\s{1,2}(?:Apt|Suite|Unit|Ste|Flat|Floor)\.? ?#?[0-9A-Z-]{1,6})?"
    r"(?:,?\s{1,2}[A-Z]{2} [0-9]{5}(?:-[0-9]{4})?)?"
)
_ENGLISH: Final = re.compile(
    rf"(?<![\w.,$€£])[0-9]{{1,5}}[A-Za-z]? (?:[A-Z0-9][\w.'-]{{0,20}} ){{1,4}}"
    rf"(?:{_STREETS})(?![\w'])\.?{_TAIL}"
)
_GERMAN: Final = re.compile(
    r"(?<!\w)[A-ZÄÖÜ][\wäöüß-]{1,30}?(?:straße|strasse|str\.|weg|platz|allee"
    r"|gasse|gata|gatan|vägen|veien|vej|vegen|katu|tie|straat|laan)"
    r" [0-9]{1,4}[a-z]?(?!\w)"
)
_LATIN: Final = re.compile(
    r"(?<!\w)(?:(?:[0-9]{1,4},? )?[Rr]ue|(?:[0-9]{1,4},? )?[Aa]venue"
    r"|Via|Viale|Piazza|Corso|Calle|Avenida|Avda\.|Rua|Plaza) "
    r"(?:(?:de|du|des|la|las|los|le|da|do|del|della|dei) ){0,2}"
    r"[A-ZÀ-Ý][\wà-ÿ'-]{1,24}(?: [A-ZÀ-Ý][\wà-ÿ'-]{1,24}){0,3},? [0-9]{1,4}(?!\w)"
)
_BOX: Final = re.compile(
    r"(?<!\w)(?:(?:PSC|Unit|CMR) [0-9]{2,5},? Box [0-9]{2,5}|P\.? ?O\.? Box [0-9]{1,6}|Postfach [0-9]{2,7})"
    r"(?:,?\s{1,2}(?:APO|FPO|DPO) A[AEP] [0-9]{5})?",
    re.IGNORECASE,
)


def addresses(text: str, around: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Yield what looks like an address, in the parts of a text that are near a digit."""
    for start, end in around:
        for pattern in (_ENGLISH, _GERMAN, _LATIN, _BOX):
            for match in pattern.finditer(text, start, end):
                yield Finding(match.start(), match.end(), "postal_address", 0.7)
