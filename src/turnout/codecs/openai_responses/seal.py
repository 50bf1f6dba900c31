"""Carries other providers' reasoning through a client of the responses format. Floor 2.

A thought that another provider signed must come back to that provider with the next turn, byte for byte,
and must never reach OpenAI (WIRE.md 2.9). It travels as the `encrypted_content` of a reasoning item, which
clients send back unread: `tn1:` and base64 of a JSON object that holds the whole thought. The token that some
providers want back with a tool call has no place in this format's calls; it travels the same way, with the id
of the call it belongs to. So does a conversation that the gateway itself made short (compaction.py).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import msgspec
from msgspec import Struct

from turnout.types.chat import Reasoning
from turnout.types.json import JsonObject

_MARK = "tn1:"


class Sealed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one sealed text holds."""

    wire: str = ""
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None
    call: str | None = None
    """Id of the tool call whose token `signature` is."""
    summary: str | None = None
    """A conversation made short."""


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(Sealed).decode


def seal(thought: Reasoning) -> str:
    """Return the text that stands for another format's thought."""
    return _sealed(
        Sealed(
            wire=thought.wire,
            text=thought.text,
            signature=thought.signature,
            redacted=thought.redacted,
            id=thought.id,
        )
    )


def seal_call(call_id: str, signature: str) -> str:
    """Return the text that stands for the token of a tool call."""
    return _sealed(Sealed(call=call_id, signature=signature))


def seal_summary(text: str) -> str:
    """Return the text that stands for a conversation made short."""
    return _sealed(Sealed(summary=text))


def summary_in(item: JsonObject) -> str | None:
    """Return what an item of the kind `compaction` says, where it is one of ours."""
    text = item.get("encrypted_content")
    held = unseal(text) if isinstance(text, str) and text.startswith(_MARK) else None
    return None if held is None else held.summary


def is_sealed(text: object) -> bool:
    """Tell whether an `encrypted_content` is ours and not OpenAI's."""
    return isinstance(text, str) and text.startswith(_MARK)


def unseal(text: str) -> Sealed | None:
    """Return what a text that `is_sealed` holds; None if it was tampered with."""
    try:
        return _read(urlsafe_b64decode(text.removeprefix(_MARK)))
    except (Base64Error, ValueError):
        return None


def _sealed(held: Sealed) -> str:
    return _MARK + urlsafe_b64encode(_write(held)).decode()
