"""What a Turnout key looks like, and how it is recognised without asking anybody. Floor 5.

`tn_` + 43 digits of base 62 (256 random bits) + 6 digits of a CRC-32 over what stands before. The checksum
is no secret: it lets a mistyped or made-up key be told from a real one before anything is looked up (S-01).
A personal token begins with `tnp_`, and is the same otherwise.
"""

import re
import zlib
from typing import Final

from turnout.types.account import KEY_PREFIX, TOKEN_PREFIX

N_RANDOM: Final = 32
"""Bytes."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(one + other for one in _DIGITS for other in _DIGITS)
"""Two digits at once: every request's key is checked."""
_N_BODY: Final = 43
"""Digits that hold 256 bits: 62**43 > 2**256."""
_N_CHECK: Final = 6
"""Digits that hold 32 bits."""
_FORM: Final = re.compile(rf"(?:{KEY_PREFIX}|{TOKEN_PREFIX})[0-9A-Za-z]{{{_N_BODY + _N_CHECK}}}")
_N_SHOWN: Final = 6
"""Digits after the prefix: enough for people, and 220 bits short of the key."""


def make_key(random: bytes, prefix: str = KEY_PREFIX) -> str:
    """Return the text of a new key.

    Args:
        random: 32 bytes from the system's source of randomness.
        prefix: What kind of key it is.
    """
    if len(random) != N_RANDOM:
        raise ValueError(f"a key is made of {N_RANDOM} random bytes, not {len(random)}")
    body = prefix + _base62(int.from_bytes(random), _N_BODY)
    return body + _check(body)


def is_well_formed(text: str) -> bool:
    """Tell whether a text could be a key: its form and its checksum are right."""
    return _FORM.fullmatch(text) is not None and text[-_N_CHECK:] == _check(text[:-_N_CHECK])


def shown_prefix(key: str) -> str:
    """Return the beginning by which people recognise a key."""
    return key[: key.index("_") + 1 + _N_SHOWN]


def _check(body: str) -> str:
    number, last = divmod(zlib.crc32(body.encode("ascii")), len(_PAIRS))
    first, middle = divmod(number, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def _base62(number: int, n_digits: int) -> str:
    digits: list[str] = []
    for _ in range(n_digits):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
