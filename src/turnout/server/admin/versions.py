"""Versions of the configuration: proposed, compared, applied, rolled back. Floor 6.

Theory of operation.

1. The file is the base. A version is a set of whole sections that lie over it; the latest applied one is in
   force. Sections that name addresses, secrets, paths or keys are not among them: they stay in the file,
   because who may change routing must not be able to send a provider's key elsewhere (S-02, S-04, S-10).
2. Versions are documents of the desk and never change. One more document, `in-force`, says which is applied,
   which were before, and how many there are; it is what two people at once conflict on.
3. Applying compiles the whole first (`Built.prepare`), then writes, then swaps: what cannot be used is never
   in force, and what is in force is on record (S-104). Other processes follow the desk.
4. Rolling back applies what was in force before; before the first version that is the file alone.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from turnout.config import Config, to_builtins
from turnout.config.faults import explained
from turnout.config.read import convert
from turnout.config.shape import ModelConfig
from turnout.errors import ConfigError, Conflict, Forbidden, NotFound
from turnout.govern.office import Office, encode
from turnout.govern.rules import Actor
from turnout.stores.desk.base import Change, Desk, Document
from turnout.types.account import Act
from turnout.types.json import Json, JsonObject

SECTIONS: Final = (
    *("models", "routes", "aliases", "default_route", "surfaces", "timeouts", "max_retries", "retry"),
    *("retry_budget", "breaker", "health", "budgets", "quotas"),
)
"""What a version may hold."""
IN_FORCE: Final = "in-force"
MOST_BEFORE: Final = 100
"""Versions that can be rolled back through."""
_FROM_FILE: Final = frozenset(("secret", "base_url", "artifact", "file", "previous", "headers"))
"""Keys whose values are addresses, secrets or paths: only those that stand in the file may stand here."""
_ID: Final = re.compile(r"v\d{6}")


class Version(Struct, frozen=True, kw_only=True):
    """Sections that were proposed to lie over the file."""

    id: str
    sections: dict[str, Json]
    author: str
    at: str
    reason: str = ""


class InForce(Struct, frozen=True, kw_only=True):
    """Which version lies over the file."""

    current: str | None = None
    """None = the file alone."""
    before: tuple[str | None, ...] = ()
    """What was in force before, latest last."""
    n: int = 0
    """Versions ever proposed."""


class Difference(Struct, frozen=True, kw_only=True):
    """One place where two configurations differ; secrets are `***` in both."""

    path: str
    before: Json = None
    after: Json = None


NOTHING: Final = InForce()
_version: Final = msgspec.json.Decoder(Version).decode
_in_force: Final = msgspec.json.Decoder(InForce).decode


def laid_over(base: Config, sections: JsonObject) -> Config:
    """Return the file's configuration with sections of a version in place of its own.

    Raises:
        Forbidden: A section is not one that a version may hold, or a value may only stand in the file.
        ConfigError: They cannot be read, with one line per problem.
    """
    for name in sections:
        if name not in SECTIONS:
            raise Forbidden(
                f"{name[:64]}: not a section that is changed here; expected {', '.join(SECTIONS)}",
                param=name[:64],
            )
    _only_from_file(sections, _standing(to_builtins(base)), "")
    try:
        part = convert(sections)
    except msgspec.ValidationError as error:
        raise ConfigError((explained(sections, str(error), convert),)) from None
    changes: dict[str, object] = {name: getattr(part, name) for name in sections}
    if "models" in sections:
        changes["models"] = tuple(_kept(each, base) for each in part.models)
    return msgspec.structs.replace(base, **changes)


def _kept(model: str | ModelConfig, base: Config) -> str | ModelConfig:
    """Return a model with the address and the credential that the file gives it."""
    if isinstance(model, str):
        return model
    for each in base.models:
        if isinstance(each, ModelConfig) and (each.id, each.model) == (model.id, model.model):
            return msgspec.structs.replace(model, base_url=each.base_url, secret=each.secret)
    return model


def _standing(tree: Json) -> set[tuple[str, str]]:
    """Return what stands in the file under keys that only the file may give."""
    found: set[tuple[str, str]] = set()
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in _FROM_FILE and isinstance(value, str) and key not in ("secret", "base_url"):
                found.add((key, value))
            found |= _standing(value)
    elif isinstance(tree, list | tuple):
        for each in tree:
            found |= _standing(each)
    return found


def _only_from_file(tree: Json, standing: set[tuple[str, str]], path: str) -> None:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            at = f"{path}.{key}".lstrip(".")
            if key in _FROM_FILE and value is not None and (key, value) not in standing:
                raise Forbidden(f"{at}: addresses, secrets and paths are given in the file", param=at[:128])
            _only_from_file(value, standing, at)
    elif isinstance(tree, list | tuple):
        for n, each in enumerate(tree):
            _only_from_file(each, standing, f"{path}[{n}]")
    elif isinstance(tree, str) and "${" in tree:
        raise Forbidden(f"{path}: references to the environment are made in the file", param=path[:128])


def differences(before: Config, after: Config) -> tuple[Difference, ...]:
    """Return where two configurations differ, in the order of their paths."""
    found: list[Difference] = []
    _compare(to_builtins(before), to_builtins(after), "", found)
    return tuple(found)


def _compare(before: Json, after: Json, path: str, found: list[Difference]) -> None:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            _compare(before.get(key), after.get(key), f"{path}.{key}".lstrip("."), found)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        for n in range(max(len(before), len(after))):
            pair = [tree[n] if n < len(tree) else None for tree in (before, after)]
            _compare(pair[0], pair[1], f"{path}[{n}]", found)
    else:
        found.append(Difference(path=path, before=before, after=after))


async def read_in_force(desk: Desk) -> tuple[InForce, int]:
    """Return what is in force, and the version of the document that says so."""
    document = await desk.get("config", IN_FORCE)
    return (NOTHING, 0) if document is None else (_in_force(document.body), document.version)


async def read_version(desk: Desk, name: str) -> Version:
    """Return a version. Raises `NotFound`."""
    document = await desk.get("config", name) if _ID.fullmatch(name) else None
    if document is None:
        raise NotFound(f"there is no version {name[:64]!r} of the configuration")
    return _version(document.body)


async def sections_in_force(desk: Desk) -> tuple[str | None, JsonObject]:
    """Return the id and the sections of the version in force; none = the file alone."""
    now, _ = await read_in_force(desk)
    if now.current is None:
        return None, {}
    return now.current, (await read_version(desk, now.current)).sections


async def propose(office: Office, actor: Actor, sections: JsonObject, reason: str) -> Version:
    """Keep sections as a new version; nothing comes into force. Raises `Conflict`."""
    now, seen = await read_in_force(office.desk)
    version = Version(
        id=f"v{now.n + 1:06d}",
        sections=dict(sections),
        author=actor.id,
        at=office.now().isoformat(),
        reason=reason,
    )
    new = Document(kind="config", id=version.id, body=encode(version))
    counted = _pointer(msgspec.structs.replace(now, n=now.n + 1), seen)
    act = office.act(actor, "config.propose", new, facts={"sections": sorted(sections)})
    await office.write([Change(document=new), Change(document=counted)], _because(act, reason))
    return version


class Why(Struct, frozen=True):
    """What is put on record of a change of what is in force."""

    digest: str
    """Of the configuration that comes into force; the caller has compiled it."""
    reason: str = ""


async def put_in_force(office: Office, actor: Actor, name: str, why: Why) -> InForce:
    """Note that a version is in force from now on.

    Raises:
        Conflict: It is in force already, or somebody else changed what is meanwhile.
    """
    now, seen = await read_in_force(office.desk)
    if now.current == name:
        raise Conflict(f"{name} is in force already")
    after = msgspec.structs.replace(now, current=name, before=(*now.before, now.current)[-MOST_BEFORE:])
    await _moved(office, actor, "config.apply", _pointer(after, seen), why)
    return after


async def previous(desk: Desk) -> str | None:
    """Return what was in force before; None = the file alone. Raises `Conflict` where nothing was."""
    now, _ = await read_in_force(desk)
    if not now.before:
        raise Conflict("no version was ever applied: there is nothing to go back to")
    return now.before[-1]


async def put_back(office: Office, actor: Actor, why: Why) -> InForce:
    """Note that what was in force before is so again."""
    now, seen = await read_in_force(office.desk)
    after = msgspec.structs.replace(now, current=await previous(office.desk), before=now.before[:-1])
    await _moved(office, actor, "config.rollback", _pointer(after, seen), why)
    return after


async def _moved(office: Office, actor: Actor, action: str, document: Document, why: Why) -> None:
    facts: dict[str, Json] = {"version": _in_force(document.body).current, "config_digest": why.digest}
    act = office.act(actor, action, document, facts=facts)
    await office.write([Change(document=document)], _because(act, why.reason))


def _because(act: Act, reason: str) -> Act:
    return msgspec.structs.replace(act, reason=reason)


def _pointer(now: InForce, seen: int) -> Document:
    return Document(kind="config", id=IN_FORCE, body=encode(now), version=seen)


async def versions(desk: Desk, after: str, limit: int) -> tuple[Version, ...]:
    """Return versions in the order in which they were proposed."""
    found = await desk.list("config", after=max(after, IN_FORCE), limit=limit)
    return tuple(_version(each.body) for each in found)
