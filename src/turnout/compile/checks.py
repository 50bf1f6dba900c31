"""What can be written in a configuration and makes no sense all the same. Floor 5.

Each problem is one line: path, what is wrong, what to do.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from turnout.codecs.counting import has_counter
from turnout.config import Config, ModelConfig
from turnout.registry import did_you_mean
from turnout.strategies.accept.schema import can_check
from turnout.types.deployment import Deployment

MIN_SECRET = 16
"""Characters of a key that clients present: less can be guessed."""
_NAME = re.compile(r"[!-~]+")
"""Printable and without spaces: names travel in headers."""


def problems_of(
    config: Config, deployments: Mapping[str, Deployment], routes: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with names, keys and patterns."""
    yield from _names(config, deployments)
    yield from _patterns(config, deployments.values())
    yield from _surfaces(config, deployments.values())
    yield from _keys(config, routes)
    yield from _shapes(config)
    yield from _beside(config, deployments.values())
    yield from _asked(config, deployments.values(), routes)


def _names(config: Config, deployments: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for at, route in enumerate(config.routes):
        if route.name in seen:
            yield f"routes[{at}].name: {route.name!r} stands twice; give one of them another name"
        seen.add(route.name)
        if not _NAME.fullmatch(route.name):
            yield f"routes[{at}].name: {route.name!r}; expected printable characters without spaces"
    for name in deployments:
        if not _NAME.fullmatch(name):
            yield f"models: {name!r}; expected printable characters without spaces"


def _patterns(config: Config, deployments: Iterable[Deployment]) -> Iterator[str]:
    """Yield patterns that match nothing: a pool would silently be smaller than it looks."""
    made = tuple(deployments)
    for at, item in enumerate(config.models):
        name = item.model if isinstance(item, ModelConfig) else item
        if name.endswith("/*") and not any(fnmatchcase(d.model.id, name) for d in made):
            yield f"models[{at}]: {name!r} matches no model the catalogue knows; name the models one by one"
    for at, route in enumerate(config.routes):
        for name in route.models:
            if "*" in name and not any(fnmatchcase(d.id, name) for d in made):
                yield f"routes[{at}].models: {name!r} matches no configured model; add one under models:"
    for at, slot in enumerate(config.background.slots):
        for name in slot.models:
            if not any(fnmatchcase(each, name) for d in made for each in (d.id, d.model.id, d.vendor.name)):
                yield f"background.slots[{at}].models: {name!r} matches no configured model or provider"


def _surfaces(config: Config, deployments: Iterable[Deployment]) -> Iterator[str]:
    """Yield allow-lists that leave nobody: every request for that place would be refused."""
    names = {name for d in deployments for name in (d.model.id, d.vendor.name)}
    for name, row in config.surfaces.items():
        if row.allow and not any(fnmatchcase(each, glob) for each in names for glob in row.allow):
            listed = ", ".join(map(repr, row.allow))
            yield f"surfaces.{name}.allow: {listed} leaves no configured model; name a model or a provider"


def _beside(config: Config, deployments: Iterable[Deployment]) -> Iterator[str]:
    """Yield what is asked of files, batches and passthrough and cannot be."""
    files, background = config.files.path, config.background.path
    if config.batches.native == "auto" and (files is None or background is None):
        yield "batches.native: there are no batches without files.path and background.path; give both"
    known = {deployment.vendor.name for deployment in deployments}
    for at, name in enumerate(config.passthrough.vendors):
        if name not in known:
            hint = did_you_mean(name, known)
            yield f"passthrough.vendors[{at}]: no model of {name!r} is configured{hint}"
    if config.passthrough.vendors and not config.passthrough.paths:
        yield "passthrough.paths: nothing is let through; name globs, such as 'assistants*'"


def _asked(config: Config, deployments: Iterable[Deployment], routes: Collection[str]) -> Iterator[str]:
    """Yield who is to count or to make conversations short, and cannot."""
    made = tuple(deployments)
    known = {each.vendor.name for each in made}
    for at, name in enumerate(config.counting.providers):
        if name not in known:
            yield f"counting.providers[{at}]: no model of {name!r} is configured{did_you_mean(name, known)}"
        elif not any(has_counter(each) for each in made if each.vendor.name == name):
            yield f"counting.providers[{at}]: {name!r} has no counter that is known here; leave it out"
    model = config.responses.compact_with
    names = {*routes, *config.aliases, *(f"turnout/{route}" for route in routes)}
    names.update(name for each in made for name in (each.id, each.model.id, each.model.id.partition("/")[2]))
    if model is not None and model not in names:
        yield f"responses.compact_with: no model, alias or route {model!r}{did_you_mean(model, names)}"


def _shapes(config: Config) -> Iterator[str]:
    for at, route in enumerate(config.routes):
        if route.structured is not None and route.structured.validate and not can_check():
            yield f"routes[{at}].structured: checking answers needs the extra; pip install 'turnout[schema]'"


def _keys(config: Config, routes: Collection[str]) -> Iterator[str]:
    names: set[str] = set()
    secrets: dict[str, str] = {}
    for at, key in enumerate(config.server.keys):
        path = f"server.keys[{at}]"
        value = key.secret.reveal()
        if key.name in names:
            yield f"{path}.name: {key.name!r} stands twice; give one of them another name"
        if len(value) < MIN_SECRET:
            yield f"{path}.secret: shorter than {MIN_SECRET} characters; use a long random one"
        elif value in secrets:
            yield f"{path}.secret: the same as that of {secrets[value]!r}; give each key its own"
        if key.default_route is not None and key.default_route not in routes:
            hint = did_you_mean(key.default_route, routes)
            yield f"{path}.default_route: no route {key.default_route!r}{hint}"
        for route in key.routes:
            if route not in routes:
                yield f"{path}.routes: no route {route!r}{did_you_mean(route, routes)}"
        names.add(key.name)
        secrets[value] = key.name
