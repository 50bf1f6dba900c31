"""The configuration file: one YAML document, one typed tree. Floor 5.

Theory of operation.
1. YAML is read with duplicate keys refused; `${env:NAME}` and `${file:PATH}` are put in place in any
   string; the tree is converted to `Config` with unknown keys refused.
2. Every problem is one line: path, what is wrong, what to do. Problems of one kind are told together.
3. Nothing here builds anything: `build.py` turns a `Config` into an engine.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, field

from turnout.catalog.prices import UsdPrice
from turnout.errors import ConfigError
from turnout.layers.retry import RetryConfig
from turnout.stores.live import BreakerConfig, HealthConfig, RetryBudgetConfig
from turnout.strategies.pipeline import Limit
from turnout.types.json import Json
from turnout.types.secret import Secret


class KeyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that clients present to the gateway."""

    name: str
    secret: Secret
    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    default_route: str | None = None


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificate and key of the listener."""

    cert: str
    key: str


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens and what it accepts (SECURITY.md section 7)."""

    host: str = "127.0.0.1"
    port: int = 4000
    metrics_port: int | None = None
    """Port of the Prometheus listener on the same host; none = off."""
    workers: int = 1
    keys: tuple[KeyConfig, ...] = ()
    tls: TlsConfig | None = None
    behind_proxy: bool = False
    """A proxy in front ends TLS: allows a bind beyond loopback without `tls`."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of `Host` that are accepted; empty = any well-formed one."""
    max_body_mib: float = 32
    max_open: int = 4096
    keep_alive_s: float = 15
    """A stream silent for this long gets a keep-alive frame."""
    grace_s: float = 30
    """How long open answers may go on after SIGTERM."""
    header_timeout_s: float = 10
    body_timeout_s: float = 60
    idle_timeout_s: float = 75
    max_connections_per_address: int = 256
    max_streams_per_key: int = 64


class QuirksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a host departs from its wire format (`types.deployment.Quirks`); None = as the vendor row says."""

    max_tokens_field: str | None = None
    stream_usage: bool | None = None
    developer_role: bool | None = None
    unsupported: frozenset[str] | None = None
    reasoning_field: str | None = None
    required_as_any: bool | None = None
    tool_id_length: int | None = None
    image_url_string: bool | None = None
    json_schema: bool | None = None
    query: str | None = None


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vendor of the catalogue with a credential, or a host of your own."""

    vendor: str | None = None
    """Row of the vendor table to start from; default: the provider's own name."""
    base_url: str | None = None
    codec: Literal["openai_chat", "anthropic", "gemini"] | None = None
    auth: Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"] | None = None
    secret: Secret | None = None
    """None = the vendor's environment variable."""
    allow_http: bool = False
    headers: dict[str, str] = {}
    """Fixed headers the host wants; not for credentials."""
    parameters: dict[str, str] = {}
    """Values for `{placeholders}` in the vendor's address, such as Azure's resource."""
    quirks: QuirksConfig = QuirksConfig()


class TimeoutsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one attempt in seconds; `total_s` of a route is over all attempts."""

    connect_s: float = 10
    first_byte_s: float = 60
    idle_s: float = 60
    total_s: float = 600


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one deployment may carry at once."""

    max_concurrency: int | None = None
    max_queue: int = 100


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deployment: a model at a provider."""

    model: str
    """`provider/model`."""
    id: str | None = None
    provider: str | None = None
    """Default: the part of `model` before the slash."""
    upstream_model: str | None = None
    base_url: str | None = None
    secret: Secret | None = None
    weight: float = 1
    priority: int = 0
    region: str | None = None
    tags: frozenset[str] = frozenset()
    limits: LimitsConfig = LimitsConfig()
    timeouts: TimeoutsConfig | None = None
    ttft_slo_s: float | None = None
    """Limit of the 95th percentile of the time to the first content; replaces `health.ttft_p95_s`."""
    price: UsdPrice | None = None
    """USD per million tokens, replacing the catalogue's."""
    context_window: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    modalities: frozenset[str] | None = None


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named pool of models and how to choose among them."""

    name: str
    models: tuple[str, ...]
    strategy: dict[str, Json] = field(default_factory=lambda: {"type": "priority"})
    filter: tuple[dict[str, Json], ...] | None = None
    """None = allowed, capable, fits, healthy, priced."""
    total_s: float | None = None
    max_retries: int | None = None
    fallback_on: frozenset[Literal["content_filtered", "provider_rejected"]] = frozenset()
    stream_recovery: Literal["error", "continue"] = "error"
    unsupported_params: Literal["drop", "reject"] = "drop"
    response_model: Literal["answered", "requested"] = "answered"
    store_content: bool = False


class JournalConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Records are kept."""

    enabled: bool = True
    path: str = ".turnout/journal.db"
    fsync: Literal["never", "interval", "always"] = "interval"
    content: bool = False
    """Store prompts and answers (a route may also ask for it with `store_content`)."""
    hash_key: Secret | None = None
    """Key of query, session and end-user digests; none = they are not kept."""


class EgressConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where upstream connections may go (SECURITY.md section 5)."""

    allow_cidrs: tuple[str, ...] = ()
    allow_http: tuple[str, ...] = ()
    """Hosts to which plain HTTP is allowed; loopback always is."""
    max_connections: int = 512
    """Per upstream host."""
    proxy: str | None = None
    """Outbound proxy; needs the extra `http2`."""
    http2: bool = False
    """Speak HTTP/2 to upstreams; needs the extra `http2`."""


class CatalogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Corrections to the model catalogue."""

    overlay: str | None = None
    """File written by `turnout catalog update --write`."""


class SurfaceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules of a product place, which win over any strategy."""

    q_floor: float | None = None
    safety_floor: float | None = None
    """Least score on the benchmark `safety`; a model without one is not asked."""
    slo: Limit = Limit()
    max_cost_usd: float | None = None
    visibility: Literal["user", "background"] = "user"
    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""


class BenchmarksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Own benchmark scores."""

    files: tuple[str, ...] = ()
    """CSV or JSON lines; checked by `turnout scores check FILE`."""


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one file can say."""

    version: Literal[1] = 1
    server: ServerConfig = ServerConfig()
    providers: dict[str, ProviderConfig] = {}
    models: tuple[str | ModelConfig, ...] = ()
    """Deployments; `provider/*` = every model the catalogue knows there. Empty, and no routes either:
    all models of every provider that has a credential."""
    routes: tuple[RouteConfig, ...] = ()
    aliases: dict[str, str] = {}
    default_route: str | None = None
    """Route that `auto` means."""
    surfaces: dict[str, SurfaceConfig] = {}
    benchmarks: BenchmarksConfig = BenchmarksConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    max_retries: int = 2
    """On the same deployment, where the failure's class allows it; a route may say otherwise."""
    retry: RetryConfig = RetryConfig()
    retry_budget: RetryBudgetConfig = RetryBudgetConfig()
    breaker: BreakerConfig = BreakerConfig()
    health: HealthConfig = HealthConfig()
    """When a deployment is asked last, and how it comes back."""
    journal: JournalConfig = JournalConfig()
    egress: EgressConfig = EgressConfig()
    catalog: CatalogConfig = CatalogConfig()
    log: LogConfig = LogConfig()


def load_config(path: str | Path, env: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file.

    Raises `ConfigError` with one line per problem: path inside the file, what is wrong, what to do.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            (f"{path}: no such file; `turnout check --example` prints one to start from",)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from None
    return parse_config(text, env=os.environ if env is None else env, where=str(path))


def parse_config(text: str, *, env: Mapping[str, str], where: str = "config") -> Config:
    """Read a configuration from YAML text. Raises `ConfigError`."""
    tree = _yaml(text, where)
    problems: list[str] = []
    tree = _interpolate(tree, env, "", problems)
    if problems:
        raise ConfigError(tuple(f"{where}: {problem}" for problem in problems))
    try:
        return msgspec.convert(tree if tree is not None else {}, Config, dec_hook=_secret, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError((f"{where}: {_explained(str(error))}",)) from None


def _yaml(text: str, where: str) -> Json:
    import yaml  # noqa: PLC0415  only when a file is read

    class Loader(yaml.SafeLoader):
        """Refuses keys that stand twice."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        loader.flatten_mapping(node)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        tree: Json = yaml.load(text, Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError((f"{where}: {at}{error.problem or 'not valid YAML'}",)) from None
    except yaml.YAMLError as error:
        raise ConfigError((f"{where}: not valid YAML: {error}",)) from None
    return tree


_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")


def _interpolate(tree: Json, env: Mapping[str, str], path: str, problems: list[str]) -> Json:
    if isinstance(tree, Mapping):
        return {
            key: _interpolate(item, env, f"{path}.{key}".lstrip("."), problems) for key, item in tree.items()
        }
    if isinstance(tree, str):
        return (
            _REFERENCE.sub(lambda m: _resolve(m[1], m[2], env, path, problems), tree)
            if "${" in tree
            else tree
        )
    if isinstance(tree, list):
        return [_interpolate(item, env, f"{path}[{at}]", problems) for at, item in enumerate(tree)]
    return tree


def _resolve(kind: str, name: str, env: Mapping[str, str], path: str, problems: list[str]) -> str:
    if kind == "env":
        value = env.get(name)
        if value is None:
            problems.append(f"{path}: the environment variable {name} is not set")
        return value or ""
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: the file {name} cannot be read: {type(error).__name__}")
        return ""


def _secret(kind: type, value: object) -> object:
    if kind is object:
        return value  # `Json`: left to whoever it configures
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise msgspec.ValidationError(f"Expected a string, got `{type(value).__name__}`")


_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")


def _explained(message: str) -> str:
    """Turn msgspec's sentence into ours: path first, then the fault, then the nearest known name."""
    place = _AT.search(message)
    path = place[1] if place else ""
    fault = _AT.sub("", message)
    unknown = _UNKNOWN.search(fault)
    if unknown:
        name = unknown[1]
        near = difflib.get_close_matches(name, _field_names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; see `turnout check --schema`"
        return f"{path}.{name}".lstrip(".") + f": unknown key{hint}"
    fault = fault[0].lower() + fault[1:]
    return f"{path}: {fault}" if path else fault


@cache
def _field_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(_names_of(Config, set())))


def _names_of(kind: Any, seen: set[Any]) -> Iterator[str]:
    if get_origin(kind) is not None:
        for argument in get_args(kind):
            yield from _names_of(argument, seen)
    elif isinstance(kind, type) and issubclass(kind, Struct) and kind not in seen:
        seen.add(kind)
        for name, hint in get_type_hints(kind).items():
            yield name
            yield from _names_of(hint, seen)


def to_builtins(config: Config) -> Json:
    """Write a configuration as plain data with every secret as `***`."""
    tree: Json = msgspec.to_builtins(config, enc_hook=str, str_keys=True)
    return tree


def json_schema() -> Json:
    """Return the JSON Schema of the configuration file."""
    schema: Json = msgspec.json.schema(
        Config, schema_hook=lambda kind: {"type": "string", "format": "password"} if kind is Secret else {}
    )
    return schema
