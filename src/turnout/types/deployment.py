"""Vendor, model and deployment: three objects, so that a vendor is a row and a model is data. Floor 0."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from turnout.types.http import Timeouts
from turnout.types.secret import Secret
from turnout.types.slot import Slot
from turnout.types.usage import NanoUsd, Price

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "sigv4", "google", "none"]
"""`sigv4` = requests signed with AWS keys; `google` = tokens fetched for a service account."""
Host = Literal["azure", "vertex", "bedrock_invoke"]
"""A cloud that serves a wire format behind an envelope of its own (`turnout.codecs.hosts`)."""


ModelKind = Literal["chat", "embedding", "rerank", "image", "speech", "transcription", "moderation", "other"]
"""What a model is made for; beside `chat`, `embedding` and `other` the kinds of `TaskRequest`."""


class Quirks(Struct, frozen=True, kw_only=True):
    """How a host departs from its wire format. Data, so that no code asks for a vendor's name."""

    max_tokens_field: str = "max_tokens"
    """Name of the output limit (`max_completion_tokens` at OpenAI itself)."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` is understood; False = usage comes anyway or never."""
    developer_role: bool = False
    """Whether the `developer` role is understood; False = sent as `system`."""
    cache_marks: bool = False
    """Whether Anthropic's `cache_control` is understood on words and tools, for the sake of a Claude behind
    the host; False = left out of a request in another format."""
    openai_fields: bool = False
    """Whether the host knows what OpenAI's two formats share (`service_tier`, `prompt_cache_key`, …); False =
    left out of a request that comes in the other one."""
    unsupported: frozenset[str] = frozenset()
    """Top-level request fields the host refuses; dropped with a notice or filtering, by their kind."""
    reasoning_field: str = "reasoning_content"
    """Field in which reasoning text comes back (`reasoning`, `reasoning_content`)."""
    thinking_field: Literal["reasoning_effort", "reasoning", "thinking"] = "reasoning_effort"
    """Field in which the host is told how much to reason."""
    required_as_any: bool = False
    """`tool_choice: required` is spelled `any`."""
    tool_id_length: int | None = None
    """Exact length the host demands of tool call ids (Mistral: 9)."""
    image_url_string: bool = False
    """`image_url` must be a plain string."""
    json_schema: bool = True
    """Whether `response_format: json_schema` is understood."""
    audio_outside_prompt: bool = False
    """Audio tokens are not part of `prompt_tokens`."""
    extra_headers: tuple[tuple[str, str], ...] = ()
    """Fixed headers the host wants."""
    query: str = ""
    """Fixed query string, such as `api-version=…`."""
    paths: Mapping[str, str] = {}
    """Path of an operation in OpenAI's API -> the host's own (`/images/generations` -> `/images`)."""
    rerank_limit: Literal["top_n", "top_k"] = "top_n"
    """Name of the number of documents to return."""
    modelless: Mapping[str, frozenset[str]] = {}
    """Operation whose form names no model -> the fields that it may have; its file stands last."""
    prompt: str = ""
    """Family of the format `prompt` (`turnout.codecs.prompt.families`); "" = as the model's name says."""


class Vendor(Struct, frozen=True, kw_only=True):
    """Who answers, where, and in which wire format."""

    name: str
    base_url: str
    """Without a trailing slash; codecs append their own path."""
    codec: str
    """Name of the wire format: `openai_chat`, `anthropic`, `gemini`, …"""
    auth: Auth = "bearer"
    env: tuple[str, ...] = ()
    """Environment variables in which users keep the key, in order."""
    quirks: Quirks = Quirks()
    allow_http: bool = False
    """Plain HTTP to a host that is not loopback."""
    embeddings: bool = True
    tasks: frozenset[str] | None = None
    """Operations it serves beside conversations and vectors: kinds of `TaskRequest`; None = not known."""
    batches: Literal["", "openai", "anthropic", "gemini"] = ""
    """Shape of its own batch endpoint; "" = it has none that is known here."""
    docs: str = ""
    aliases: tuple[str, ...] = ()
    """Names other tools give this vendor; understood wherever a vendor is named."""
    makes: tuple[str, ...] = ()
    """Prefixes of bare model ids that mean this vendor's own models (`gpt-`, `claude-`)."""
    seen: str = ""
    """ISO date on which this row was last compared with its sources."""
    host: Host | None = None
    """Cloud around the wire format; None = the maker's own address."""
    api_version: str = ""
    """Version of the host's surface, where it has several."""
    region: str = ""
    """Region requests are signed for; "" = as the address says."""
    parameter_env: Mapping[str, tuple[str, ...]] = {}
    """Placeholder of the address -> environment variables in which users keep it, in order."""
    telemetry: str = ""
    """Its name in OpenTelemetry's conventions for generative AI; "" = its own."""


