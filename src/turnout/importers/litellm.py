"""A LiteLLM `config.yaml` as a Turnout configuration (docs/design/WIRE.md 11). Floor 5.

Theory of operation.
1. A `model_name` with one deployment and no fallback becomes an alias, any other a route of that name with an
   alias, so that clients go on naming what they named.
2. Fallbacks are deployments of the same route that are only asked after the group's own: weight 0 of a
   `weighted` strategy, or a later place of a `priority` list. Other strategies would mix the two, so a group
   with fallbacks keeps to these, and the report says so.
3. Every key gets exactly one note, whatever became of it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from turnout.catalog.catalog import Catalog
from turnout.errors import ConfigError
from turnout.importers.litellm_models import Deployments, Row, Tree
from turnout.importers.report import Fate, Imported, Note, Reader, settled
from turnout.types.json import Json

_STRATEGIES: Final[Mapping[str, tuple[str, Fate, str]]] = {
    "simple-shuffle": ("weighted", "mapped", ""),
    "least-busy": ("least_busy", "mapped", ""),
    "latency-based-routing": ("fastest", "mapped", ""),
    "usage-based-routing": ("two_choices", "approximated", "the less loaded of two, by calls in flight"),
    "usage-based-routing-v2": ("two_choices", "approximated", "the less loaded of two, by calls in flight"),
    "cost-based-routing": ("cheapest", "mapped", ""),
}
_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks")
_SETTINGS: Final[Mapping[str, tuple[Fate, str]]] = {
    "modify_params": ("mapped", "requests are always adapted to the upstream"),
    "turn_off_message_logging": ("mapped", "text is stored only where journal.content asks"),
    "cache": ("ignored", "say `cache: exact` on the routes that may answer again: docs/how-to/cache.md"),
    "cache_params": ("ignored", "say `cache: exact` on routes that may answer again: docs/how-to/cache.md"),
    "set_verbose": ("ignored", "log.level"),
    "json_logs": ("ignored", "the log is for people; requests are in the journal"),
    "retry_policy": ("ignored", "the class of a failure says whether it is retried"),
    "allowed_fails_policy": ("ignored", "the class of a failure says whether it counts"),
    "enable_pre_call_checks": ("mapped", "what cannot serve a request is always filtered"),
    "ssl_verify": ("ignored", "certificates are always verified"),
    "redis_host": ("ignored", "state is kept in the process"),
    "redis_port": ("ignored", "state is kept in the process"),
    "redis_password": ("ignored", "state is kept in the process"),
    "redis_url": ("ignored", "state is kept in the process"),
    "routing_strategy_args": ("ignored", "the strategy's own defaults hold"),
    "silent_model": ("ignored", "there is no shadow traffic"),
    "enable_tag_filtering": (
        "refused",
        "requests are not filtered by tag: deployments of all tags would serve",
    ),
    "tag_filtering_match_any": ("refused", "requests are not filtered by tag"),
    "guardrails": ("refused", "there are no guards of this kind: requests would pass unchecked"),
    "custom_provider_map": ("refused", "code named in a configuration file is never run"),
}
_GENERAL: Final[Mapping[str, tuple[Fate, str]]] = {
    "master_key": ("ignored", "keys are newly made: list them under server.keys"),
    "salt_key": ("ignored", "keys are newly made"),
    "database_url": ("ignored", "records are kept in journal.path"),
    "store_model_in_db": ("ignored", "the configuration is this file"),
    "max_parallel_requests": ("ignored", "limits per deployment: models[].limits.max_concurrency"),
    "enforce_user_param": ("refused", "requests without `user` would be let in"),
    "reject_clientside_metadata_tags": ("refused", "clients' tags would be taken"),
    "pass_through_endpoints": ("refused", "only what has a codec is served"),
    "custom_auth": ("refused", "code named in a configuration file is never run"),
    "alerting": ("ignored", "read /metrics"),
}
_TOP: Final[Mapping[str, tuple[Fate, str]]] = {
    "environment_variables": ("ignored", "set them where the process is started; values are not copied"),
    "guardrails": ("refused", "there are no guards of this kind: requests would pass unchecked"),
    "mcp_servers": ("refused", "tools run at the client"),
    "pass_through_endpoints": ("refused", "only what has a codec is served"),
    "credential_list": ("refused", "name keys as os.environ/NAME in each row"),
    "include": ("refused", "import each file by itself"),
}


def import_litellm(tree: Json, catalog: Catalog) -> Imported:
    """Turn a parsed `config.yaml` into a configuration and a report.

    Raises:
        ConfigError: It is no such file; each problem names its path.
    """
    notes: list[Note] = []
    top = Reader(tree, "", notes)
    if "model_list" not in top:
        raise ConfigError(("model_list: missing; is this a LiteLLM config.yaml?",))
    deployments = Deployments(catalog)
    found = [row for entry in top.rows("model_list") if (row := deployments.row(entry)) is not None]
    router, settings, general = (
        top.inner(name) for name in ("router_settings", "litellm_settings", "general_settings")
    )
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row.group, []).append(row)
    config: Tree = {"version": 1}
    config |= _server(general, settings)
    config["providers"] = {**deployments.providers}
    config["models"] = [row.tree for row in found]
    config |= Routes(router, settings, groups).config()
    config |= _limits(router, settings)
    for reader in (router, settings):
        reader.table(_SETTINGS)
    top.table(_TOP)
    for reader in (router, settings, general, top):
        reader.rest()
    return Imported({key: value for key, value in config.items() if value not in ({}, [])}, settled(notes))


class Routes:
    """Groups of deployments with their fallbacks, as routes and aliases."""

    def __init__(self, router: Reader, settings: Reader, groups: Mapping[str, Sequence[Row]]) -> None:
        self._groups = groups
        self._strategy = _strategy(router)
        self._router, self._settings = router, settings
        self._fallbacks: dict[str, list[str]] = {}
        self._filtered: set[str] = set()
        """Groups whose fallbacks also answer after a content filter."""
        self._read_fallbacks()
        self._most = router.number("max_fallbacks") or settings.number("max_fallbacks")
        dropping = settings.take("drop_params")
        self._rejects = dropping is False

    def config(self) -> Tree:
        """Return `routes` and `aliases`."""
        routes: list[Json] = []
        aliases: Tree = {}
        for group, rows in self._groups.items():
            only = str(rows[0].tree["model"])
            if self._alone(group):
                aliases |= {group: only} if group != only else {}
                continue
            if "*" in only:
                self._router.note(group, "mapped", "every model the catalogue knows there")
                continue
            routes.append(self._route(group, rows))
            aliases[group] = f"turnout/{group}"
        aliases |= self._group_aliases()
        return {"routes": routes, "aliases": aliases}

    def _alone(self, group: str) -> bool:
        """Tell whether a group is one deployment of a model that no other group has, without fallbacks."""
        rows = self._groups[group]
        model = rows[0].tree["model"]
        n = sum(row.tree["model"] == model for others in self._groups.values() for row in others)
        return n == 1 and len(rows) == 1 and not self._fallbacks.get(group) and "*" not in str(model)

    def _route(self, group: str, rows: Sequence[Row]) -> Tree:
        spare = [row for name in self._fallbacks.get(group, ()) for row in self._groups[name]]
        own = sorted(rows, key=lambda row: row.order)
        names = list(dict.fromkeys(row.name for row in (*own, *spare)))
        strategy: Tree
        if any(row.order for row in own):
            strategy = {"type": "priority"}
        elif spare or self._strategy == "weighted":
            weights: Tree = {row.name: 0 for row in spare}
            weights |= {row.name: row.weight for row in own}
            strategy = {"type": "weighted", "weights": weights}
            if self._strategy != "weighted":
                say = (
                    f"{group} has fallbacks: its own deployments are drawn by weight, not by {self._strategy}"
                )
                self._router.note("routing_strategy", "approximated", say)
        else:
            strategy = {"type": self._strategy}
        if self._most is not None:
            strategy["max_fallbacks"] = self._most
        route: Tree = {"name": group, "models": list[Json](names), "strategy": strategy}
        if group in self._filtered:
            route["fallback_on"] = ["content_filtered"]
        if self._rejects:
            route["unsupported_params"] = "reject"
        return route

    def _read_fallbacks(self) -> None:
        for reader in (self._router, self._settings):
            for key in _FALLBACKS[:3]:
                for at, row in enumerate(reader.rows(key)):
                    for group in row.left():
                        self._fall_back(row, group, filtered=key == "content_policy_fallbacks")
                    if at == 0:
                        reader.note(key, *_FATES[key])
            everyone = reader.take("default_fallbacks")
            if isinstance(everyone, list):
                for group in self._groups:
                    self._add(reader, "default_fallbacks", group, [n for n in everyone if n != group])

    def _fall_back(self, row: Reader, group: str, *, filtered: bool) -> None:
        names = row.take(group)
        if not isinstance(names, list):
            raise ConfigError((f"{row.at(group)}: expected a list of model names",))
        if group not in self._groups:
            row.note(group, "ignored", "no deployment of this group was imported")
            return
        self._add(row, group, group, names)
        if filtered:
            self._filtered.add(group)

    def _add(self, reader: Reader, key: str, group: str, names: Sequence[Json]) -> None:
        known = self._fallbacks.setdefault(group, [])
        for name in names:
            if name in self._groups and isinstance(name, str):
                known += [name] if name not in known else []
            else:
                reader.note(key, "refused", f"the fallback {name!r} was not imported")

    def _group_aliases(self) -> Tree:
        found: Tree = {}
        aliases = self._router.inner("model_group_alias")
        for name in aliases.left():
            value = aliases.take(name)
            target = value.get("model") if isinstance(value, Mapping) else value
            rows = self._groups.get(str(target))
            if rows is None:
                aliases.note(name, "refused", f"{target!r} was not imported")
                continue
            found[name] = str(rows[0].tree["model"]) if self._alone(str(target)) else f"turnout/{target}"
        return found


_FATES: Final[Mapping[str, tuple[Fate, str]]] = {
    "fallbacks": ("mapped", ""),
    "context_window_fallbacks": ("approximated", "whatever does not hold the prompt is passed over"),
    "content_policy_fallbacks": ("approximated", "the same fallbacks answer after any failure"),
}


def _strategy(router: Reader) -> str:
    word = router.peek("routing_strategy")
    unknown: tuple[str, Fate, str] = (
        "weighted",
        "refused",
        f"{word!r} is not known; calls are drawn by weight",
    )
    name, fate, say = _STRATEGIES.get(str(word or "simple-shuffle"), unknown)
    router.take("routing_strategy", fate, say)
    return name


def _limits(router: Reader, settings: Reader) -> Tree:
    """Return time limits, retries and breaker."""
    config: Tree = {}
    total = settings.number("request_timeout")
    total = router.number("timeout") if total is None else total
    first = router.number("stream_timeout")
    limits = {"total_s": total, "first_byte_s": first}
    config["timeouts"] = {name: value for name, value in limits.items() if value is not None}
    retries = router.number("num_retries")
    retries = settings.number("num_retries") if retries is None else retries
    if retries is not None:
        config["max_retries"] = retries
    config["breaker"] = {**_breaker(settings), **_breaker(router)}
    return config


def _breaker(reader: Reader) -> Tree:
    found: Tree = {}
    fails = reader.number(
        "allowed_fails", "approximated", "so many failures in a row, instead of in a minute"
    )
    if fails is not None:
        found["consecutive_failures"] = int(fails) + 1
    hold = reader.number("cooldown_time")
    if hold is not None:
        found["open_for_s"] = hold
    if reader.take("disable_cooldowns") is True:
        found["enabled"] = False
    return found


def _server(general: Reader, settings: Reader) -> Tree:
    server: Tree = {}
    most = general.number("global_max_parallel_requests")
    if most is not None:
        server["max_open"] = most
    for key in ("callbacks", "success_callback", "failure_callback"):
        names = settings.peek(key)
        if names is None:
            continue
        told = [names] if isinstance(names, str) else list(names) if isinstance(names, list) else []
        if "prometheus" in told:
            server["metrics_port"] = 9090
            settings.take(key, "approximated", "prometheus reads server.metrics_port; others are left out")
        else:
            settings.take(key, "ignored", "read /metrics and the journal")
    general.table(_GENERAL)
    return {"server": server}
