"""Blocks that a tenant's requests begin or end with again and again: a harness, not a user. Floor 2.

Theory of operation. A block is a paragraph of at least `LEAST` characters among the first or the last `EDGE`
of a message. It is known by a hash alone; who counts the hashes is the engine (`engine/repeats.py`), and
which of them are frequent comes in with the moment. What is frequent is cut off from the edge inwards, with
the short paragraphs between; a message that is nothing else stays whole.

Source: docs/design/ROUTING.md section 2.1, step 2.
"""

from collections.abc import Set as AbstractSet
from typing import Final

LEAST: Final = 200
EDGE: Final = 8
_BREAK: Final = "\n\n"


def blocks(text: str) -> tuple[int, ...]:
    """Return the hashes of a message's blocks; they mean something in this process alone."""
    if len(text) < LEAST or "\n" not in text or _BREAK not in text:
        return ()
    found = text.split(_BREAK)
    edges = found if len(found) <= 2 * EDGE else [*found[:EDGE], *found[-EDGE:]]
    return tuple(dict.fromkeys(hash(block) for block in edges if len(block) >= LEAST))


def without(text: str, repeated: AbstractSet[int]) -> str:
    """Return the text without the repeated blocks at its ends; the whole text where nothing else is left."""
    if not repeated or len(text) < LEAST or _BREAK not in text:
        return text
    found = text.split(_BREAK)
    first = _run(found, repeated)
    last = len(found) - _run(found[::-1], repeated)
    left = _BREAK.join(found[first:last]).strip() if first < last else ""
    return left or text


def _run(found: list[str], repeated: AbstractSet[int]) -> int:
    """Return how many paragraphs at the beginning are repeated blocks."""
    for n, block in enumerate(found[:EDGE]):
        if len(block) < LEAST or hash(block) not in repeated:
            return n
    return min(EDGE, len(found))