class Model(Struct, frozen=True, kw_only=True):
    """Facts about a model, whoever serves it. None = not known, which is not zero."""

    id: str
    """`provider/model`."""
    context_window: int | None = None
    max_input: int | None = None
    """Input limit, where it is smaller than the window; None = the window."""
    max_output: int | None = None
    price: Price | None = None
    modalities_in: frozenset[str] = frozenset({"text"})
    modalities_out: frozenset[str] = frozenset({"text"})
    capabilities: frozenset[str] | None = None
    """Subset of {tools, parallel_tools, tool_choice, json_object, json_schema, reasoning, prompt_cache,
    logprobs, embeddings, system, web_search, streaming} and the kinds of `TaskRequest`; None = not known:
    nothing is filtered on it."""
    kind: ModelKind = "chat"
    retires_on: str | None = None
    """ISO date."""
    successors: tuple[str, ...] = ()
    embedding_dimensions: int | None = None
    benchmarks: Mapping[str, float] = {}
    safety: float | None = None
    """Share of a safety evaluation it passed: the operator's own, else the score on `safety`."""
    source: str = ""
    as_of: str = ""


class Credential(Struct, frozen=True):
    """A key of the operator at one vendor."""

    name: str
    secret: Secret | None


class Limits(Struct, frozen=True, kw_only=True):
    """What one deployment may carry at once."""

    max_concurrency: int | None = None
    """None = no cap."""
    max_queue: int = 100
    """Attempts that may wait for a free place; further ones fail at once."""


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether and how a deployment is asked after while nobody else asks it."""

    enabled: bool = False
    interval_s: float = 30.0
    """Between two probes of a deployment; an unwell one is asked five times as often."""
    timeout_s: float = 10.0
    """Wait for an answer, after which the probe has failed."""
    prompt: str = "ping"
    max_tokens: int = 16
    path: str | None = None
    """Path beneath the base address that is asked with GET instead of the prompt: it costs nothing, and shows
    that the host is up, not that the model answers."""

    def __post_init__(self) -> None:
        if not 1 <= self.interval_s <= 86_400:
            raise ValueError(f"interval_s is {self.interval_s}; expected 1 to 86400")
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"timeout_s is {self.timeout_s}; expected above 0 and at most 600")
        if not 1 <= self.max_tokens <= 256:
            raise ValueError(f"max_tokens is {self.max_tokens}; expected 1 to 256")
        if not 0 < len(self.prompt) <= 1000:
            raise ValueError("prompt must have 1 to 1,000 characters")
        if self.path is not None and (":" in self.path or ".." in self.path or self.path.startswith("//")):
            raise ValueError(f"path is {self.path!r}; expected one beneath the base address, such as /models")


class Deployment(Struct, frozen=True, kw_only=True):
    """One model at one vendor under one credential: what an attempt is sent to."""

    id: str
    """Unique; `provider/model` unless the operator says otherwise."""
    vendor: Vendor
    model: Model
    upstream_model: str
    """The name the vendor knows the model by."""
    credential: Credential | None = None
    spare: tuple[Credential, ...] = ()
    """Further credentials at the same vendor: all take turns."""
    base_url: str | None = None
    """Replaces the vendor's, for self-hosted and Azure-style addresses."""
    region: str | None = None
    weight: float = 1.0
    priority: int = 0
    """Lower is asked first."""
    tags: frozenset[str] = frozenset()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    ttft_slo_s: float | None = None
    """Limit of the p95 time to the first content; above it the deployment is asked last."""
    probe: Probe | None = None
    """None = it is not asked after."""
    slots: tuple[Slot, ...] = ()
    """Hours in which calls to it are cheaper."""

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return self.base_url or self.vendor.base_url


BreakerState = Literal["closed", "open", "half_open"]


class Stats(Struct, frozen=True, kw_only=True):
    """Live numbers of one deployment at one instant. None = nothing observed yet."""

    state: BreakerState = "closed"
    cooldown_s: float = 0.0
    """Seconds until the breaker lets a probe through; 0 when not open."""
    demoted: bool = False
    """Unwell: asked only after all others."""
    share: float = 1.0
    """Share of its calls that it should get: below 1 while it comes back from being unwell or down."""
    error_ratio: float | None = None
    n_observed: int = 0
    """Attempts inside the window the ratios and quantiles cover."""
    in_flight: int = 0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    tokens_per_s: float | None = None
    tokens_ratio: float | None = None
    """Input tokens it counted over those estimated for the reference encoding, smoothed."""
    ttft_recent_s: float | None = None
    """Median of the latest few: what it is at this instant, where the quantiles tell what is usual."""
    total_recent_s: float | None = None
    peak_ewma_s: float | None = None
    """Latency that rises at once with a slow answer and decays over seconds."""


class Candidate(Struct, frozen=True):
    """A deployment with a snapshot of its live numbers: what strategies choose among."""

    deployment: Deployment
    stats: Stats = Stats()

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.deployment.id


class CostEstimate(Struct, frozen=True):
    """Predicted money of one call."""

    mean: NanoUsd
    worst: NanoUsd
