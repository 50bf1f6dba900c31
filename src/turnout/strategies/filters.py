"""The filters every route applies, in the order of ROUTING.md 1.2. Floor 2.

A filter that lacks a fact keeps the candidate: unknown is not a reason to drop, except where money is
capped and the price is what is unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf
from typing import ClassVar, TypeVar

from msgspec import Struct

from turnout.strategies.base import Context, n_tokens_in, n_tokens_out
from turnout.types.ask import Preferences
from turnout.types.chat import ChatRequest, Facts
from turnout.types.deployment import Candidate, Deployment, Model
from turnout.types.task import KINDS, TaskKind, TaskRequest, reckoned
from turnout.types.usage import cost, text_cost

P = TypeVar("P")


class Reach(Struct, frozen=True):
    """What all deployments of a pool can do: what lies within it none of them needs to be asked."""

    chats: bool
    window: float
    """Tokens in and out."""
    n_in: float
    n_out: float


def reach_of(deployments: Iterable[Deployment]) -> Reach:
    """Return what all of these can do; what is not known is no limit."""
    models = [deployment.model for deployment in deployments]
    return Reach(
        all(model.kind != "embedding" and not _only_performs(model) for model in models),
        min((model.context_window for model in models if model.context_window is not None), default=inf),
        min((model.max_input for model in models if model.max_input is not None), default=inf),
        min((model.max_output for model in models if model.max_output is not None), default=inf),
    )


class Allowed(Struct, frozen=True, tag="allowed"):
    """Keeps what the key and the caller's own wishes allow."""

    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    deny: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Word for Records."""
        return "allowed"

    def rests(self, context: Context) -> bool:
        """Tell whether it drops nobody of this request, whoever it is."""
        prefer = context.ask.prefer
        return not (
            self.allow
            or self.deny
            or context.ask.principal.allow
            or prefer.allow
            or prefer.only_providers
            or prefer.avoid
        )

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return why the candidate is not allowed, or None."""
        deployment = candidate.deployment
        principal, prefer = context.ask.principal, context.ask.prefer
        if self.allow and not _matches(self.allow, deployment):
            return "not_allowed_by_route"
        if self.deny and _matches(self.deny, deployment):
            return "denied_by_route"
        if principal.allow and not _matches(principal.allow, deployment):
            return "not_allowed_for_key"
        return _unwanted(prefer, deployment)


def _unwanted(prefer: Preferences, deployment: Deployment) -> str | None:
    if prefer.allow and not _matches(prefer.allow, deployment):
        return "not_allowed_by_caller"
    if prefer.only_providers and deployment.vendor.name not in prefer.only_providers:
        return "provider_not_listed"
    if prefer.avoid and _matches(prefer.avoid, deployment):
        return "avoided_by_caller"
    return None


def _matches(globs: Sequence[str], deployment: Deployment) -> bool:
    model, vendor = deployment.model.id, deployment.vendor.name
    return any(fnmatchcase(model, glob) or fnmatchcase(vendor, glob) for glob in globs)


class Capable(Struct, frozen=True, tag="capable"):
    """Keeps what can do all that the request binds it to: media, tools, structure, server tools."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "capable"

    def rests(self, context: Context, reach: Reach) -> bool:
        """Tell whether it drops nobody of a pool of this reach."""
        request = context.request
        if not reach.chats or not isinstance(request, ChatRequest):
            return False
        facts = request.facts
        return not (
            facts.modalities or facts.native_wire or facts.n_tools or facts.structured or facts.realtime
        )

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return what the candidate lacks, or None."""
        deployment = candidate.deployment
        model, facts = deployment.model, context.request.facts
        if isinstance(context.request, TaskRequest):
            return _without_task(context.request, deployment)
        if not isinstance(context.request, ChatRequest):
            is_known = _only_performs(model) or (model.kind == "chat" and bool(model.source))
            return "no_embeddings" if is_known or not deployment.vendor.embeddings else None
        if model.kind == "embedding" or _only_performs(model):
            return "no_chat"
        if facts.realtime and "realtime" not in (model.capabilities or ()):
            return "no_realtime"
        return _without_ability(facts, deployment)


