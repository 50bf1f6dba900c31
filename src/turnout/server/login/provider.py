"""An OpenID Connect provider: found, asked, and its tokens verified. Floor 6. Extra: `oidc`.

Theory of operation.

1. Everything is fetched through the guarded transport of SECURITY.md section 5, which may dial the issuer's
   origin and those of `admin.oidc.hosts`, and nothing else: what a discovery document names elsewhere is not
   asked, and the client's secret goes nowhere else.
2. The document is read again after `FRESH_S`. Keys are read once, and again when a token names one that is
   not known or its signature does not hold, at most `MOST_FETCHES` times a minute: a provider may change its
   keys at any time, and nobody can have us ask it all day.
3. Only asymmetric signatures on a closed list are verified, with keys of the provider alone; `none` and
   signatures under the client's secret are not on it.
4. What fails is told in our own words; what the provider says of it goes to nobody but the log, and there
   without codes, tokens and secrets.
"""

import asyncio
import logging
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from turnout.config import Config
from turnout.config.oidc import OidcConfig
from turnout.errors import ConfigError, ProviderFailed, ProviderUnreachable, TurnoutError, Unauthenticated
from turnout.parts import open_transport
from turnout.server.login.claims import ClaimError, check
from turnout.server.login.pending import Pending
from turnout.transport.base import Transport
from turnout.transport.guard import PORTS, Egress, egress_for
from turnout.types.http import Headers, HttpRequest, Timeouts
from turnout.types.json import Json

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

log = logging.getLogger("turnout.login")

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
FRESH_S: Final = 3600.0
MOST_FETCHES: Final = 5
WINDOW_S: Final = 60.0
_MOST_BODY: Final = 256 * 1024
_TIMEOUTS: Final = Timeouts(connect_s=5, first_byte_s=10, idle_s=10, total_s=15)
_JSON: Final[Headers] = ((b"accept", b"application/json"),)
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_SERVER_ERROR: Final = 500


