"""Formats of sessions over WebSockets, by the name of their wire. Floor 2.

What a gateway must know of a session is little: where it is opened, whether its first message opens it, which
answers run and what they used, and what a client may not ask for. Everything else passes as it came.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from turnout.codecs import live, realtime
from turnout.codecs.realtime import Asked, Heard
from turnout.types.deployment import Deployment
from turnout.types.json import JsonObject

Ear = Callable[[bytes], Sequence[Heard]]
"""Reads the upstream's messages of one session, in their order."""


class Speech(Protocol):
    """One format."""

    audio_chars_per_token: int
    """Base64 of spoken output that is one token."""
    has_errors: bool
    """Whether a client can be told of a failure while the session goes on; else it ends with a word."""
    has_bytes: bool
    """Whether messages may come as bytes."""

    def address(self, to: Deployment) -> str:
        """Return where a deployment's sessions are opened."""
        ...

    def is_spoken(self, to: Deployment) -> bool:
        """Tell whether a deployment's vendor has sessions of this format."""
        ...

    def opening(self, body: JsonObject, to: Deployment) -> bytes | None:
        """Return the message that opens a session, naming the upstream's model; None = none does."""
        ...

    def ear(self) -> Ear:
        """Return a reader for one session."""
        ...

    def ask(self, data: bytes) -> Asked:
        """Read a message of the client strictly. Raises `InvalidRequest`."""
        ...


class _OpenAI:
    audio_chars_per_token = realtime.AUDIO_CHARS_PER_TOKEN
    has_errors = True
    has_bytes = False

    def address(self, to: Deployment) -> str:
        return realtime.address(to)

    def is_spoken(self, to: Deployment) -> bool:
        return realtime.is_spoken(to)

    def opening(self, body: JsonObject, to: Deployment) -> bytes | None:
        return None

    def ear(self) -> Ear:
        return lambda data: (realtime.hear(data),)

    def ask(self, data: bytes) -> Asked:
        return realtime.ask(data)


class _Gemini:
    audio_chars_per_token = live.AUDIO_CHARS_PER_TOKEN
    has_errors = False
    has_bytes = True

    def address(self, to: Deployment) -> str:
        return live.address(to)

    def is_spoken(self, to: Deployment) -> bool:
        return live.is_spoken(to)

    def opening(self, body: JsonObject, to: Deployment) -> bytes | None:
        return live.opening(body, to)

    def ear(self) -> Ear:
        return live.Ear()

    def ask(self, data: bytes) -> Asked:
        return live.ask(data)


SPEECHES: Final[Mapping[str, Speech]] = {realtime.WIRE: _OpenAI(), live.WIRE: _Gemini()}
"""Name of a wire -> its format."""
