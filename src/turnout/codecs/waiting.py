"""Calls of tools that wait for their answers, in formats that name the tool and no call. Floor 2.

Each is found at once, however many wait: a request may hold thousands, and while it is read nobody else is
served.
"""

from collections import OrderedDict, deque


class Waiting:
    """Ids of calls, oldest first; whatever finds one takes it out."""

    __slots__ = ("_calls", "_ids", "_n", "_named")

    def __init__(self) -> None:
        self._n = 0
        self._calls: OrderedDict[int, str] = OrderedDict()
        """Number -> id of what waits still."""
        self._named: dict[str, deque[int]] = {}
        self._ids: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, name: str, call_id: str) -> None:
        """Let a call of a tool wait."""
        self._calls[self._n] = call_id
        self._named.setdefault(name, deque()).append(self._n)
        self._ids.setdefault(call_id, deque()).append(self._n)
        self._n += 1

    def of_tool(self, name: str) -> str | None:
        """Return the oldest call of a tool; None = none waits."""
        return self._oldest(self._named.get(name))

    def of_id(self, call_id: str) -> str | None:
        """Return the oldest call of an id; None = none waits."""
        return self._oldest(self._ids.get(call_id))

    def oldest(self) -> str | None:
        """Return the oldest call; None = none waits."""
        return self._calls.popitem(last=False)[1] if self._calls else None

    def _oldest(self, numbers: deque[int] | None) -> str | None:
        while numbers:
            found = self._calls.pop(numbers.popleft(), None)
            if found is not None:
                return found
        return None
