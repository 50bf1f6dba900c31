"""Which prompts are nearly the same, so that nothing is learned from what is reported on. Floor 6.

Compared are the first 100 letters and digits. Where more than ten different prompts begin alike, the
beginning is a template and says nothing: there all letters and digits are compared.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

HEAD: Final = 100
"""Letters and digits compared."""
MOST_COPIES: Final = 10
"""Prompts that begin alike; where more do, the beginning is a template and says nothing."""


def overlap_key(prompt: str) -> str:
    """Return the beginning that near-copies of a prompt share: the first 100 letters and digits."""
    return _signs(prompt)[:HEAD]


def copy_keys(prompts: Sequence[str]) -> list[str]:
    """Return, for each of these prompts, what its near-copies among them have too; empty: it has no words."""
    templates = _templates(prompts)
    return [head if (head := overlap_key(p)) not in templates else _signs(p) for p in prompts]


def shared(mine: Iterable[str], others: Iterable[str]) -> frozenset[str]:
    """Return those of my prompts that are near-copies of another table's."""
    own, theirs = list(dict.fromkeys(mine)), list(dict.fromkeys(others))
    keys = copy_keys([*own, *theirs])
    held = {key for key in keys[len(own) :] if key}
    return frozenset(prompt for prompt, key in zip(own, keys, strict=False) if key in held)


def _templates(prompts: Sequence[str]) -> frozenset[str]:
    counts = Counter(map(overlap_key, set(prompts)))
    return frozenset(head for head, n in counts.items() if n > MOST_COPIES)


def _signs(prompt: str) -> str:
    return "".join(filter(str.isalnum, prompt.lower()))
