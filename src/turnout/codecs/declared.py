"""Declared tools, read and written once for all requests that declare the very same. Floor 2.

Theory of operation. An agent sends its tools with every turn, and they are often most of a request.

1. What is kept is a function of the bytes alone: the tools as one dialect reads them from this JSON, and
   those tools as one codec writes them. Nobody can tell a kept value from one made anew.
2. A `Memo` finds its entries by all of their bytes: one is only ever used for the bytes it was made from.
   Of bytes that came once it keeps nothing but them: what is never sent twice costs no more than before.
3. It has two halves. New and used entries live in the young one; when that holds its share of bytes it
   becomes the old one, and what was in the old one and not asked for since is gone. So memory is bounded,
   by bytes and by number, without a clock or an order of use to keep.
4. A request whose tools were replaced by a layer holds a tuple and no `Declared`: it is written anew.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from turnout.types.chat import Lazy, ServerTool, Tool
from turnout.types.json import Json

V = TypeVar("V")

MAX_BYTES = 1 << 20
"""JSON that the entries of one memo stand for. What is made of it takes several times as much."""
MAX_ENTRIES = 256
"""Entries of one memo: small tools cost more memory than their bytes tell."""
_encode = msgspec.json.Encoder().encode


class Memo(Generic[V]):
    """Values made from bytes, as many as fit."""

    __slots__ = ("_max_bytes", "_max_entries", "_n_bytes", "_old", "_young")

    def __init__(self, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self._max_bytes = max_bytes // 2
        self._max_entries = max_entries // 2
        self._young: dict[bytes, V | None] = {}
        """None stands for what came once."""
        self._old: dict[bytes, V | None] = {}
        self._n_bytes = 0

    def get(self, raw: bytes) -> V | None:
        """Return what was made from these bytes, if it was kept and is still there."""
        held = self._young.get(raw)
        if held is None:
            held = self._old.get(raw)
            if held is not None:
                self.put(raw, held)
        return held

    def put(self, raw: bytes, value: V) -> None:
        """Keep what was made from these bytes, if they came before and fit into one half."""
        size = len(raw)
        if size > self._max_bytes:
            return
        is_young = raw in self._young
        came_before = is_young or raw in self._old
        if self._n_bytes + size > self._max_bytes or len(self._young) >= self._max_entries:
            self._old, self._young, self._n_bytes, is_young = self._young, {}, 0, False
        if not is_young:
            self._n_bytes += size
        self._young[raw] = value if came_before else None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    @property
    def n_bytes(self) -> int:
        """Bytes of all entries; never more than was allowed."""
        return sum(map(len, self._young)) + sum(map(len, self._old))


class Written(Struct, frozen=True):
    """Tools as one codec writes them."""

    json: Json
    """The value of its field for tools, text already where it is kept; None = there is nothing to send."""
    warnings: tuple[str, ...] = ()
    is_strict: bool = False
    """Every one of them is strict; kept by formats that say so once for all."""


class Declared(Lazy[Tool | ServerTool]):
    """The tools of a request, shared by all requests that declare the same."""

    __slots__ = ("_extra", "_is_again", "_written", "is_bound", "n_chars", "n_tools")

    def __init__(
        self, make: Callable[[], tuple[Tool | ServerTool, ...]], n_tools: int, *, n_chars: int, is_bound: bool
    ) -> None:
        super().__init__(make)
        self.n_tools = n_tools
        self.n_chars = n_chars
        """What they count in `Facts.n_chars`."""
        self.is_bound = is_bound
        """One of them exists only at providers of the client's format."""
        self._extra: bool | None = None
        self._is_again = False
        self._written: dict[str, Written] = {}

    @property
    def has_extra(self) -> bool:
        """Whether one of them says more than any format can."""
        if self._extra is None:
            self._extra = any(isinstance(tool, Tool) and bool(tool.extra) for tool in self)
        return self._extra

    def __len__(self) -> int:
        return self.n_tools

    def written(self, key: str, write: Callable[[], Written]) -> Written:
        """Return the tools as a codec writes them; `key` names the codec and all else that it depends on."""
        held = self._written.get(key)
        if held is not None:
            return held
        made = write()
        if self._is_again and made.json is not None:
            made = self._written[key] = replace(made, json=Raw(_encode(made.json)))
        self._is_again = True  # tools that never come again are not worth being made into text first
        return made


def raw_of(tools: Json) -> bytes:
    """Return the bytes that tools are known by."""
    return _encode(tools)
