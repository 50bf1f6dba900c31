"""Every part of a kind that a route may come to use: its own, and those its strategy picks from. Floor 2."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from turnout.strategies.pipeline.pipeline import Pipeline

T = TypeVar("T")


def parts_of(strategy: object, kind: type[T]) -> Iterator[T]:
    """Yield what is of a kind inside a strategy that was made ready, each once."""
    seen: set[int] = set()
    waiting: list[object] = [strategy]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, Struct):
            if id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, kind):
                yield one
            waiting += [getattr(one, name) for name in one.__struct_fields__]
        elif isinstance(one, tuple | list):
            waiting += one
        elif isinstance(one, Mapping):
            waiting += one.values()


def pipelines(strategy: object) -> Iterator[Pipeline]:
    """Yield the pipelines inside a strategy that was made ready, each once."""
    return parts_of(strategy, Pipeline)
