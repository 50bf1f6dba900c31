"""What a configuration file can say: one typed tree, its defaults and its limits. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from turnout.catalog.prices import UsdPrice
from turnout.config.admin import AdminConfig
from turnout.config.alerts import AlertsConfig
from turnout.config.cache import CacheConfig, Mode, RouteCacheConfig
from turnout.config.compress import CompressMode, PromptCache
from turnout.config.counting import CountingConfig
from turnout.config.desk import DeskConfig
from turnout.config.evaluate import EvaluateConfig
from turnout.config.feedback import FeedbackConfig
from turnout.config.files import BatchesConfig, FilesConfig
from turnout.config.guards import GuardsConfig
from turnout.config.keys import KeyConfig
from turnout.config.limits import BudgetConfig, LedgerConfig, QuotaConfig
from turnout.config.log import LogConfig
from turnout.config.mcp import McpConfig
from turnout.config.passthrough import PassthroughConfig
from turnout.config.providers import ProviderConfig
from turnout.config.quality import QualityConfig
from turnout.config.realtime import RealtimeConfig
from turnout.config.responses import ResponsesConfig
from turnout.config.retention import RetentionConfig
from turnout.config.stores import SQLITE, check_journal_store
from turnout.config.telemetry import TelemetryConfig
from turnout.layers.retry import RetryConfig
from turnout.stores.live import BreakerConfig, HealthConfig, RetryBudgetConfig
from turnout.strategies.pipeline import Limit
from turnout.types.address import Address
from turnout.types.compress import CompressRule
from turnout.types.deployment import Probe
from turnout.types.json import Json
from turnout.types.secret import Secret
from turnout.types.slot import Slot
from turnout.types.structured import Structured

Port = Annotated[int, Meta(ge=0, le=65535)]
AtLeastOne = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
AtLeastZero = Annotated[float, Meta(ge=0, le=1e9)]
Name = Annotated[str, Meta(min_length=1)]


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificate and key of the listener."""

    cert: str
    key: str


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens and what it accepts (SECURITY.md section 7)."""

    host: str = "127.0.0.1"
    port: Port = 4000
    metrics_port: Port | None = None
    """Port of the Prometheus listener on the same host; none = off."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    keys: tuple[KeyConfig, ...] = ()
    tls: TlsConfig | None = None
    behind_proxy: bool = False
    """A proxy in front ends TLS: allows a bind beyond loopback without `tls`."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of `Host` that are accepted; empty = any well-formed one."""
    max_body_mib: Annotated[float, Meta(gt=0, le=1024)] = 32
    max_open: AtLeastOne = 4096
    keep_alive_s: Positive = 15
    """A stream silent for this long gets a keep-alive frame."""
    grace_s: AtLeastZero = 30
    """How long open answers may go on after SIGTERM."""
    header_timeout_s: Positive = 10
    body_timeout_s: Positive = 60
    idle_timeout_s: Positive = 75
    max_connections_per_address: AtLeastOne = 256
    max_streams_per_key: AtLeastOne = 64


class TimeoutsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one attempt in seconds; `total_s` of a route is over all attempts."""

    connect_s: Positive = 10
    first_byte_s: Positive = 60
    idle_s: Positive = 60
    total_s: Positive = 600


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one deployment may carry at once."""

    max_concurrency: AtLeastOne | None = None
    max_queue: NotNegative = 100


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
    weight: AtLeastZero = 1
    priority: int = 0
    region: str | None = None
    tags: frozenset[str] = frozenset()
    limits: LimitsConfig = LimitsConfig()
    timeouts: TimeoutsConfig | None = None
    ttft_slo_s: float | None = None
    """Limit of the 95th percentile of the time to the first content; replaces `health.ttft_p95_s`."""
    probe: Probe | None = None
    """Replaces the provider's, or `health.probe`."""
    price: UsdPrice | None = None
    """USD per million tokens, replacing the catalogue's."""
    context_window: AtLeastOne | None = None
    max_output: AtLeastOne | None = None
    capabilities: frozenset[str] | None = None
    modalities: frozenset[str] | None = None
    safety: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of your own safety evaluation that the model passed; wins over a score on `safety`."""


class CertificateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much quality a route may lose against its reference, and what happens when that is not certain."""

    file: str | None = None
    """Written by `turnout calibrate`; None = none yet, and everything goes to the reference."""
    max_loss: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Largest mean loss that a certificate may allow; None = as the file says."""
    confidence: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Least confidence that a certificate must have; None = as the file says."""
    reference: str | None = None
    """Model, or id of a deployment; None = as the file says."""
    previous: str | None = None
    """File of the certificate before this one, for `on_expiry: previous` and `on_drift: rollback`."""
    on_expiry: Literal["reference", "previous", "warn"] = "reference"
    """What requests go by when its date has passed; `warn` = the old threshold, without a promise."""
    on_drift: Literal["warn", "abstain", "rollback"] = "abstain"
    """What they go by after an alarm; `abstain` = the reference, `rollback` = the certificate before it."""
    shadow_share: Annotated[float, Meta(ge=0, le=1)] = 0
    """Share of requests whose routed answer is also made by the reference, in the background. Costs money."""
    shadow_score: dict[str, Json] | None = None
    """Acceptor that scores both answers: the scorer of the certificate."""


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named pool of models and how to choose among them."""

    name: Name
    models: tuple[str, ...]
    strategy: dict[str, Json] = field(default_factory=lambda: {"type": "priority"})
    filter: tuple[dict[str, Json], ...] | None = None
    """None = allowed, capable, fits, healthy, priced."""
    certificate: CertificateConfig | None = None
    """None = nothing is promised."""
    total_s: Positive | None = None
    max_retries: Annotated[int, Meta(ge=0, le=5)] | None = None
    fallback_on: frozenset[Literal["content_filtered", "provider_rejected"]] = frozenset()
    stream_recovery: Literal["error", "continue"] = "error"
    unsupported_params: Literal["drop", "reject"] = "drop"
    response_model: Literal["answered", "requested"] = "answered"
    store_content: bool = False
    structured: Structured | None = None
    """Answers with a required shape: checked, and repaired. None = passed on as they come."""
    guards: tuple[str, ...] = ()
    """Guards of its requests, by name; those of a surface, a key or a team are asked beside them."""
    calibration: Literal["suggest", "apply"] = "suggest"
    """Whether `turnout calibrate feedback --apply` may change its strategy's threshold."""
    cache: Mode | RouteCacheConfig | None = None
    """Whether its answers are given again; None = `cache.default`."""
    compress: CompressMode | CompressRule | None = None
    """How its conversations are shortened before they go out; None = `compress` of the file."""
    prompt_cache: PromptCache | None = None
    """Whether its prompts are marked for the provider's cache; None = `prompt_cache` of the file."""


class JournalConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Records are kept."""

    enabled: bool = True
    store: Address | None = None
    """`sqlite` = the file at `path`; `postgres://user@host:port/name` = shared by replicas, and the spool of
    what has not reached it yet lies beside `path`. None = `sqlite`."""
    path: str = ".turnout/journal.db"
    fsync: Literal["never", "interval", "always"] = "interval"
    content: bool = False
    """Store prompts and answers (a route may also ask for it with `store_content`)."""
    hash_key: Secret | None = None
    """Key of query, session and end-user digests; none = they are not kept."""

    def __post_init__(self) -> None:
        check_journal_store(self.where)

    @property
    def where(self) -> Address:
        """Where they are kept."""
        return self.store or SQLITE


class EgressConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where upstream connections may go (SECURITY.md section 5)."""

    allow_cidrs: tuple[str, ...] = ()
    allow_http: tuple[str, ...] = ()
    """Hosts to which plain HTTP is allowed; loopback always is."""
    max_connections: AtLeastOne = 512
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
    guards: tuple[str, ...] = ()
    """Guards of its requests, by name."""
    flagged: str | None = None
    """Route that takes requests which a guard has flagged."""


class BenchmarksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Own benchmark scores."""

    files: tuple[str, ...] = ()
    """CSV or JSON lines; checked by `turnout scores check FILE`."""
    import_path: str | None = None
    """File in which `POST /admin/benchmarks` keeps what it takes in; none = it takes in nothing."""


class BackgroundConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that nobody waits for, and the hours in which calls are cheaper."""

    path: str | None = None
    """SQLite file of the queue; none = there is no queue."""
    max_jobs: AtLeastOne = 10_000
    """Jobs that may wait or run at once; further ones are refused."""
    max_running: AtLeastOne = 4
    """Jobs that run at once, over all processes that share the file."""
    max_tries: Annotated[int, Meta(ge=1, le=100)] = 5
    """Runs of one job whose failures may pass, as long as its deadline is far enough."""
    lease_s: Positive = 30
    """A running job whose process was not heard of for this long is taken up by another."""
    deadline_s: Positive = 86_400
    """From arrival to the answer, where neither the job nor the route's strategy says so."""
    max_deadline_s: Positive = 604_800
    """The latest deadline a job may name."""
    eta: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    """Probability of missing the deadline that waiting for a cheaper slot may bring."""
    retention_s: AtLeastZero = 86_400
    """How long a job is kept after its answer was collected, or after it ended without one."""
    keep_s: Positive = 604_800
    """How long an answer that nobody collects is kept."""
    slots: tuple[Slot, ...] = ()
    """Hours in which calls are cheaper, as your contracts say."""


class RemoteEncoderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedding model behind the signal `embed.remote`: every decision that needs it makes a call."""

    model: Name
    """`provider/model`, or the id of a deployment."""
    dimensions: AtLeastOne | None = None
    """None = as many as the model has."""
    deadline_s: Positive = 0.25
    """How long a decision waits for the vector; then it is absent."""


class StrengthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model behind the signal `strength`: it says from 1 to 5 how strong a model a request needs."""

    model: Name
    """`provider/model`, the id of a deployment, or `turnout/route`."""
    deadline_s: Positive = 2.0
    """How long a decision waits for it; then it is absent."""


class SignalsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signals that are computed beside the event loop, because they take milliseconds."""

    deadline_s: Positive = 0.01
    """How long a decision waits for those computed in threads; then they are absent."""
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    queue: AtLeastOne = 16
    """Computations that may wait or run at once; a decision beyond goes without, at once."""
    remote: RemoteEncoderConfig | None = None
    strength: StrengthConfig | None = None


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
    background: BackgroundConfig = BackgroundConfig()
    files: FilesConfig = FilesConfig()
    """What clients upload."""
    batches: BatchesConfig = BatchesConfig()
    """Many requests in one file."""
    passthrough: PassthroughConfig = PassthroughConfig()
    """Endpoints of providers that the gateway does not know."""
    counting: CountingConfig = CountingConfig()
    """Who counts the tokens of a request that is not sent."""
    signals: SignalsConfig = SignalsConfig()
    """Facts about a request that strategies read."""
    responses: ResponsesConfig = ResponsesConfig()
    """Conversations that clients of `/v1/responses` go on with by id."""
    realtime: RealtimeConfig = RealtimeConfig()
    """Sessions of speech."""
    mcp: McpConfig = McpConfig()
    """The gateway as a tool server."""
    timeouts: TimeoutsConfig = TimeoutsConfig()
    max_retries: Annotated[int, Meta(ge=0, le=5)] = 2
    """On the same deployment, where the failure's class allows it; a route may say otherwise."""
    retry: RetryConfig = RetryConfig()
    retry_budget: RetryBudgetConfig = RetryBudgetConfig()
    breaker: BreakerConfig = BreakerConfig()
    health: HealthConfig = HealthConfig()
    """When a deployment is asked last, and how it comes back."""
    budgets: tuple[BudgetConfig, ...] = ()
    """Who may spend how much."""
    quotas: tuple[QuotaConfig, ...] = ()
    """Who may ask how often, for how many tokens, and how many at once."""
    ledger: LedgerConfig = LedgerConfig()
    """Where budgets and quotas are counted."""
    admin: AdminConfig = AdminConfig()
    alerts: AlertsConfig = AlertsConfig()
    """What is watched, and who is told."""
    desk: DeskConfig | None = None
    """Where keys and limits are kept that change while gateways run; none = used once its file is there."""
    retention: RetentionConfig = RetentionConfig()
    """How long Records and their text are kept; without, for ever."""
    guards: GuardsConfig = GuardsConfig()
    """What is checked on the way in and out."""
    cache: CacheConfig = CacheConfig()
    """Answers that are given again."""
    compress: CompressMode | CompressRule | None = None
    """How conversations are shortened on routes that say nothing, and for requests that name a model."""
    prompt_cache: PromptCache = "off"
    """Likewise: whether prompts are marked for the provider's cache."""
    feedback: FeedbackConfig = FeedbackConfig()
    """What is said of answers."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Reports that the dashboard shows."""
    quality: QualityConfig = QualityConfig()
    """Answers that another model judges."""
    journal: JournalConfig = JournalConfig()
    egress: EgressConfig = EgressConfig()
    catalog: CatalogConfig = CatalogConfig()
    log: LogConfig = LogConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    """What leaves for an OpenTelemetry collector."""
