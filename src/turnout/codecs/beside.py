"""Two formats of one host: conversations in one, vectors and operations in the other. Floor 2."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from turnout.codecs.base import Codec, Performs


@runtime_checkable
class Beside(Protocol):
    """A format for conversations alone, whose hosts do everything else in another one."""

    beside: str
    """Name of the other format."""


class Both:
    """Speaks both formats to a host, as one codec."""

    def __init__(self, inner: Codec, other: Codec) -> None:
        """Prepare.

        Args:
            inner: Speaks of conversations.
            other: Speaks of the rest; must have operations.
        """
        assert isinstance(other, Performs)
        self.wire = inner.wire
        self.encode, self.forward = inner.encode, inner.forward
        self.decode, self.glance = inner.decode, inner.glance
        self.decoder, self.tap = inner.decoder, inner.tap
        self.error = inner.error
        self.encode_embed, self.decode_embed = other.encode_embed, other.decode_embed
        self.encode_task, self.decode_task = other.encode_task, other.decode_task
        self.task_tap = other.task_tap


def completed(codecs: Mapping[str, Codec]) -> dict[str, Codec]:
    """Return codecs by name, each with what its hosts do in another of them."""
    return {
        name: Both(codec, codecs[codec.beside]) if isinstance(codec, Beside) else codec
        for name, codec in codecs.items()
    }
