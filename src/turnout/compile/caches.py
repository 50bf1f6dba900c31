"""What is cached, made of rows. Floor 5."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from turnout.config import Config, RouteConfig
from turnout.config.cache import RouteCacheConfig
from turnout.types.cache import CacheRule
from turnout.types.deployment import Deployment

DIRECT: Final = "direct"
"""Route of requests that name a model."""


def make_rules(
    config: Config, deployments: Iterable[Deployment], problems: list[str]
) -> Mapping[str, CacheRule]:
    """Return how each route is cached; routes that are not are missing. What is wrong goes to `problems`."""
    served = sorted((d.id, d.upstream_model, d.url, d.vendor.codec) for d in deployments)
    found: dict[str, CacheRule] = {}
    for row in config.routes:
        rule = _rule(row, config, served)
        if rule is not None:
            found[row.name] = rule
    direct = _rule(None, config, served)
    if direct is not None:
        found[DIRECT] = direct
    if any(rule.semantic for rule in found.values()):
        _check_semantic(config, problems)
    return found


def _rule(row: RouteConfig | None, config: Config, served: object) -> CacheRule | None:
    said = None if row is None else row.cache
    if said is None or isinstance(said, str):
        said = RouteCacheConfig(mode=said or config.cache.default)
    if said.mode == "off":
        return None
    common = config.cache
    return CacheRule(
        policy=_policy(row, config, served),
        semantic=said.mode == "semantic",
        ttl_s=said.ttl_s or common.ttl_s,
        max_ttl_s=max(common.max_ttl_s, said.ttl_s or 0.0),
        scope=common.scope,
        semantic_scope=common.semantic.scope,
        tools=said.tools,
        sampled=said.sampled,
        replay=said.replay or common.replay,
    )


def _policy(row: RouteConfig | None, config: Config, served: object) -> str:
    """Return the digest of what is configured that an answer depends on (S-70).

    Of guards and surfaces all: whoever changes one expects that what it let pass is looked at again.
    """
    bare = None if row is None else msgspec.structs.replace(row, cache=None)
    tree = (bare, served, config.guards, config.surfaces, sorted(config.aliases.items()))
    # Secrets are written as stars: another one makes no other answer.
    plain = msgspec.to_builtins(tree, enc_hook=str, str_keys=True, order="deterministic")
    return sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _check_semantic(config: Config, problems: list[str]) -> None:
    row = config.cache.semantic
    if row.artifact is None and not (row.shadow and row.threshold is not None):
        problems.append(
            "cache.semantic.artifact: write one with turnout calibrate cache; without it only"
            " `shadow: true` with a threshold is served by"
        )
    if row.encoder == "remote" and config.signals.remote is None:
        problems.append("cache.semantic.encoder: remote needs signals.remote")
    if row.check_share and row.agreement is None:
        problems.append("cache.semantic.agreement: say when two answers count as the same, such as 0.8")
