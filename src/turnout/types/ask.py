"""Everything a request says about *how* it wants to be served, apart from its content. Floor 0."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from turnout.types.cache import CacheWish
from turnout.types.chat import NOTHING
from turnout.types.json import Json, JsonObject
from turnout.types.principal import ANONYMOUS, Principal
from turnout.types.signal import Signals
from turnout.types.usage import NanoUsd

Endpoint = Literal["chat", "embeddings", "rerank", "images", "audio", "moderations", "probe", "realtime"]


class Wire(Struct, frozen=True):
    """The client's own JSON, parsed once and strictly; what the express track sends on."""

    format: str
    """Wire format of the client's dialect."""
    body: JsonObject
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of the dialect that travel with it (`anthropic-*`)."""


class Preferences(Struct, frozen=True, kw_only=True):
    """What a client asked of the choice; may only narrow what policy allows (WIRE.md 5 and 7)."""

    route: str | None = None
    candidates: tuple[str, ...] = ()
    """Model names to choose among, in order."""
    fallbacks: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    """Globs over model or provider names."""
    only_providers: tuple[str, ...] = ()
    order_providers: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    sort: Literal["", "price", "throughput", "latency"] = ""
    max_cost_nusd: NanoUsd | None = None
    max_price_input_nusd_per_mtok: int | None = None
    max_price_output_nusd_per_mtok: int | None = None
    min_quality: float | None = None
    weights: Mapping[str, float] = {}
    """Benchmark name -> weight."""
    samples: int | None = None


class Findings(Struct, frozen=True):
    """What guards found in a request: closed words and numbers, never text."""

    types: Mapping[str, float] = {}
    """Type of guard -> the score of its surest finding, 0 = nothing; only those that answered."""
    names: Mapping[str, float] = {}
    """Name of a configured guard -> the same."""
    kinds: Mapping[str, int] = {}
    """Kind of finding -> how many."""
    flagged: bool = False
    """Whether a guard in the mode `flag` found something."""


class Ask(Struct, frozen=True, kw_only=True):
    """The envelope of one request."""

    request_id: str
    """`req_` + 26 characters."""
    endpoint: Endpoint = "chat"
    dialect: str = ""
    """Dialect the client speaks; "" = the SDK."""
    client_request_id: str | None = None
    principal: Principal = ANONYMOUS
    wire: Wire | None = None
    """None = built in process: there is no express track."""
    prefer: Preferences = Preferences()
    session: str | None = None
    surface: str | None = None
    visibility: Literal["user", "background"] | None = None
    """Whether somebody waits for the answer; None = as the surface says."""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    end_user: str | None = None
    timeout_s: float | None = None
    ttft_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    retries: int | None = None
    """0–5; None = the route's."""
    log_content: bool = True
    """False = this request's text must not be stored, whatever the route says."""
    explain: Literal["none", "summary", "full"] = "none"
    traceparent: str | None = None
    tracestate: str | None = None
    is_probe: bool = False
    """Nobody's request: it asks after a deployment's health, and moves no latency and no budget."""
    hops: bytes | None = None
    """Ids of the gateways the request has passed, this one last: sent on, so that a loop is seen (S-18)."""
    warnings: tuple[str, ...] = ()
    """Closed words collected while reading the request (`route_ignored`, …)."""
    left_nusd: NanoUsd | None = None
    """What the tightest budget of the caller has left; None = none is kept."""
    downgrade: str | None = None
    """Route that a nearly spent budget sends the request to, whatever it named."""
    diverted: str | None = None
    """Route that a guard's flag sends the request to, whatever it named."""
    findings: Findings | None = None
    """What guards found; None = no guard was asked."""
    given: Signals | None = None
    """Signals computed by a caller that keeps the words to itself; None = they are sensed here."""
    cache: CacheWish | None = None
    """What its headers ask of the cache; None = nothing."""
    extra: Mapping[str, Json] = NOTHING
