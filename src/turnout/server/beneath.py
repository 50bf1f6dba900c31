"""Paths that every reader takes for the same, and secrets that are not repeated. Floor 6."""

import re

from turnout.errors import NotFound

_SEGMENT = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_ESCAPED = re.compile(rb"%(?:2[EFef]|5[Cc]|25|7[Ff]|[01][0-9A-Fa-f])")
_VERSION = re.compile(r"v\d\w*")


class Masked:
    """Puts `***` where a secret stands in bytes that pass, also across their pieces."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, return those that can go on."""
        data = self._held + data
        self._held = b""
        n_held = 0
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        for secret in self._secrets:
            tail = min(len(secret) - 1, len(data))
            n_held = max(n_held, next((n for n in range(tail, 0, -1) if secret.startswith(data[-n:])), 0))
        if n_held:
            self._held = data[-n_held:]
            data = data[:-n_held]
        return data

    def end(self) -> bytes:
        """Return what was held back."""
        return self._held


def beneath(raw_path: bytes, name: str, base: str) -> str:
    """Return the path beneath a provider's address. Raises `NotFound` for one that could be read in two ways.

    Args:
        raw_path: As the client sent it.
        name: The provider's name, its first segment.
        base: The provider's address; where it ends in a version that the path begins with, once is enough.
    """
    start = b"/" + name.encode() + b"/"
    segments = raw_path[len(start) :].split(b"/")
    wrong = not raw_path.startswith(start) or not segments
    for at, segment in enumerate(segments):
        last_empty = not segment and at == len(segments) - 1 and at > 0
        if last_empty:
            continue
        if _SEGMENT.fullmatch(segment) is None or segment in (b".", b"..") or _ESCAPED.search(segment):
            wrong = True
    if wrong:
        raise NotFound("the path is not one that is let through")
    path = b"/".join(segments).decode("ascii")
    version = base.rpartition("/")[2]
    if _VERSION.fullmatch(version) and path.startswith(f"{version}/"):
        path = path[len(version) + 1 :]
    if not path:
        raise NotFound("the path is not one that is let through")
    return path