def _without_ability(facts: Facts, deployment: Deployment) -> str | None:
    model = deployment.model
    if facts.modalities:
        for kind in facts.modalities:
            if kind not in model.modalities_in and model.capabilities is not None:
                return f"no_{kind}"
    if facts.native_wire and deployment.vendor.codec != facts.native_wire:
        return "no_realtime" if facts.realtime else "no_server_tools"
    can = model.capabilities
    if can is None:
        return None
    if facts.n_tools and "tools" not in can:
        return "no_tools"
    if facts.structured and not can & {"json_schema", "json_object"}:
        return "no_structured_output"
    return None


def _only_performs(model: Model) -> bool:
    """Tell whether a model is made for operations alone, by the catalogue or by the operator's word."""
    can = model.capabilities
    return model.kind in KINDS or (can is not None and bool(can) and can <= KINDS)


def _without_task(request: TaskRequest, deployment: Deployment) -> str | None:
    kind: TaskKind = request.kind
    model, vendor = deployment.model, deployment.vendor
    if vendor.tasks is not None and kind not in vendor.tasks:
        return f"no_{kind}"
    if request.facts.native_wire and vendor.codec != request.facts.native_wire:
        return f"no_{kind}"
    if model.kind == kind or (model.capabilities is not None and kind in model.capabilities):
        return None
    if kind in model.modalities_out:  # models that talk and draw
        return None
    if kind == "compaction":  # what every chat model of such a host has
        talks = model.kind in ("chat", "other") and not _only_performs(model)
        return None if talks else "no_compaction"
    is_known = model.kind != "chat" or bool(model.source) or model.capabilities is not None
    return f"no_{kind}" if is_known and model.kind != "other" else None


class Fits(Struct, frozen=True, tag="fits"):
    """Keeps windows that hold the prompt and the output the client asked for."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "fits"

    def rests(self, context: Context, reach: Reach) -> bool:
        """Tell whether it drops nobody of a pool of this reach."""
        n_in, asked = context.n_tokens_in, context.max_tokens_out if context.explicit_max_tokens else 0
        return (
            n_in + asked <= reach.window
            and n_in <= reach.n_in
            and asked <= reach.n_out
            and not context.tokens_in
        )

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return `window_too_small`, `input_too_long` or `output_too_long`, or None."""
        model = candidate.deployment.model
        n_in = n_tokens_in(context, candidate.deployment)
        asked = context.max_tokens_out if context.explicit_max_tokens else 0
        if model.context_window is not None and n_in + asked > model.context_window:
            return "window_too_small"
        if model.max_input is not None and n_in > model.max_input:
            return "input_too_long"
        if asked and model.max_output is not None and asked > model.max_output:
            return "output_too_long"
        return None


class Healthy(Struct, frozen=True, tag="healthy"):
    """Keeps deployments whose breaker lets a call through."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "healthy"

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return `breaker_open`, or None."""
        return "breaker_open" if candidate.stats.state == "open" else None


