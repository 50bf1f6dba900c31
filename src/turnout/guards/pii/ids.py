"""National numbers of persons, each with its own check. Floor 2.

A row says how the number is written, how it is checked, and which words must stand near it where its check
alone would let too many other numbers through (one digit in ten or eleven is right by chance).

Sources: the issuing authorities' public descriptions, as named in each row; seen 2026-11.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from turnout.guards.pii.checksums import luhn, mod11_2, mod11_10, verhoeff, weighted
from turnout.guards.pii.near import Words

Check = Callable[[str], bool]
LETTERS_23: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
LETTERS_31: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"


class National(Struct, frozen=True):
    """How the number of one country's persons is known."""

    kind: str
    form: re.Pattern[str]
    """Of the number as it is written, separators included."""
    check: Check
    """Of the number without separators, in capitals."""
    near: Words | None = None
    """Words one of which must stand near; None = the form and the check are enough."""


def _date(year: str, month: str, day: str) -> bool:
    del year  # two digits of it name no century: every day of a leap year may stand
    return 1 <= int(month) <= 12 and 1 <= int(day) <= (29 if month == "02" else 31)


def _us_ssn(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _us_itin(digits: str) -> bool:
    group = int(digits[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or group >= 94


def _gb_nhs(digits: str) -> bool:
    check = 11 - weighted(digits, range(10, 1, -1)) % 11
    return (0 if check == 11 else check) == int(digits[9])


def _gb_nino(text: str) -> bool:
    return text[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _de_tax(digits: str) -> bool:
    counts = [digits[:10].count(digit) for digit in set(digits[:10])]
    return digits[0] != "0" and max(counts) in (2, 3) and mod11_10(digits)


def _fr_nir(text: str) -> bool:
    body = text[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(text[13:])


def _es_dni(text: str) -> bool:
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return LETTERS_23[int(number) % 23] == text[-1]


_ODD_IT: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)


def _it_cf(text: str) -> bool:
    odd = sum(_ODD_IT[char] for char in text[:15:2])
    even = sum(int(char, 36) - (10 if char.isalpha() else 0) for char in text[1:15:2])
    return chr(65 + (odd + even) % 26) == text[15]


def _nl_bsn(digits: str) -> bool:
    return digits != "000000000" and (weighted(digits, range(9, 1, -1)) - int(digits[8])) % 11 == 0


def _be_number(digits: str) -> bool:
    body, check = int(digits[:9]), int(digits[9:])
    return _date(digits[:2], digits[2:4], digits[4:6]) and check in (
        97 - body % 97,
        97 - (2_000_000_000 + body) % 97,
    )


def _pl_pesel(digits: str) -> bool:
    month = int(digits[2:4]) % 20
    check = (10 - weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10
    return _date(digits[:2], f"{month:02}", digits[4:6]) and check == int(digits[10])


def _se_number(digits: str) -> bool:
    digits = digits[-10:]
    day = int(digits[4:6])
    return _date(digits[:2], digits[2:4], f"{day - 60 if day > 60 else day:02}") and luhn(digits)


def _fi_hetu(text: str) -> bool:
    digits = text[:6] + text[7:10]
    return _date(text[4:6], text[2:4], text[:2]) and LETTERS_31[int(digits) % 31] == text[10]


def _no_number(digits: str) -> bool:
    first = (11 - weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11) % 11
    second = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 11
    day = int(digits[:2]) % 40
    return _date(digits[4:6], digits[2:4], f"{day:02}") and (first, second) == (
        int(digits[9]),
        int(digits[10]),
    )


def _dk_cpr(digits: str) -> bool:
    return _date(digits[4:6], digits[2:4], digits[:2])


def _br_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return (first, second) == (int(digits[9]), int(digits[10]))


def _kr_rrn(digits: str) -> bool:
    check = (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return _date(digits[:2], digits[2:4], digits[4:6]) and check == int(digits[12])


def _cn_id(text: str) -> bool:
    return "1900" <= text[6:10] < "2100" and _date(text[8:10], text[10:12], text[12:14]) and mod11_2(text)


def _au_tfn(digits: str) -> bool:
    return weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _za_id(digits: str) -> bool:
    return _date(digits[:2], digits[2:4], digits[4:6]) and digits[10] in "01" and luhn(digits)


def _ch_ahv(digits: str) -> bool:
    return (10 - weighted(digits, (1, 3) * 6) % 10) % 10 == int(digits[12])


def _tr_id(digits: str) -> bool:
    odd, even = sum(map(int, digits[:9:2])), sum(map(int, digits[1:8:2]))
    tenth = (odd * 7 - even) % 10
    return (tenth, (sum(map(int, digits[:10]))) % 10) == (int(digits[9]), int(digits[10]))


def _mx_curp(text: str) -> bool:
    letters = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(letters.index(char) * (18 - at) for at, char in enumerate(text[:17]))
    return (10 - total % 10) % 10 == int(text[17])


def _in_aadhaar(digits: str) -> bool:
    return digits != digits[::-1] and verhoeff(digits)


def _sin(digits: str) -> bool:
    return digits != "000000000" and luhn(digits)


def _row(kind: str, form: str, check: Check, near: str = "") -> National:
    words = Words(rf"(?<!\w)(?:{near})") if near else None
    return National(kind, re.compile(form), check, words)


DIGITS: Final[tuple[National, ...]] = (
    # Social Security Administration, "Randomization" and RM 10201; no check digit exists.
    _row("us_ssn", r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}", _us_ssn),
    _row("us_ssn", r"\d{9}", _us_ssn, r"ssn|social sec"),
    # Internal Revenue Service, IRM 3.13.5.
    _row("us_itin", r"9\d{2}[- ]?\d{2}[- ]?\d{4}", _us_itin, r"itin|taxpayer|tax id"),
    # NHS Data Dictionary, NHS NUMBER.
    _row("gb_nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", _gb_nhs, r"nhs|patient|hospital"),
    # Bundeszentralamt für Steuern, Steueridentifikationsnummer, ISO 7064 MOD 11,10.
    _row("de_tax", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", _de_tax, r"steuer|idnr|id-nr|tax id|tin\b"),
    # Dutch tax authority, 11-test of the BSN.
    _row("nl_bsn", r"\d{9}|\d{3}[. ]\d{3}[. ]\d{3}|\d{4}\.\d{2}\.\d{3}", _nl_bsn, r"bsn|burgerservice|sofi"),
    # Belgian national register, royal decree of 3 April 1984.
    _row("be_rrn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _be_number),
    _row("be_rrn", r"\d{11}", _be_number, r"rijksreg|registre nat|insz|niss|national (?:num|reg)"),
    # Polish Ministry of Digital Affairs, PESEL.
    _row("pl_pesel", r"\d{11}", _pl_pesel, r"pesel"),
    # Danish CPR office; the check digit no longer holds for numbers given since 2007.
    _row("dk_cpr", r"\d{6}-\d{4}", _dk_cpr, r"cpr|personnummer"),
    # Swedish Tax Agency, SKV 704; Luhn over ten digits.
    _row("se_personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}", _se_number),
    # Norwegian Tax Administration, two check digits MOD 11.
    _row("no_fnr", r"\d{6} ?\d{5}", _no_number, r"f[øo]dselsnummer|personnummer|fnr|d-nummer|national id"),
    # Receita Federal, CPF.
    _row("br_cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", _br_cpf),
    _row("br_cpf", r"\d{11}", _br_cpf, r"cpf"),
    # Korean Ministry of the Interior; numbers given since October 2020 have no check digit.
    _row("kr_rrn", r"\d{6}-[1-8]\d{6}", _kr_rrn),
    # GB 11643-1999, ISO 7064 MOD 11-2; the last may be X (see LETTERS).
    _row("cn_id", r"[1-9]\d{17}", _cn_id),
    # Australian Taxation Office, TFN.
    _row("au_tfn", r"\d{3}[ -]?\d{3}[ -]?\d{3}", _au_tfn, r"tfn|tax file"),
    # South African Department of Home Affairs, Luhn.
    _row("za_id", r"\d{13}|\d{6} \d{4} \d{3}", _za_id, r"id\b|identity|south african"),
    # Swiss Central Compensation Office, EAN-13 with the prefix 756.
    _row("ch_ahv", r"756\.\d{4}\.\d{4}\.\d{2}|756\d{10}", _ch_ahv),
    # Turkish Directorate of Population, T.C. Kimlik No.
    _row("tr_kimlik", r"[1-9]\d{10}", _tr_id, r"kimlik|tckn|t\.?c\.? ?no"),
    # Unique Identification Authority of India, Verhoeff.
    _row("in_aadhaar", r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}|[2-9]\d{11}", _in_aadhaar, r"aadh?aa?r|uidai|uid\b"),
    # Government of Canada, SIN, Luhn.
    _row("ca_sin", r"[1-79]\d{2}[ -]?\d{3}[ -]?\d{3}", _sin, r"sin\b|social insurance|assurance sociale"),
    # INSEE, NIR: 97 minus the number modulo 97.
    _row("fr_nir", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}", _fr_nir),
)
"""Numbers of digits and separators alone."""

LETTERS: Final[tuple[National, ...]] = (
    # HM Revenue & Customs, NIM39110; no check digit exists.
    _row("gb_nino", r"[ABCEGHJ-PRSTW-Z][ABCEGHJ-NPRSTW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", _gb_nino),
    # Spanish Ministry of the Interior, letter = number modulo 23.
    _row("es_dni", r"\d{8}-?[A-HJ-NP-TV-Z]|[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", _es_dni),
    # Italian decree of 23 December 1976, table of odd and even places.
    _row("it_cf", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", _it_cf),
    # Finnish Digital and Population Data Services Agency, modulo 31.
    _row("fi_hetu", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _fi_hetu),
    # INSEE, NIR of Corsica (departments 2A and 2B).
    _row("fr_nir", r"[12]\d{4}2[AB]\d{8}", _fr_nir),
    # RENAPO, CURP.
    _row("mx_curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", _mx_curp),
    # GB 11643-1999.
    _row("cn_id", r"[1-9]\d{16}X", _cn_id),
)
"""Numbers that hold letters."""
