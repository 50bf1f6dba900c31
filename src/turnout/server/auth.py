"""Who is at the gate. Floor 6.

Keys are compared by digest under a pepper made at start: a presented value is hashed whole, so neither its
prefix nor its length tells anything (S-01, S-07, S-09).
"""

import hashlib
import hmac
import secrets

from turnout.errors import InvalidRequest, LoopDetected, Unauthenticated
from turnout.server.settings import GatewayKey
from turnout.types.principal import ANONYMOUS, Principal

_MAX_KEY = 512
_MAX_HOPS = 3


class Gate:
    """Turns presented keys into a principal."""

    __slots__ = ("_known", "_pepper", "instance")

    def __init__(self, keys: tuple[GatewayKey, ...]) -> None:
        self._pepper = secrets.token_bytes(32)
        self.instance = secrets.token_hex(8)
        """Id of this process in `x-turnout-hop`."""
        self._known = {
            self._digest(key.secret.reveal()): Principal(
                key_id=key.name, allow=key.allow, default_route=key.default_route
            )
            for key in keys
        }

    def principal(self, presented: tuple[str, ...]) -> Principal:
        """Return who presents these credentials.

        Raises `Unauthenticated` when keys are configured and none matches, `InvalidRequest` when two carriers differ.
        """
        if not self._known:
            return ANONYMOUS
        if len(set(presented)) > 1:
            raise InvalidRequest("credentials in several headers differ", code="conflicting_credentials")
        if not presented or not 0 < len(presented[0]) <= _MAX_KEY:
            raise Unauthenticated("no valid key: send a Turnout key as `Authorization: Bearer …`")
        found = self._known.get(self._digest(presented[0]))
        if found is None:
            raise Unauthenticated("the key is not valid here")
        return found

    def check_loop(self, hops: str) -> None:
        """Raise `LoopDetected` when this instance, or too many, were passed already (S-18)."""
        passed = [hop.strip() for hop in hops.split(",")]
        if self.instance in passed or len(passed) > _MAX_HOPS:
            raise LoopDetected("the request already passed through this gateway")

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._pepper, key.encode("utf-8", "surrogateescape"), hashlib.sha256)
