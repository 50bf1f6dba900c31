"""What every format of sessions over WebSockets is to a gateway. Floor 2.

What a gateway must know of a session is little: where it is opened, whether its first message opens it, which
answers run and what they used, and what a client may not ask for. Everything else passes as it came.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.types.deployment import Deployment
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage


class Heard(Struct, frozen=True):
    """What an event of the upstream says to a gateway; most say nothing."""

    kind: Literal["", "session", "began", "ended", "audio", "text"] = ""
    id: str = ""
    """Of the session, or of the response."""
    usage: Usage | None = None
    """Of a response that ended; None = it was not told."""
    n_chars: int = 0
    """Of a piece of an answer."""


class Asked(Struct, frozen=True):
    """An event of the client, read strictly."""

    tree: JsonObject

    @property
    def id(self) -> str | None:
        """The client's own id of the event."""
        found = self.tree.get("event_id")
        return found[:128] if isinstance(found, str) else None

    @property
    def models(self) -> tuple[str, ...]:
        """The models it asks to go on with."""
        found = (_member(self.tree.get(name), "model") for name in ("session", "response"))
        return tuple(each for each in found if isinstance(each, str))

    @property
    def transcribers(self) -> tuple[str, ...]:
        """The models it asks to write down what was said."""
        session = self.tree.get("session")
        spoken = _member(_member(_member(session, "audio"), "input"), "transcription")
        found = (_member(each, "model") for each in (spoken, _member(session, "input_audio_transcription")))
        return tuple(each for each in found if isinstance(each, str))

    def naming(self, model: str) -> bytes:
        """Return it with the upstream's name of the model it goes on with."""
        tree: dict[str, Json] = dict(self.tree)
        for name in ("session", "response"):
            part = tree.get(name)
            if isinstance(part, Mapping) and "model" in part:
                tree[name] = {**part, "model": model}
        return msgspec.json.encode(tree)


def _member(tree: Json, name: str) -> Json:
    return tree.get(name) if isinstance(tree, Mapping) else None


Ear = Callable[[bytes], Sequence[Heard]]
"""Reads the upstream's messages of one session, in their order."""


class Speech(Struct, frozen=True, kw_only=True):
    """One format: what it is, and the functions that read and write it."""

    audio_chars_per_token: int
    """Base64 of spoken output that is one token."""
    has_errors: bool
    """Whether a client can be told of a failure while the session goes on; else it ends with a word."""
    has_bytes: bool
    """Whether messages may come as bytes."""
    address: Callable[[Deployment], str]
    """Where a deployment's sessions are opened."""
    is_spoken: Callable[[Deployment], bool]
    """Whether a deployment's vendor has sessions of this format."""
    opening: Callable[[JsonObject, Deployment], bytes | None]
    """The message that opens a session, naming the upstream's model; None = none does."""
    ear: Callable[[], Ear]
    """A reader for one session."""
    ask: Callable[[bytes], Asked]
    """Reads a message of the client strictly. Raises `InvalidRequest`."""
