"""A sign-in that is under way, held by the browser that began it. Floor 6.

Theory of operation.

1. The cookie holds 256 random bits, when it began and where to go on, signed under the pepper: any worker or
   replica can take the browser back, and nothing is stored for who never comes back.
2. `state`, `nonce` and the PKCE verifier are three different digests under these bits. Only the browser with
   the cookie can end what it began, so nobody is signed in as somebody else by a link (login CSRF), and a
   code that was overheard is worth nothing without the verifier.
3. Where to go on is a path of this gateway by its grammar, or it is `/`: there is no open redirect.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from msgspec import Struct

from turnout.govern.pepper import Peppers

LIFE_S: Final = 600.0
_N_RANDOM: Final = 32
_PATH: Final = re.compile(r"/(?!/)[A-Za-z0-9._~/?&=%+:@,#-]{0,500}")
_CONTEXT: Final = "turnout login\n"
"""Before what is signed: a digest under the pepper must never be one of a key."""


class Pending(Struct, frozen=True, array_like=True):
    """A sign-in under way."""

    secret: str
    began: int
    """Unix seconds."""
    goes_on: str

    @property
    def state(self) -> str:
        """What the provider hands back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What stands in the id token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What goes with the code (RFC 7636)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier beforehand: S256."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        return _text(hmac.digest(self.secret.encode(), f"turnout {purpose}".encode(), hashlib.sha256))


def begin(random: bytes, now: float, goes_on: str) -> Pending:
    """Begin a sign-in.

    Args:
        random: 32 bytes.
        now: Unix seconds.
        goes_on: Path that was wished for; anything but a path of this gateway becomes `/`.
    """
    if len(random) != _N_RANDOM:
        raise ValueError(f"a sign-in is made of {_N_RANDOM} random bytes, not {len(random)}")
    return Pending(_text(random), int(now), goes_on if _PATH.fullmatch(goes_on) else "/")


def seal(pending: Pending, peppers: Peppers) -> str:
    """Return what the cookie holds."""
    body = _text(msgspec.json.encode(pending))
    return f"{body}.{_text(peppers.newest.digest(_CONTEXT + body))}"


def unseal(text: str, peppers: Peppers, now: float) -> Pending | None:
    """Return the sign-in of a cookie; None = it is none of ours, or took too long."""
    body, _, signature = text.partition(".")
    if not text.isascii() or not any(
        hmac.compare_digest(_text(pepper.digest(_CONTEXT + body)), signature) for pepper in peppers.accepted
    ):
        return None
    pending = msgspec.json.decode(_bytes(body), type=Pending)
    return pending if 0 <= now - pending.began <= LIFE_S else None


def same(shown: str, expected: str) -> bool:
    """Compare without telling where they differ."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode())


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
