"""Check digits: how a number tells that it was not made up. Floor 2."""

from collections.abc import Sequence
from typing import Final

_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""Digit -> sum of the digits of its double."""
_VERHOEFF_TIMES: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_VERHOEFF_TURN: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _turned(place: int) -> tuple[int, ...]:
    row = tuple(range(10))
    for _ in range(place):
        row = tuple(_VERHOEFF_TURN[digit] for digit in row)
    return row


_VERHOEFF_PLACES: Final = tuple(_turned(place) for place in range(8))


def luhn(digits: str) -> bool:
    """Tell whether digits satisfy the Luhn formula (ISO/IEC 7812-1, annex B)."""
    return (sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0


def verhoeff(digits: str) -> bool:
    """Tell whether digits satisfy Verhoeff's check (the dihedral group D5)."""
    state = 0
    for at, digit in enumerate(reversed(digits)):
        state = _VERHOEFF_TIMES[state][_VERHOEFF_PLACES[at % 8][int(digit)]]
    return state == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """Return the sum of digits times weights; digits beyond the weights do not count."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def mod11_10(digits: str) -> bool:
    """Tell whether digits satisfy ISO 7064 MOD 11,10."""
    state = 10
    for digit in digits[:-1]:
        state = (state + int(digit)) % 10 or 10
        state = state * 2 % 11
    return (11 - state) % 10 == int(digits[-1])


def mod11_2(text: str) -> bool:
    """Tell whether digits, the last perhaps `X`, satisfy ISO 7064 MOD 11-2."""
    state = 0
    for digit in text[:-1]:
        state = (state + int(digit)) * 2 % 11
    return (12 - state) % 11 == (10 if text[-1] in "Xx" else int(text[-1]))


def mod97(text: str) -> bool:
    """Tell whether letters (A = 10) and digits leave 1 when divided by 97 (ISO 7064 MOD 97-10)."""
    return int("".join(str(int(char, 36)) for char in text)) % 97 == 1
