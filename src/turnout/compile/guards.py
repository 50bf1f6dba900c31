"""Guards made of rows, and who is checked by which. Floor 5."""

from collections.abc import Iterable, Mapping

import msgspec

from turnout.config import Config
from turnout.config.guards import GuardConfig
from turnout.guards.base import Asking, Calling, Formed, Guard, Needing, Post, Posting
from turnout.registry import did_you_mean
from turnout.strategies.accept.schema import can_check
from turnout.strategies.rows import make
from turnout.types.deployment import Deployment

MODERATIONS = "/moderations"
"""Path of the endpoint beneath the address of a provider that speaks OpenAI's format."""


def make_posting(config: Config, deployments: Iterable[Deployment], problems: list[str]) -> Posting:
    """Return the guards of a configuration; what is wrong goes to `problems`."""
    rows = config.guards.rules
    by_id = {d.id: d for d in deployments}
    posts: list[Post] = []
    for at, row in enumerate(rows):
        path = f"guards.rules[{at}]"
        if any(other.name == row.name for other in rows[:at]):
            problems.append(f"{path}.name: {row.name!r} stands twice")
        post = _post(row, path, by_id, problems)
        if post is not None:
            posts.append(post)
    known = frozenset(row.name for row in rows)
    teams = {team for row in rows for team in row.teams}
    return Posting(
        posts=tuple(posts),
        everywhere=frozenset(row.name for row in rows if row.everywhere),
        routes=_named(
            ((r.name, r.guards, f"routes[{n}]") for n, r in enumerate(config.routes)), known, problems
        ),
        surfaces=_named(
            ((n, s.guards, f"surfaces.{n}") for n, s in config.surfaces.items()), known, problems
        ),
        keys=_named(
            ((k.name, k.guards, f"server.keys[{n}]") for n, k in enumerate(config.server.keys)),
            known,
            problems,
        ),
        teams={team: frozenset(row.name for row in rows if team in row.teams) for team in teams},
        diverted=_diverted(config, problems),
        block_as=config.guards.block_as,
        max_chars=config.guards.max_chars,
    )


def _post(row: GuardConfig, path: str, by_id: Mapping[str, Deployment], problems: list[str]) -> Post | None:
    guard = make("turnout.guards", row.guard, f"{path}.guard", problems)
    if guard is None:
        return None
    if not isinstance(guard, Guard):
        problems.append(f"{path}.guard.type: {row.guard.get('type')!r} is no guard")
        return None
    stages = guard.stages if row.stages is None else frozenset(row.stages)
    if not stages <= guard.stages:
        cannot = ", ".join(sorted(stages - guard.stages))
        problems.append(f"{path}.stages: {guard.name} cannot stand at {cannot}")
    if row.mode == "redact" and guard.whole:
        problems.append(f"{path}.mode: {guard.name} judges a text as a whole: it has no place to redact")
    lacks = guard.missing() if isinstance(guard, Needing) else None
    if isinstance(guard, Formed) and not can_check():
        lacks = "the extra `schema`: pip install turnout[schema]"
    if lacks is None and isinstance(guard, Needing):
        try:
            guard.prepare()
        except ValueError as error:
            problems.append(f"{path}.guard: {error}")
    if lacks is not None:
        problems.append(f"{path}.guard: {guard.name} needs {lacks}")
    deployment = _asked(guard, path, by_id, problems) if isinstance(guard, Asking) else ""
    if isinstance(guard, Calling):
        guard = _addressed(guard, row, path, by_id, problems)
    return Post(
        name=row.name,
        guard=guard,
        mode=row.mode,
        stages=stages,
        sources=None if row.sources is None else frozenset(row.sources),
        on_failure=row.on_failure,
        deployment=deployment,
    )


def _asked(guard: Asking, path: str, by_id: Mapping[str, Deployment], problems: list[str]) -> str:
    for name, deployment in by_id.items():
        if guard.model in (name, deployment.model.id):
            return name
    problems.append(f"{path}.guard.model: no model {guard.model!r}{did_you_mean(guard.model, by_id)}")
    return ""


def _addressed(
    guard: Guard, row: GuardConfig, path: str, by_id: Mapping[str, Deployment], problems: list[str]
) -> Guard:
    """Return a guard that calls an address with the address it calls."""
    if getattr(guard, "url", ""):
        return guard
    served = provider_of(row, by_id)
    if served is None:
        problems.append(f"{path}: {guard.name} needs guard.url, or provider: with a model of it configured")
        return guard
    return msgspec.structs.replace(guard, url=served.url + MODERATIONS)  # type: ignore[type-var]  # a Struct


def provider_of(row: GuardConfig, by_id: Mapping[str, Deployment]) -> Deployment | None:
    """Return a deployment of the provider that a guard names: it has the address and the credential."""
    return next((d for d in by_id.values() if d.vendor.name == row.provider), None)


def _named(
    rows: Iterable[tuple[str, tuple[str, ...], str]], known: frozenset[str], problems: list[str]
) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, guards, path in rows:
        unknown = [guard for guard in guards if guard not in known]
        problems += [f"{path}.guards: no guard {guard!r}{did_you_mean(guard, known)}" for guard in unknown]
        if guards:
            found[name] = frozenset(guards)
    return found


def _diverted(config: Config, problems: list[str]) -> dict[str, str]:
    routes = {route.name for route in config.routes}
    found: dict[str, str] = {}
    for name, row in config.surfaces.items():
        if row.flagged is None:
            continue
        if row.flagged not in routes:
            problems.append(
                f"surfaces.{name}.flagged: no route {row.flagged!r}{did_you_mean(row.flagged, routes)}"
            )
        found[name] = row.flagged
    return found
