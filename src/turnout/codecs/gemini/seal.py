"""Carries other providers' reasoning through a Gemini client. Floor 2.

A thought that another provider signed must come back to that provider with the next turn, byte for byte, and
must never reach Gemini (WIRE.md 2.9). It travels as a `thoughtSignature` of ours: base64, as clients expect,
of `tn1:` and a JSON object that holds the whole thought.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

import msgspec
from msgspec import Struct

from turnout.codecs.gemini.wire import SIGNATURE
from turnout.types.chat import Reasoning
from turnout.types.json import Json, JsonObject

_MARK = b"tn1:"
_PREFIX = b64encode(_MARK).decode()[:5]
"""What every sealed signature begins with: the characters that depend on the mark alone."""


_URL_SAFE = re.compile("[-_]")
"""Google's client for Python writes bytes in the alphabet for URLs; both are valid in Google's JSON."""


class _Sealed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    wire: str
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(_Sealed).decode


def sealed(thought: Reasoning) -> str:
    """Return the signature that stands for another format's thought."""
    held = _Sealed(
        wire=thought.wire,
        text=thought.text,
        signature=thought.signature,
        redacted=thought.redacted,
        id=thought.id,
    )
    return b64encode(_MARK + _write(held)).decode()


def unsealed(signature: str) -> Reasoning | None:
    """Return the thought a signature stands for; None if the signature is not ours."""
    if not signature.startswith(_PREFIX):
        return None
    try:
        opened = b64decode(signature, altchars=b"-_" if _URL_SAFE.search(signature) else None, validate=True)
        held = _read(opened.removeprefix(_MARK)) if opened.startswith(_MARK) else None
    except (Base64Error, msgspec.MsgspecError):
        return None
    if held is None:
        return None
    return Reasoning(
        text=held.text, signature=held.signature, redacted=held.redacted, id=held.id, wire=held.wire
    )


def may_hold_sealed(body: bytes) -> bool:
    """Tell cheaply whether a request body can hold a sealed signature."""
    return _PREFIX.encode() in body


def without_sealed(tree: JsonObject) -> JsonObject:
    """Return the request without thoughts of other providers, for the express track to Gemini."""
    contents = tree.get("contents")
    if not isinstance(contents, list):
        return tree
    return {**tree, "contents": [_cleaned(content) for content in contents]}


def _cleaned(content: Json) -> Json:
    if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
        return content
    return {**content, "parts": [part for part in content["parts"] if not _is_sealed(part)]}


def _is_sealed(part: Json) -> bool:
    signature = part.get(SIGNATURE, part.get("thought_signature")) if isinstance(part, dict) else None
    return isinstance(signature, str) and unsealed(signature) is not None
