"""Endpoints of the configuration: look, validate, propose, compare, apply, roll back. Floor 6."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.strict import convert
from turnout.config import to_builtins
from turnout.errors import ConfigError, Forbidden
from turnout.server.admin import versions
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, page
from turnout.server.admin.overlay import Overlay
from turnout.types.json import Json, JsonObject

_Reason = Annotated[str, Meta(max_length=500)]


class Proposal(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sections to lie over the file."""

    sections: dict[str, Json]
    """Each replaces the file's as a whole."""
    reason: _Reason = ""


class Because(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why something is done; it is put on record."""

    reason: _Reason = ""


class Verdict(Struct, kw_only=True):
    """What compiling a proposal said."""

    valid: bool
    problems: tuple[str, ...] = ()
    digest: str | None = None
    """Of the configuration it would make."""
    object: str = "config.verdict"


class Applied(Struct, kw_only=True):
    """What is in force."""

    version: str | None
    """None = the file alone."""
    config_version: int
    """Number of this process's compiled configuration."""
    config_digest: str
    object: str = "config.applied"


class _Kept:
    """What lies over a process's file, looked at and proposed."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    async def read(self, call: Call) -> Given:
        """Show what is in force."""
        now, _ = await versions.read_in_force(call.office.desk)
        tree: dict[str, Json] = {"object": "config", "source": self._overlay.base.admin.config}
        tree |= {
            "version": self._overlay.version,
            "applied": now.current,
            "sections": list(versions.SECTIONS),
        }
        config = to_builtins(call.built.config)
        return Given(body={**tree, "config_digest": call.built.engine.snapshot.digest, "config": config})

    async def validate(self, call: Call) -> Given:
        """Compile sections, and say what is wrong with them."""
        sections = convert(call.fields, Proposal).sections
        return Given(body=msgspec.to_builtins(_verdict(call, self._overlay, sections)))

    async def propose(self, call: Call) -> Given:
        """Keep sections as a version."""
        wish = convert(call.fields, Proposal)
        _compiled(call, self._overlay, wish.sections)
        version = await versions.propose(call.office, call.actor, wish.sections, wish.reason)
        return Given(body=_shown(version), status=201)

    async def show(self, call: Call) -> Given:
        """Show a version."""
        return Given(body=_shown(await versions.read_version(call.office.desk, call.id)))

    async def listed(self, call: Call) -> Given:
        """List versions."""
        limit = call.number("limit", 100, MOST_LISTED - 1)
        found = await versions.versions(call.office.desk, call.text("after") or "", limit + 1)
        return page([_shown(each) for each in found], limit, lambda at: found[at].id)

    async def diff(self, call: Call) -> Given:
        """Say what applying a version would change."""
        wanted = (await versions.read_version(call.office.desk, call.id)).sections
        other = call.text("to")
        before = (
            (await versions.sections_in_force(call.office.desk))[1]
            if other is None
            else (await versions.read_version(call.office.desk, other)).sections
        )
        pair = [self._overlay.put_together(self._overlay.base, sections) for sections in (before, wanted)]
        told: list[Json] = [msgspec.to_builtins(each) for each in versions.differences(*pair)]
        return Given(body={"object": "list", "data": told, "has_more": False, "next": None})


def endpoints(overlay: Overlay) -> tuple[Endpoint, ...]:
    """Return the endpoints over what lies over a process's file."""
    kept = _Kept(overlay)
    return (
        Endpoint(
            method="GET",
            path="/config",
            serve=kept.read,
            summary="The configuration in force, secrets as ***",
        ),
        Endpoint(
            method="POST",
            path="/config/validate",
            serve=kept.validate,
            summary="Compile sections, and put nothing in force",
            takes=Proposal,
            gives=Verdict,
        ),
        Endpoint(
            method="GET",
            path="/config/versions",
            serve=kept.listed,
            summary="Versions, oldest first",
            gives=versions.Version,
            many=True,
            query=("limit", "after"),
        ),
        Endpoint(
            method="POST",
            path="/config/versions",
            serve=kept.propose,
            summary="Propose a version",
            takes=Proposal,
            gives=versions.Version,
        ),
        Endpoint(
            method="GET",
            path="/config/versions/{id}",
            serve=kept.show,
            summary="Show a version",
            gives=versions.Version,
        ),
        Endpoint(
            method="GET",
            path="/config/versions/{id}/diff",
            serve=kept.diff,
            summary="What applying it would change",
            query=("to",),
        ),
        *_moving(overlay),
    )


def _moving(overlay: Overlay) -> tuple[Endpoint, ...]:
    async def apply(call: Call) -> Given:
        _desk_only(overlay)
        sections = (await versions.read_version(call.office.desk, call.id)).sections
        why = versions.Why(_compiled(call, overlay, sections), _reason(call))
        await versions.put_in_force(call.office, call.actor, call.id, why)
        return await _now(call, overlay)

    async def rollback(call: Call) -> Given:
        _desk_only(overlay)
        name = await versions.previous(call.office.desk)
        sections = {} if name is None else (await versions.read_version(call.office.desk, name)).sections
        why = versions.Why(_compiled(call, overlay, sections), _reason(call))
        await versions.put_back(call.office, call.actor, why)
        return await _now(call, overlay)

    return (
        Endpoint(
            method="POST",
            path="/config/versions/{id}/apply",
            serve=apply,
            summary="Put a version in force",
            takes=Because,
            gives=Applied,
        ),
        Endpoint(
            method="POST",
            path="/config/rollback",
            serve=rollback,
            summary="Put in force again what was before",
            takes=Because,
            gives=Applied,
        ),
    )


def _desk_only(overlay: Overlay) -> None:
    if not overlay.takes_versions:
        raise Forbidden(
            "the configuration is kept in its file here; admin.config: desk lets this API change it"
        )


def _compiled(call: Call, overlay: Overlay, sections: JsonObject) -> str:
    """Compile what would be in force with these sections; return its digest. Raises `ConfigError`."""
    return call.built.prepare(overlay.put_together(overlay.base, sections)).digest


def _verdict(call: Call, overlay: Overlay, sections: JsonObject) -> Verdict:
    try:
        return Verdict(valid=True, digest=_compiled(call, overlay, sections))
    except ConfigError as error:
        return Verdict(valid=False, problems=error.problems)


def _reason(call: Call) -> str:
    return convert(call.fields, Because).reason if call.body else ""


async def _now(call: Call, overlay: Overlay) -> Given:
    await overlay.refresh()
    snapshot = call.built.engine.snapshot
    told = Applied(version=overlay.version, config_version=snapshot.version, config_digest=snapshot.digest)
    return Given(body=msgspec.to_builtins(told))


def _shown(version: versions.Version) -> Json:
    return {"object": "config.version", **msgspec.to_builtins(version)}
