"""What keeps answers: by a digest of everything they depend on, for a time, within bounds. Floor 3."""

from typing import Final, Literal, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from turnout.types.usage import NanoUsd

Form = Literal["body", "frames", "answer", "events", "vectors"]
"""`body` and `frames` are an upstream's own bytes; the others are written by us."""
OVERHEAD: Final = 512
"""Bytes that an entry takes beside its answer, roughly."""


class Owner(Struct, frozen=True, gc=False):
    """Whose request an answer was made for."""

    organisation: str = ""
    project: str = ""
    key_id: str = ""


class Kept(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One answer. Nothing in it leads back to it: the cyclic collector need not look at thousands of them."""

    key: bytes
    form: Form
    pieces: tuple[bytes, ...]
    """The answer as it was handed out: one piece, or one a chunk."""
    created: float
    """Unix seconds."""
    expires: float
    route: str
    owner: Owner
    deployment: str
    cost_nusd: NanoUsd | None = None
    """What the answer cost when it was made."""
    n_tokens: int = 0
    finish: str | None = None
    dropped: tuple[str, ...] = ()
    """Parameters the upstream lacked."""

    @property
    def n_bytes(self) -> int:
        """Room it takes, roughly."""
        return OVERHEAD + sum(map(len, self.pieces))


class Selector(Struct, frozen=True, kw_only=True):
    """Which answers are meant: those that everything named here is true of."""

    route: str | None = None
    organisation: str | None = None
    project: str | None = None
    key_id: str | None = None
    prefix: str = ""
    """First hexadecimal digits of their keys."""

    def takes(self, kept: Kept) -> bool:
        """Tell whether an answer is among them."""
        owner = kept.owner
        return (
            (self.route is None or kept.route == self.route)
            and (self.organisation is None or owner.organisation == self.organisation)
            and (self.project is None or owner.project == self.project)
            and (self.key_id is None or owner.key_id == self.key_id)
            and kept.key.hex().startswith(self.prefix)
        )


ALL: Final = Selector()


class Held(Struct, frozen=True):
    """How much is kept."""

    n: int
    n_bytes: int


class Bounds(Struct, frozen=True, kw_only=True):
    """How much may be kept."""

    max_entries: int = 10_000
    max_bytes: int = 64 * 1024 * 1024


class CacheStore(Protocol):
    """Keeps answers. What it cannot do it says as `StoreUnavailable`, which the reader takes for a miss."""

    is_near: bool
    """Whether a look-up is a step in memory, which nobody need wait for."""

    async def get(self, key: bytes, now: float) -> Kept | None:
        """Return the answer of a key that has not expired."""
        ...

    async def put(self, kept: Kept, now: float) -> None:
        """Keep an answer in place of any other of its key; others go where there is no room."""
        ...

    async def clear(self, which: Selector) -> int:
        """Let go of answers; return of how many."""
        ...

    async def held(self, which: Selector, now: float) -> Held:
        """Count answers that have not expired."""
        ...

    async def close(self) -> None:
        """Let go of every resource. May be called twice."""
        ...


@runtime_checkable
class NearStore(Protocol):
    """A store whose every step is one in memory: nobody waits for it, and it never fails."""

    def look(self, key: bytes, now: float) -> Kept | None:
        """Return what `CacheStore.get` does."""
        ...

    def keep(self, kept: Kept, now: float) -> None:
        """Do what `CacheStore.put` does."""
        ...


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(Kept)


def written(kept: Kept) -> bytes:
    """Write an answer as bytes."""
    return _ENCODER.encode(kept)


def read(data: bytes) -> Kept:
    """Read what `written` wrote. Raises `msgspec.DecodeError`, `msgspec.ValidationError`."""
    return _DECODER.decode(data)
