"""AWS keys: where they are kept, and requests signed with them. Floor 3.

A secret of the style `sigv4` is one of: `KEY_ID:SECRET[:SESSION_TOKEN]`, a JSON object with `AccessKeyId`,
`SecretAccessKey` and perhaps `SessionToken`, `profile:NAME:PATH` (made by `secret_in`), or a Bedrock API
key, which is a bearer token. Nothing of it enters a message.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from turnout.codecs.auth import AwsKeys, Signer
from turnout.errors import ConfigError
from turnout.transport.base import Authorise
from turnout.transport.credentials import authorise_for, check_host, hosts_of
from turnout.types.deployment import Credential
from turnout.types.http import Headers, HttpRequest
from turnout.types.secret import Secret

SERVICE = "bedrock"
_PAIR = re.compile(
    r"(?P<id>[A-Z0-9]{16,128}):(?P<secret>[A-Za-z0-9/+=]{16,128})(?::(?P<token>[A-Za-z0-9/+=]+))?"
)
_PROFILE = "profile:"
_REGION = re.compile(r"[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.")


class _Json(Struct, frozen=True, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def secret_in(env: Mapping[str, str], profile: str | None) -> Secret | None:
    """Return the keys of an environment, or the profile it or the configuration names; None = neither.

    A profile is read from its file when the gateway starts, never looked for unasked.
    """
    if profile is None and env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        parts = [env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN", "")]
        return Secret(":".join(part for part in parts if part))
    name = profile or env.get("AWS_PROFILE")
    if name is None:
        return None
    path = env.get("AWS_SHARED_CREDENTIALS_FILE") or f"{env.get('HOME', '')}/.aws/credentials"
    return Secret(f"{_PROFILE}{name}:{path}")


def sign_for(
    credential: Credential,
    hosts: Iterable[str],
    *,
    region: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Authorise:
    """Return what signs requests to the given hosts; with an API key, what presents it.

    Args:
        credential: With a secret of the style `sigv4`.
        hosts: It may go to.
        region: Requests are signed for; "" = the one in the first host's name.
        now: The instant, in UTC.

    Raises:
        ConfigError: The keys cannot be read, or no region is known.
    """
    known = hosts_of(hosts)
    keys = _keys(credential)
    if keys is None:
        return authorise_for("bearer", credential, known)
    found = _REGION.search(next(iter(known), ""))
    where = region or (found[1] if found else "")
    if not where:
        raise ConfigError((f"credential {credential.name!r}: no region to sign for; set providers.…region",))
    return _Signed(credential.name, Signer(keys, region=where, service=SERVICE), known, now)


class _Signed:
    """Keys and the hosts they may sign for."""

    __slots__ = ("_hosts", "_name", "_now", "_signer")

    def __init__(self, name: str, signer: Signer, hosts: frozenset[str], now: Callable[[], datetime]) -> None:
        self._name = name
        self._signer = signer
        self._hosts = hosts
        self._now = now

    def __call__(self, request: HttpRequest) -> Headers:
        check_host(request.url, self._hosts, self._name)
        return self._signer.sign(request, self._now())

    def __repr__(self) -> str:
        return f"<keys {self._name!r} for {', '.join(sorted(self._hosts))}>"


def _keys(credential: Credential) -> AwsKeys | None:
    """Return the keys of a secret; None = it is an API key."""
    text = credential.secret.reveal() if credential.secret is not None else ""
    if text.startswith(_PROFILE):
        name, _, path = text.removeprefix(_PROFILE).partition(":")
        return _of_profile(credential.name, name, Path(path))
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text, type=_Json)
        except msgspec.MsgspecError:
            raise ConfigError(
                (f"credential {credential.name!r}: expected AccessKeyId and SecretAccessKey in the JSON",)
            ) from None
        return AwsKeys(found.access_key_id, found.secret_access_key, found.session_token)
    pair = _PAIR.fullmatch(text)
    return None if pair is None else AwsKeys(pair["id"], pair["secret"], pair["token"])


def _of_profile(credential: str, name: str, path: Path) -> AwsKeys:
    where = f"credential {credential!r}: profile {name!r} in {path}"
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError((f"{where} cannot be read: {error.strerror}",)) from None
    except (IniError, UnicodeDecodeError):
        raise ConfigError((f"{where} cannot be read: it is no INI file",)) from None
    if not parser.has_section(name):
        raise ConfigError((f"{where} does not exist",))
    row = parser[name]
    key, secret = row.get("aws_access_key_id"), row.get("aws_secret_access_key")
    if not key or not secret:
        raise ConfigError((f"{where} holds no aws_access_key_id and aws_secret_access_key",))
    return AwsKeys(key, secret, row.get("aws_session_token"))
