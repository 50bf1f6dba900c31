"""One version of the configuration, compiled: what a request is served with from start to end. Floor 4."""

from collections.abc import Mapping

from msgspec import Struct

from turnout.engine.exchange import DEFAULT_POLICY, Policy
from turnout.engine.limits import NO_LIMITS, Limits
from turnout.guards.base import NO_POSTS, Posting
from turnout.signals.base import Sense
from turnout.strategies.base import Filter, Strategy, Surface
from turnout.types.cache import CacheRule
from turnout.types.compress import CompressRule
from turnout.types.deployment import Deployment
from turnout.types.quality import NOTHING_HEARD, Listening

NO_MODEL_SERVED = (
    "no model is served: none is configured, and no provider has its key in the environment, such as "
    "OPENAI_API_KEY"
)
"""What to say where there is no deployment at all."""


class Route(Struct, frozen=True, kw_only=True):
    """A named pool of deployments with the strategy that chooses among them."""

    name: str
    deployments: tuple[Deployment, ...]
    """In the declared order."""
    strategy: Strategy
    filters: tuple[Filter, ...]
    senses: tuple[Sense, ...] = ()
    """The signals the strategy needs, in an order that satisfies their own needs."""
    slow: bool = False
    """Whether a decision waits for one of them (`engine/beside.py`)."""
    policy: Policy = DEFAULT_POLICY
    guarded: Strategy | None = None
    """What chooses where the surface or the caller asks for floors; None = the strategy itself heeds them."""


class Place(Struct, frozen=True):
    """A surface with the filters it puts before every route."""

    surface: Surface
    filters: tuple[Filter, ...] = ()


class Retiring(Struct, frozen=True):
    """When a model retires, and who stands in for it then."""

    on: str
    """ISO date; from this day on."""
    successors: tuple[Deployment, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything configured. Never changed: a reload makes another one."""

    version: int
    digest: str
    deployments: Mapping[str, Deployment]
    """By id."""
    models: Mapping[str, tuple[Deployment, ...]]
    """Model id (`provider/model`) -> who serves it, best first."""
    routes: Mapping[str, Route] = {}
    aliases: Mapping[str, str] = {}
    """Another name -> model id, alias or `turnout/<route>`; resolved to the end when the snapshot is made."""
    default_route: str | None = None
    """What `auto` means."""
    surfaces: Mapping[str, Place] = {}
    retiring: Mapping[str, Retiring] = {}
    """By deployment id; those whose model has a day of retirement."""
    direct: Route
    """Strategy, filters and policy for requests that name a model or list candidates; its pool is empty."""
    bare: Mapping[str, str] = {}
    """Well-known ids without provider -> model id, where unique."""
    limits: Limits = NO_LIMITS
    """Who may spend and use how much."""
    guards: Posting = NO_POSTS
    """Who is checked by what."""
    caches: Mapping[str, CacheRule] = {}
    """By route; those whose answers are kept."""
    listening: Listening = NOTHING_HEARD
    """What of live traffic is judged."""
    compress: Mapping[str, CompressRule] = {}
    """By route; those whose conversations are shortened."""
    prompt_cached: frozenset[str] = frozenset()
    """Routes whose prompts are marked for the caches of providers."""
    signal_deadline_s: float = 0.01
    """How long a decision waits for signals computed in threads."""
    default_max_tokens: int = 4096
    """Output to reckon with when neither the client nor the model says."""
