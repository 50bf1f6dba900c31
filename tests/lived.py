"""How long something took, as the loop lived it: whatever else runs on the machine."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from turnout.errors import StoreUnavailable

T = TypeVar("T")
STEP_S = 0.005


async def lived(work: Awaitable[T]) -> tuple[T, float]:
    """Return what `work` comes to, and for how many seconds this loop has slept meanwhile.

    A machine that is busy elsewhere makes a sleep longer, not more of them: what is promised within a time is
    held against this. Raises what `work` raises.
    """
    task = asyncio.ensure_future(work)
    slept_s = 0.0
    while not task.done():
        await asyncio.sleep(STEP_S)
        slept_s += STEP_S
    return task.result(), slept_s


async def refusal(work: Awaitable[object]) -> str:
    """Return the words of the `StoreUnavailable` that `work` raises; an answer is an `AssertionError`."""
    try:
        found = await work
    except StoreUnavailable as error:
        return str(error)
    raise AssertionError(f"it was answered: {found!r}")