class _Document(Struct, frozen=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Granted(Struct, frozen=True):
    id_token: str


class _Refused(Struct, frozen=True):
    error: str = ""


class Provider:
    """One provider of a configuration.

    Args:
        config: Whom to trust, and who we are.
        transport: How it is asked.
        clock: Monotonic seconds.
    """

    def __init__(
        self, config: OidcConfig, transport: Transport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self._transport = transport
        self._clock = clock
        self._origins = {_origin(url) for url in (config.issuer, *config.hosts)}
        self._document: _Document | None = None
        self._read_at = 0.0
        self._keys: KeySet | None = None
        self._fetches: deque[float] = deque(maxlen=MOST_FETCHES)
        self._lock = asyncio.Lock()

    async def address(self, pending: Pending) -> str:
        """Return where a browser is sent to sign in. Raises `ProviderUnreachable`, `ProviderFailed`."""
        document = await self._found()
        query = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": self.config.redirect_url,
            "scope": " ".join(self.config.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.challenge,
            "code_challenge_method": "S256",
        }
        where = document.authorization_endpoint
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(query)}"

    async def farewell(self) -> str | None:
        """Return where a browser can be signed out at the provider too; None = it has no such place."""
        try:
            where = (await self._found()).end_session_endpoint
        except TurnoutError:
            return None
        if where is None or _origin(where) not in self._origins:
            return None
        return (
            f"{where}{'&' if urlsplit(where).query else '?'}{urlencode({'client_id': self.config.client_id})}"
        )

    async def claims(self, code: str, pending: Pending, now: float) -> Mapping[str, Json]:
        """Exchange a code for who signed in.

        Args:
            code: What the browser brought.
            pending: The sign-in it belongs to.
            now: Unix seconds.

        Raises:
            Unauthenticated: The provider does not take the code, or the token is not one for this sign-in.
            ProviderUnreachable, ProviderFailed: It could not be asked, or answered nothing of use.
        """
        token = await self._exchanged(code, pending)
        claims = await self._verified(token)
        try:
            check(claims, self.config, pending.nonce, now)
        except ClaimError as error:
            log.warning("a sign-in was refused: %s", error)
            raise Unauthenticated("the provider's answer is not one for this sign-in; begin again") from None
        return claims

    async def _exchanged(self, code: str, pending: Pending) -> str:
        document, config = await self._found(), self.config
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": config.redirect_url,
            "client_id": config.client_id,
            "code_verifier": pending.verifier,
        }
        headers: list[tuple[bytes, bytes]] = [_FORM, *_JSON]
        if config.client_secret is not None:
            secret = config.client_secret.reveal()
            if "client_secret_basic" in document.token_endpoint_auth_methods_supported:
                pair = f"{quote(config.client_id, safe='')}:{quote(secret, safe='')}".encode()
                headers.append((b"authorization", b"Basic " + b64encode(pair)))
            else:
                form["client_secret"] = secret
        request = HttpRequest("POST", document.token_endpoint, tuple(headers), urlencode(form).encode())
        status, body = await self._ask(request)
        if status != 200:
            word = _word(body)
            log.warning("the provider refused a code with status %d %s", status, word)
            if word in ("invalid_client", "unauthorized_client"):
                raise ProviderFailed("the provider does not know this gateway; its log says more")
            if status >= _SERVER_ERROR:
                raise ProviderFailed("the provider failed; try again later")
            raise Unauthenticated("the provider does not take this sign-in any more; begin again")
        try:
            return msgspec.json.decode(body, type=_Granted).id_token
        except msgspec.MsgspecError:
            raise ProviderFailed("the provider answered no id token; is `openid` among its scopes?") from None

    async def _verified(self, token: str) -> Mapping[str, Json]:
        """Return the claims of a token whose signature holds."""
        from joserfc.errors import JoseError  # noqa: PLC0415  an extra

        for fresh in (False, True):
            keys = await self._known_keys(fresh=fresh)
            if keys is None:
                break
            try:
                return _opened(token, keys)
            except (JoseError, ValueError) as error:
                log.warning("an id token does not verify: %s", type(error).__name__)
        raise Unauthenticated("the provider's answer cannot be verified; begin again")

    async def _known_keys(self, *, fresh: bool) -> "KeySet | None":
        """Return the provider's keys; None = they were asked for often enough in the last minute."""
        async with self._lock:
            if self._keys is not None and not fresh:
                return self._keys
            now = self._clock()
            if len(self._fetches) == MOST_FETCHES and now - self._fetches[0] < WINDOW_S:
                return None
            self._fetches.append(now)
            document = await self._fetched_document()
            self._keys = _read_keys(await self._get(document.jwks_uri))
            return self._keys

    async def _found(self) -> _Document:
        async with self._lock:
            return await self._fetched_document()

    async def _fetched_document(self) -> _Document:
        now = self._clock()
        if self._document is not None and now - self._read_at < FRESH_S:
            return self._document
        body = await self._get(self.config.issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            document = msgspec.json.decode(body, type=_Document)
        except msgspec.MsgspecError:
            raise ProviderFailed("the provider does not describe itself as OpenID Connect asks") from None
        if document.issuer != self.config.issuer:
            log.error("admin.oidc.issuer is %s, but that provider calls itself otherwise", self.config.issuer)
            raise ProviderFailed("the provider calls itself by another name than admin.oidc.issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            origin = _origin(getattr(document, name))
            if origin not in self._origins:
                log.error("%s is at %s, which is not among admin.oidc.hosts", name, origin)
                raise ProviderFailed(f"{name} is elsewhere than the issuer; add it to admin.oidc.hosts")
        self._document, self._read_at = document, now
        return document

    async def _get(self, url: str) -> bytes:
        status, body = await self._ask(HttpRequest("GET", url, _JSON))
        if status != 200:
            log.warning("the provider answers %d at %s", status, urlsplit(url).path)
            raise ProviderFailed("the provider failed; try again later")
        return body

    async def _ask(self, request: HttpRequest) -> tuple[int, bytes]:
        try:
            response = await self._transport.send(request, _TIMEOUTS)
            try:
                body = b""
                while piece := await response.chunk():
                    body += piece
                    if len(body) > _MOST_BODY:
                        raise ProviderFailed("the provider's answer is too long")
            finally:
                response.close()
        except ProviderFailed:
            raise
        except TurnoutError as error:
            log.warning("the provider cannot be asked: %s: %s", error.row.word, error.message)
            raise ProviderUnreachable("the provider cannot be reached; try again later") from None
        return response.status, body


def open_provider(config: Config, oidc: OidcConfig) -> tuple[Provider, Transport]:
    """Return a provider with the transport that it alone uses. Raises `ConfigError`."""
    try:
        import joserfc  # noqa: F401, PLC0415  an extra
    except ModuleNotFoundError as error:
        problem = f'admin.oidc: needs {error.name}: pip install "turnout[oidc]"'
        raise ConfigError((problem,)) from None
    transport = open_transport(config, _egress(config, oidc))
    return Provider(oidc, transport), transport


def _egress(config: Config, oidc: OidcConfig) -> Egress:
    return egress_for(
        [oidc.issuer, *oidc.hosts], allow_cidrs=config.egress.allow_cidrs, allow_http=config.egress.allow_http
    )


def _opened(token: str, keys: "KeySet") -> Mapping[str, Json]:
    from joserfc import jws, jwt  # noqa: PLC0415  an extra

    registry = jws.JWSRegistry(algorithms=list(ALGORITHMS))
    found: Mapping[str, Json] = jwt.decode(token, keys, registry=registry).claims
    return found


def _read_keys(body: bytes) -> "KeySet":
    from joserfc.errors import JoseError  # noqa: PLC0415  an extra
    from joserfc.jwk import KeySet  # noqa: PLC0415

    try:
        tree = msgspec.json.decode(body, type=dict[str, list[dict[str, Json]]])
        rows = [
            row for row in tree["keys"] if row.get("kty") in ("RSA", "EC", "OKP") and row.get("use") != "enc"
        ]
        return KeySet.import_key_set({"keys": rows})  # type: ignore[typeddict-item]  # it checks them itself
    except (msgspec.MsgspecError, KeyError, ValueError, JoseError):
        raise ProviderFailed("the provider's keys cannot be read") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None


def _word(body: bytes) -> str:
    """Return the closed word of a refusal (RFC 6749, section 5.2); what else stands there is not told."""
    try:
        word = msgspec.json.decode(body, type=_Refused).error
    except msgspec.MsgspecError:
        return ""
    return word if word.isascii() and word.replace("_", "").isalpha() and len(word) <= 64 else ""
