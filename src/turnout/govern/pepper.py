"""The secret under which keys are kept as digests. Floor 5.

Theory of operation.

1. A key is kept as HMAC-SHA-256 under a pepper, with the pepper's id (S-09). Who has the desk alone cannot
   check a guess; who has the pepper alone has no digests.
2. The pepper comes from the configuration (`desk.pepper`, usually `${env:…}` or `${file:…}`), or from a file
   beside the desk that is made at first use, readable by this user only.
3. The two newest are accepted (S-112). A third one pushes the oldest out, and the keys under it end.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from turnout.config.desk import MIN_SECRET, is_weak
from turnout.errors import ConfigError
from turnout.types.secret import Secret

N_ACCEPTED: Final = 2
_N_ID: Final = 12
_N_BLOCK: Final = 64
"""Bytes that SHA-256 takes in at once."""
_N_FILE: Final = 32
"""Random bytes of a pepper in a file; written in hexadecimal, one pepper a line, newest first."""


class Mac:
    """HMAC-SHA-256 under a secret that is taken in once: a third of the time, and no thread is waited for.

    Source: RFC 2104, section 2 and section 4 (states kept before the text).
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        block = (hashlib.sha256(secret).digest() if len(secret) > _N_BLOCK else secret).ljust(_N_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, text: str) -> bytes:
        """Return the keyed digest of a text."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode("utf-8", "surrogateescape"))
        outer.update(inner.digest())
        return outer.digest()


class Pepper(Struct, frozen=True):
    """One secret with the id that documents name it by."""

    id: str
    secret: Secret

    def digest(self, text: str) -> bytes:
        """Return the keyed digest of a text."""
        return hmac.digest(_bytes(self.secret), text.encode("utf-8", "surrogateescape"), hashlib.sha256)

    def mac(self) -> Mac:
        """Return what digests many texts."""
        return Mac(_bytes(self.secret))


class Peppers(Struct, frozen=True):
    """The accepted peppers, newest first."""

    accepted: tuple[Pepper, ...]

    @property
    def newest(self) -> Pepper:
        """What new digests are made under."""
        return self.accepted[0]

    def of(self, id: str) -> Pepper | None:  # noqa: A002  as documents call it
        """Return the accepted pepper of an id."""
        return next((pepper for pepper in self.accepted if pepper.id == id), None)


def peppers_of(secrets: Sequence[Secret], where: str = "desk.pepper") -> Peppers:
    """Return secrets as peppers. Raises `ConfigError` for one that can be guessed."""
    for secret in secrets:
        if is_weak(secret):
            raise ConfigError(
                (f"{where}: too easy to guess; use at least {MIN_SECRET} characters from `openssl rand`",)
            )
    return Peppers(tuple(Pepper(_id(secret), secret) for secret in secrets[:N_ACCEPTED]))


def peppers_in(path: Path) -> Peppers:
    """Return the peppers of a file, which is made if it is not there. Raises `ConfigError`."""
    try:
        if not path.exists():
            _make(path, [os.urandom(_N_FILE).hex()])
        lines = path.read_text(encoding="ascii").split()
        if path.stat().st_mode & 0o077:
            raise ConfigError((f"{path}: others may read it; `chmod 600` it",))
    except (OSError, UnicodeDecodeError) as failure:
        reason = getattr(failure, "strerror", None) or "is not text"
        raise ConfigError((f"{path}: the pepper cannot be read: {reason}",)) from None
    if not lines:
        raise ConfigError((f"{path}: is empty; restore it: the keys made under it do not work without",))
    return peppers_of([Secret(line) for line in lines], str(path))


def rotate_in(path: Path) -> Peppers:
    """Put a new pepper before those of a file; the oldest goes. Raises `ConfigError`."""
    old = [pepper.secret.reveal() for pepper in peppers_in(path).accepted]
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write(beside, [os.urandom(_N_FILE).hex(), *old[: N_ACCEPTED - 1]])
    beside.replace(path)
    return peppers_in(path)


def _make(path: Path, lines: Sequence[str]) -> None:
    """Make a file whole, or leave the one that another process made meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write(beside, lines)
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        pass
    finally:
        beside.unlink()


def _write(path: Path, lines: Sequence[str]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _id(secret: Secret) -> str:
    """Return an id that tells nothing of the secret: a digest of its own under it."""
    return hmac.new(_bytes(secret), b"turnout pepper id", hashlib.sha256).hexdigest()[:_N_ID]


def _bytes(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogateescape")
