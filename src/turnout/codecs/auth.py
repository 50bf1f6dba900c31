"""AWS Signature Version 4, as a pure function: keys, a request and an instant in, headers out. Floor 2.

Theory of operation.

1. What is signed: method, path, query, the headers named in `_signed`, and the body's digest. Headers that
   a layer or the transport adds later are not signed, so they cannot void the signature.
2. The path is encoded twice: the URL already carries it encoded once, and every service but S3 wants the
   encoding of that.
3. The signing key holds for a day, region and service; `Signer` keeps the latest, so that a call costs four
   digests and not eight.

Source: "Signature Version 4 signing process" and its test suite, AWS General Reference, seen 2026-11.
"""

import hashlib
import hmac
from datetime import datetime
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from turnout.types.http import Headers, HttpRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED = frozenset({b"content-type"})
"""Headers of a request that are signed beside host and date."""
_SAFE = "-_.~"
_PORTS = {"http": 80, "https": 443}


class AwsKeys(Struct, frozen=True):
    """Credentials of one principal. Shows nothing of itself in messages and logs."""

    access_key: str
    secret_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(***)"


class Signer:
    """Signs requests of one principal to one service in one region."""

    __slots__ = ("_day", "_key", "_keys", "_region", "_service")

    def __init__(self, keys: AwsKeys, *, region: str, service: str) -> None:
        self._keys = keys
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""

    def __repr__(self) -> str:
        return f"<signer for {self._service} in {self._region}>"

    def sign(self, request: HttpRequest, at: datetime) -> Headers:
        """Return the headers that authorise a request.

        Args:
            request: As it will be sent.
            at: The instant, in UTC.
        """
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        headers = self._signed(request, stamp)
        names = ";".join(headers)
        canonical = _canonical(request, headers, names)
        text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical).hexdigest()))
        signature = hmac.new(self._key_of(stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
        principal = f"{self._keys.access_key}/{scope}"
        said = f"{_ALGORITHM} Credential={principal}, SignedHeaders={names}, Signature={signature}"
        made: list[tuple[bytes, bytes]] = [(b"x-amz-date", stamp.encode()), (b"authorization", said.encode())]
        if self._keys.session_token is not None:
            made.append((b"x-amz-security-token", self._keys.session_token.encode()))
        return made

    def _signed(self, request: HttpRequest, stamp: str) -> dict[str, str]:
        found = {"host": _host(request.url), "x-amz-date": stamp}
        if self._keys.session_token is not None:
            found["x-amz-security-token"] = self._keys.session_token
        for name, value in request.headers:
            if name in _SIGNED:
                found[name.decode()] = " ".join(value.decode("latin-1").split())
        return dict(sorted(found.items()))

    def _key_of(self, day: str) -> bytes:
        if day != self._day:
            key = b"AWS4" + self._keys.secret_key.encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._day, self._key = day, key
        return self._key


def _canonical(request: HttpRequest, headers: dict[str, str], names: str) -> bytes:
    parts = urlsplit(request.url)
    path = quote(parts.path or "/", safe="/" + _SAFE)
    lines = [request.method, path, _query(parts.query)]
    lines += [f"{name}:{value}" for name, value in headers.items()]
    lines += ["", names, hashlib.sha256(request.body).hexdigest()]
    return "\n".join(lines).encode()


def _query(query: str) -> str:
    pairs = [each.partition("=") for each in query.split("&") if each]
    coded = [
        (quote(unquote(name), safe=_SAFE), quote(unquote(value), safe=_SAFE)) for name, _, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(coded))


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in {None, _PORTS.get(parts.scheme)} else f"{host}:{parts.port}"
