"""Access tokens of a Google service account, fetched before they are needed. Floor 3. Extra: `vertex`.

Theory of operation.

1. A credential is the JSON of a service account, which signs an assertion (RS256), or of a user's own
   login, which holds a refresh token. Either is exchanged at the token endpoint it names, through the
   guarded transport: the endpoint is among the allowed destinations, the token goes to the provider's hosts
   and no other.
2. A token is kept until `_MARGIN_S` before its end. Then the next call fetches another; those beside it go
   on with the one at hand while it is good, and wait for the same fetch when it is not: one fetch at a
   time, whoever asks.
3. A fetch that fails while the old token is good is forgotten; the next call tries again.
4. Nothing of a key, an assertion or a token enters a message or a `repr`.

Source: "Using OAuth 2.0 for server to server applications", Google Identity, seen 2026-11; RFC 7523.
"""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError, ProviderAuth, ProviderFailed, TurnoutError
from turnout.transport.base import Transport
from turnout.transport.credentials import check_host, hosts_of
from turnout.types.deployment import Credential
from turnout.types.http import Headers, HttpRequest, Timeouts
from turnout.types.json import JsonObject

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE_S = 3600
"""Longest life of an assertion."""
_MARGIN_S = 300.0
_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_TIMEOUTS = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=30)

Sign = Callable[[bytes], bytes]


class _Account(Struct, frozen=True, tag_field="type", tag="service_account"):
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = _TOKEN_URI


class _User(Struct, frozen=True, tag_field="type", tag="authorized_user"):
    client_id: str
    client_secret: str
    refresh_token: str
    token_uri: str = _TOKEN_URI


class _Granted(Struct, frozen=True):
    access_token: str
    expires_in: float = _LIFE_S


_read_login = msgspec.json.Decoder(_Account | _User).decode
_read_granted = msgspec.json.Decoder(_Granted).decode
_write = msgspec.json.Encoder().encode


def token_endpoint(credential: Credential) -> str:
    """Return the address tokens are fetched at. Raises `ConfigError` for a credential that cannot be read."""
    return _login(credential).token_uri


class GoogleTokens:
    """One login, its token, and the hosts the token may go to."""

    __slots__ = ("_clock", "_good_until", "_headers", "_hosts", "_lock", "_login", "_name", "_sign")

    def __init__(
        self, credential: Credential, hosts: Iterable[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        """Read a login.

        Args:
            credential: The JSON itself, or the path of its file.
            hosts: The token may go to.
            clock: Unix seconds.

        Raises:
            ConfigError: The login or its key cannot be read, or the extra is missing.
        """
        self._name = credential.name
        self._login = _login(credential)
        self._sign = (
            _signer(self._login.private_key, self._name) if isinstance(self._login, _Account) else None
        )
        self._hosts = hosts_of(hosts)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._headers: Headers = ()
        self._good_until = 0.0

    def __call__(self, request: HttpRequest) -> Headers:
        """Return the token as headers. Raises `Forbidden` for another host."""
        check_host(request.url, self._hosts, self._name)
        return self._headers

    def __repr__(self) -> str:
        return f"<tokens {self._name!r} for {', '.join(sorted(self._hosts))}>"

    async def prepare(self, transport: Transport) -> None:
        """Have a token at hand that is good for a while.

        Raises `ProviderAuth` when it is refused, `ProviderFailed` when the endpoint failed, and what
        `Transport.send` raises.
        """
        left = self._good_until - self._clock()
        if left > _MARGIN_S or (left > 0 and self._lock.locked()):
            return
        async with self._lock:
            left = self._good_until - self._clock()
            if left > _MARGIN_S:
                return
            try:
                await self._fetch(transport)
            except TurnoutError:
                if left <= 0:
                    raise

    async def _fetch(self, transport: Transport) -> None:
        body = urlencode(self._claim()).encode()
        response = await transport.send(
            HttpRequest("POST", self._login.token_uri, (_FORM,), body), _TIMEOUTS, None
        )
        try:
            said = await response.read()
        finally:
            response.close()
        if response.status >= 500:
            raise ProviderFailed(f"the token endpoint of {self._name!r} failed with status {response.status}")
        if response.status != 200:
            raise ProviderAuth(f"the token endpoint refused {self._name!r} with status {response.status}")
        try:
            granted = _read_granted(said)
            value = b"Bearer " + granted.access_token.encode("ascii")
        except (msgspec.MsgspecError, UnicodeError):
            raise ProviderFailed(f"the token endpoint of {self._name!r} answered no token") from None
        self._headers = ((b"authorization", value),)
        self._good_until = self._clock() + granted.expires_in

    def _claim(self) -> dict[str, str]:
        login = self._login
        if isinstance(login, _User):
            return {
                "grant_type": "refresh_token",
                "client_id": login.client_id,
                "client_secret": login.client_secret,
                "refresh_token": login.refresh_token,
            }
        now = int(self._clock())
        head: dict[str, str] = {"alg": "RS256", "typ": "JWT"}
        if login.private_key_id:
            head["kid"] = login.private_key_id
        claims: JsonObject = {
            "iss": login.client_email,
            "scope": SCOPE,
            "aud": login.token_uri,
            "iat": now,
            "exp": now + _LIFE_S,
        }
        text = _part(_write(head)) + b"." + _part(_write(claims))
        assert self._sign is not None
        return {"grant_type": _JWT_BEARER, "assertion": (text + b"." + _part(self._sign(text))).decode()}


def _login(credential: Credential) -> _Account | _User:
    text = credential.secret.reveal().strip() if credential.secret is not None else ""
    where = f"credential {credential.name!r}"
    if text and not text.startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError):
            raise ConfigError(
                (f"{where}: expected the JSON of a service account, or the path of its file",)
            ) from None
    try:
        found: _Account | _User = _read_login(text)
    except msgspec.MsgspecError:
        # The complaint of the parser could quote the key.
        raise ConfigError(
            (f"{where}: expected a login of type service_account or authorized_user with all its members",)
        ) from None
    return found


def _signer(key: str, name: str) -> Sign:
    try:
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  an extra
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    except ModuleNotFoundError:
        problem = (
            f"credential {name!r}: service accounts need the extra `vertex`: pip install 'turnout[vertex]'"
        )
        raise ConfigError((problem,)) from None
    try:
        loaded = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        raise ConfigError((f"credential {name!r}: its private_key is no PEM key",)) from None
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise ConfigError((f"credential {name!r}: its private_key is no RSA key",))
    return lambda data: loaded.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _part(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
