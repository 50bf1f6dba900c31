"""Credentials of providers, encrypted at rest. Floor 5.

Theory of operation.

1. Each credential is encrypted with AES-256-GCM under a data key of its own; the data key is encrypted under
   the master key and kept beside it, with the master's id (S-61). The master comes from the configuration,
   never from the database.
2. Both encryptions are bound to the organisation and the id of the record: one moved to another record does
   not open.
3. A rotation gives every data key another wrapping; the credentials themselves are not decrypted. The two
   newest masters are read, so that gateways go on while it is done (S-112).
4. `cryptography` is imported here only, when something is sealed or opened: the extra `vault`.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from msgspec import Struct

from turnout.config import Config, DeskConfig, ProviderConfig
from turnout.errors import ConfigError, InvalidRequest
from turnout.govern.office import Office, encode
from turnout.govern.records import new_id
from turnout.govern.rules import Actor
from turnout.stores.desk.base import Change, Document
from turnout.types.account import Id
from turnout.types.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

N_NONCE: Final = 12
N_KEY: Final = 32
_N_ID: Final = 12
_N_LAST: Final = 4
_MIN_SHOWN: Final = 16
"""Characters from which on the last four are shown: of a short one they would be too much."""


Lent: TypeAlias = Mapping[str, tuple[Secret, ...]]
"""Name of a provider -> credentials beside those configured."""


class Sealed(Struct, frozen=True, kw_only=True):
    """An encrypted text; bytes in base 64."""

    master_id: str
    wrapped: str
    """The data key under the master: nonce and ciphertext."""
    data: str
    """The text under the data key: nonce and ciphertext."""


class Stored(Struct, frozen=True, kw_only=True):
    """A credential at the desk."""

    id: Id
    provider: str
    """Name of a provider of the configuration."""
    name: str = ""
    last_four: str = ""
    created: datetime
    disabled: bool = False
    sealed: Sealed


class Masters(Struct, frozen=True):
    """The accepted master keys, newest first."""

    accepted: tuple[Secret, ...]

    @property
    def newest_id(self) -> str:
        """Id of the one that new wrappings are made under."""
        return _id(self.accepted[0])

    def key(self, master_id: str) -> bytes:
        """Return the key of an accepted master. Raises `ConfigError`."""
        for secret in self.accepted:
            if _id(secret) == master_id:
                return _derived(secret, "key")
        raise ConfigError((f"desk.master_key: a credential needs the master key {master_id}; give it too",))


def masters_of(row: DeskConfig) -> Masters:
    """Return the master keys of a desk. Raises `ConfigError` when there are none."""
    found = tuple(each for each in (row.master_key, row.previous_master_key) if each is not None)
    if row.master_key is None:
        raise ConfigError(("desk.master_key: is missing; credentials are stored under one",))
    return Masters(found)


def seal(masters: Masters, text: Secret, about: str, random: bytes) -> Sealed:
    """Encrypt a text.

    Args:
        masters: The newest wraps the data key.
        text: What to keep.
        about: What it is bound to: organisation and record.
        random: 56 bytes: data key and two nonces.
    """
    key, nonces = random[:N_KEY], (random[N_KEY : N_KEY + N_NONCE], random[N_KEY + N_NONCE :])
    if len(nonces[1]) != N_NONCE:
        raise ValueError("a data key and two nonces are 56 random bytes")
    master_id = masters.newest_id
    wrapped = nonces[0] + _cipher(masters.key(master_id)).encrypt(nonces[0], key, about.encode())
    data = nonces[1] + _cipher(key).encrypt(nonces[1], text.reveal().encode(), about.encode())
    return Sealed(master_id=master_id, wrapped=_text(wrapped), data=_text(data))


def unseal(masters: Masters, sealed: Sealed, about: str) -> Secret:
    """Decrypt a text. Raises `ConfigError` when it was changed, moved, or needs another master key."""
    return Secret(_opened(_data_key(masters, sealed, about), sealed.data, about).decode())


def rewrap(masters: Masters, sealed: Sealed, about: str, nonce: bytes) -> Sealed:
    """Return the same with its data key under the newest master."""
    key = _data_key(masters, sealed, about)
    master_id = masters.newest_id
    wrapped = nonce + _cipher(masters.key(master_id)).encrypt(nonce, key, about.encode())
    return msgspec.structs.replace(sealed, master_id=master_id, wrapped=_text(wrapped))


async def store(
    office: Office, actor: Actor, masters: Masters, provider: str, secret: Secret, *, name: str = ""
) -> Document:
    """Keep a credential of the installation. It is never shown again.

    Raises:
        Forbidden: The actor may not, or is of one organisation: its credentials would serve all others too.
    """
    action = "credential.create"
    await office.may_write(actor, "credential", action)
    if actor.organisation is not None:
        await office.deny(actor, action, "credential/", "credentials are of the installation")
    text = secret.reveal()
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise InvalidRequest("secret: expected printable ASCII", param="secret")
    id_ = new_id(office, "credential")
    stored = Stored(
        id=id_,
        provider=provider,
        name=name,
        last_four=text[-_N_LAST:] if len(text) >= _MIN_SHOWN else "",
        created=office.now(),
        sealed=seal(masters, secret, _about(id_), office.random(N_KEY + 2 * N_NONCE)),
    )
    document = Document(kind="credential", id=id_, body=encode(stored))
    act = office.act(actor, action, document, facts={"provider": provider})
    (written,) = await office.write([Change(document=document)], act)
    return written


async def rewrap_all(office: Office, actor: Actor, masters: Masters) -> int:
    """Put every credential under the newest master; return how many were not."""
    action = "credential.rewrap"
    await office.may_write(actor, "credential", action)
    n_done, after = 0, ""
    while rows := await office.desk.list("credential", after=after):
        for row in rows:
            stored = read_stored(row)
            if stored.sealed.master_id != masters.newest_id:
                sealed = rewrap(masters, stored.sealed, _about(row.id), office.random(N_NONCE))
                new = msgspec.structs.replace(
                    row, body=encode(msgspec.structs.replace(stored, sealed=sealed))
                )
                await office.write([Change(document=new)], office.act(actor, action, new, row))
                n_done += 1
        after = rows[-1].id
    return n_done


def secrets_in(masters: Masters, documents: Sequence[Document]) -> Lent:
    """Return the credentials in service by provider, decrypted. Raises `ConfigError`."""
    found: dict[str, tuple[Secret, ...]] = {}
    for document in documents:
        stored = read_stored(document)
        if not stored.disabled:
            secret = unseal(masters, stored.sealed, _about(stored.id))
            found[stored.provider] = (*found.get(stored.provider, ()), secret)
    return found


def lending(config: Config, lent: Lent) -> Config:
    """Return a configuration whose providers have stored credentials too, after their own."""
    if not lent:
        return config
    providers = dict(config.providers)
    for name, secrets in lent.items():
        row = providers.get(name, ProviderConfig())
        providers[name] = msgspec.structs.replace(row, secrets=(*row.secrets, *secrets))
    return msgspec.structs.replace(config, providers=providers)


def read_stored(document: Document) -> Stored:
    """Return a credential's document as what it holds."""
    return msgspec.json.decode(document.body, type=Stored)


def _about(id_: str) -> str:
    """Return what a record is bound to: organisation (none: of the installation) and id."""
    return f"\n{id_}"


def _data_key(masters: Masters, sealed: Sealed, about: str) -> bytes:
    return _opened(masters.key(sealed.master_id), sealed.wrapped, about)


def _opened(key: bytes, text: str, about: str) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  an extra

    raw = base64.b64decode(text)
    try:
        return _cipher(key).decrypt(raw[:N_NONCE], raw[N_NONCE:], about.encode())
    except InvalidTag:
        record = about.strip()
        raise ConfigError((f"desk: {record} does not open: it was changed or belongs elsewhere",)) from None


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  an extra
    except ImportError:
        problem = "desk.master_key: stored credentials need `cryptography`: pip install 'turnout[vault]'"
        raise ConfigError((problem,)) from None
    return AESGCM(key)


def _derived(secret: Secret, purpose: str) -> bytes:
    return hmac.new(secret.reveal().encode(), f"turnout master {purpose}".encode(), hashlib.sha256).digest()


def _id(secret: Secret) -> str:
    return _derived(secret, "id").hex()[:_N_ID]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