class Priced(Struct, frozen=True, tag="priced"):
    """Keeps what costs no more than the route's and the caller's caps."""

    max_cost_usd: float | None = None
    """Worst case of one call."""
    max_cost_per_1k: float | None = None
    """USD per 1,000 tokens of this request's mix (ROUTING.md 1.2)."""
    require_known: bool = False
    """Drop a candidate whose price is not known even without a cap."""

    def __post_init__(self) -> None:
        for name, cap in (("max_cost_usd", self.max_cost_usd), ("max_cost_per_1k", self.max_cost_per_1k)):
            if cap is not None and not 0 <= cap < float("inf"):
                raise ValueError(f"{name} is {cap}; expected USD of at least 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "priced"

    def rests(self, context: Context) -> bool:
        """Tell whether it drops nobody of this request, whoever it is."""
        return context.ask.left_nusd is None and not self.require_known and self._is_plain(context)

    def _is_plain(self, context: Context) -> bool:
        """Tell whether nobody named a price: what is left of a budget may still count."""
        prefer = context.ask.prefer
        return (
            self.max_cost_usd is None
            and self.max_cost_per_1k is None
            and prefer.max_cost_nusd is None
            and prefer.max_price_input_nusd_per_mtok is None
            and prefer.max_price_output_nusd_per_mtok is None
        )

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return why the price rules the candidate out, or None."""
        prefer, left = context.ask.prefer, context.ask.left_nusd
        if left is not None and self._is_plain(context):
            worst = _most(context, candidate.deployment)
            return "price_unknown" if worst is None else "over_budget" if worst > left else None
        wished = prefer.max_cost_nusd
        caps = [c for c in (self.max_cost_usd, None if wished is None else wished * 1e-9) if c is not None]
        unit = (prefer.max_price_input_nusd_per_mtok, prefer.max_price_output_nusd_per_mtok)
        capped = bool(caps) or self.max_cost_per_1k is not None or unit != (None, None) or left is not None
        price = candidate.deployment.model.price
        if price is None:
            return "price_unknown" if capped or self.require_known else None
        if not capped:
            return None
        n_in = n_tokens_in(context, candidate.deployment)
        worst = _most(context, candidate.deployment) or 0
        if caps and worst > min(caps) * 1e9:
            return "too_expensive"
        if left is not None and worst > left:
            return "over_budget"
        if self.max_cost_per_1k is not None:
            n_out = n_tokens_out(context, candidate.deployment)
            mean = text_cost(price, n_in, n_out)
            if mean * 1e-9 * 1000 / max(1, n_in + n_out) > self.max_cost_per_1k:
                return "too_expensive_per_1k"
        # One pico-USD per token is 1,000 nano-USD per million tokens.
        if unit[0] is not None and price.input * 1000 > unit[0]:
            return "input_price_over_cap"
        if unit[1] is not None and price.output * 1000 > unit[1]:
            return "output_price_over_cap"
        return None


def _most(context: Context, deployment: Deployment) -> int | None:
    """Return what a call costs that uses all its output tokens; None where the price is not known."""
    price = deployment.model.price
    if price is None:
        return None
    if isinstance(context.request, TaskRequest):
        return cost(reckoned(context.request, price), price)
    return text_cost(price, n_tokens_in(context, deployment), context.max_tokens_out)


class Safe(Struct, frozen=True, tag="safe"):
    """Keeps models with a recorded safety evaluation at or above a floor: what is not known is not safe."""

    floor: float
    known: Mapping[str, float] = {}
    """Model id -> share of the evaluation passed; filled when a configuration is loaded."""

    FILLED: ClassVar = frozenset({"known"})

    @property
    def name(self) -> str:
        """Word for Records."""
        return "safe"

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return `safety_unknown` or `below_safety_floor`, or None."""
        share = self.known.get(candidate.deployment.model.id)
        if share is None:
            return "safety_unknown"
        return "below_safety_floor" if share < self.floor else None


def asked(filters: Sequence[P], context: Context, reach: Reach | None, *, all_closed: bool) -> Sequence[P]:
    """Return the filters that may drop somebody; most leave most requests nothing to do.

    Args:
        filters: All of them.
        context: The request.
        reach: What every candidate can do; None = nobody looked.
        all_closed: Whether the breaker of every candidate is closed.
    """
    found: list[P] = []
    for each in filters:
        if isinstance(each, _WITHIN):
            rests = reach is not None and each.rests(context, reach)
        elif isinstance(each, _RESTING):
            rests = each.rests(context)
        else:
            rests = all_closed and isinstance(each, Healthy)
        if not rests:
            found.append(each)
    return found


_WITHIN, _RESTING = (Capable, Fits), (Allowed, Priced)
Filter = Allowed | Capable | Fits | Healthy | Priced | Safe
STANDARD: tuple[Filter, ...] = (Allowed(), Capable(), Fits(), Healthy(), Priced())
"""What a route applies when it names no filters."""
