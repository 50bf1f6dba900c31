"""A client's wish to go on as a WebSocket: checked, and granted. Floor 6.

Checks of who asks come before and are those of any request; until it is granted, a refusal is an ordinary
HTTP answer. A browser cannot send headers with the wish, so a key may come as a subprotocol, and pages of
other sites can make it too, so an `Origin` must be listed (S-21).
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from turnout.errors import Forbidden, InvalidRequest, UnsupportedParameter
from turnout.server.cycle import head_block
from turnout.server.http import UPGRADE, RawHeaders, Scope

if TYPE_CHECKING:
    from turnout.transport.websocket import WebSocket

SUBPROTOCOL: Final = "realtime"
KEY_PREFIX: Final = "openai-insecure-api-key."
BETA_PREFIX: Final = "openai-beta."
VERSION: Final = b"13"
_KEY_BYTES: Final = 16
_SINGLE: Final = frozenset({b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"origin"})


class Offer(Struct, frozen=True):
    """What a client's handshake says."""

    key: bytes
    protocols: tuple[str, ...]
    origin: str | None

    @property
    def credentials(self) -> tuple[str, ...]:
        """Keys among the subprotocols."""
        return tuple(each.removeprefix(KEY_PREFIX) for each in self.protocols if each.startswith(KEY_PREFIX))

    @property
    def beta(self) -> bytes | None:
        """The beta of the format that it names among the subprotocols (`realtime-v1`)."""
        named = (each.removeprefix(BETA_PREFIX) for each in self.protocols if each.startswith(BETA_PREFIX))
        found = next(named, None)
        return None if found is None else found.replace("-", "=", 1).encode("latin-1")


def read_offer(scope: Scope) -> Offer:
    """Read the handshake. Raises `InvalidRequest` for what is none, `UnsupportedParameter`."""
    if UPGRADE not in scope.get("extensions", {}):
        raise InvalidRequest("a session is a WebSocket: ask with `Upgrade: websocket`", param="upgrade")
    fields: dict[bytes, bytes] = {}
    protocols: list[str] = []
    for name, value in scope["headers"]:
        if name == b"sec-websocket-protocol":  # the one that may come more than once
            protocols += [each.strip() for each in value.decode("latin-1").split(",") if each.strip()]
        elif name in _SINGLE and name in fields:
            raise InvalidRequest(f"header {name.decode()} was sent twice", param=name.decode())
        else:
            fields[name] = value
    if fields.get(b"upgrade", b"").lower() != b"websocket" or scope["method"] != "GET":
        raise InvalidRequest("the only protocol to go on with is websocket", param="upgrade")
    if fields.get(b"sec-websocket-version") != VERSION:
        raise InvalidRequest("sec-websocket-version must be 13", param="sec-websocket-version")
    key = fields.get(b"sec-websocket-key", b"")
    if not _is_key(key):
        raise InvalidRequest("sec-websocket-key must be 16 bytes in base64", param="sec-websocket-key")
    origin = fields.get(b"origin")
    return Offer(key, tuple(protocols), None if origin is None else origin.decode("latin-1"))


def check_origin(offer: Offer, allowed: Collection[str]) -> None:
    """Refuse pages that may not open sessions here. Raises `Forbidden`."""
    if offer.origin is not None and offer.origin not in allowed:
        raise Forbidden("pages of this origin may not open sessions here; see realtime.origins")


def grant(
    scope: Scope, offer: Offer, headers: RawHeaders, max_message: int, on_shutdown: Callable[[], None]
) -> "WebSocket":
    """Answer with 101 and return our end.

    Args:
        scope: Of the request.
        offer: What it said.
        headers: Further headers of the answer.
        max_message: Bytes of one message of the client.
        on_shutdown: Called when the server is to stop.
    """
    from turnout.transport.websocket import WebSocket, accept_key  # noqa: PLC0415  an extra

    lines = [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", accept_key(offer.key)),
        *([(b"sec-websocket-protocol", SUBPROTOCOL.encode())] if SUBPROTOCOL in offer.protocols else []),
        *headers,
    ]
    socket = WebSocket("server", max_message)
    head = b"HTTP/1.1 101 Switching Protocols\r\n" + head_block(lines)
    socket.on_lost = scope["extensions"][UPGRADE](socket, head, on_shutdown)
    return socket


def check_library() -> None:
    """Refuse where sessions cannot be framed. Raises `UnsupportedParameter`."""
    try:
        import turnout.transport.websocket  # noqa: F401, PLC0415  an extra
    except ModuleNotFoundError as error:
        missing = f'sessions need {error.name} at the gateway: pip install "turnout[realtime]"'
        raise UnsupportedParameter(missing) from None


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
