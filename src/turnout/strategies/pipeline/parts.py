"""Every pipeline that a route may come to use: its own, and those it picks from. Floor 2."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from turnout.strategies.pipeline.pipeline import Pipeline


def pipelines(strategy: object) -> Iterator[Pipeline]:
    """Yield the pipelines inside a strategy that was made ready, each once, in the order of its fields."""
    seen: set[int] = set()
    waiting: list[object] = [strategy]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, Pipeline):
            yield one
        elif isinstance(one, Struct) and id(one) not in seen:
            seen.add(id(one))
            waiting += [getattr(one, name) for name in one.__struct_fields__]
        elif isinstance(one, tuple | list):
            waiting += one
        elif isinstance(one, Mapping):
            waiting += one.values()
