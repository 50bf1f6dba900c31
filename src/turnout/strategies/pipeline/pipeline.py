"""The one optimisation that every preset is an instance of. Floor 2.

Theory of operation (ROUTING.md 1.2 and 1.3).

1. Utility of a candidate: U = Σ weight · score over its scorers and modifiers, which is
   Q - λ·C - μ·L - ψ·S when they measure quality, cost, latency and switching.
2. Constraints: quality floor (absolute or relative to the best, on the lower confidence bound), latency limit
   P(L > limit) ≤ η on observed tails, spend per request of the pacer. The strictest of strategy, surface and
   caller holds. Money caps and what a model cannot do are filters, and never relaxed.
3. Nobody satisfies all: constraints are given up in the order pacing, slo, floor, as few as possible, and the
   Choice names them; a floor is given up only down to the best bound there is. `on_infeasible: refuse` raises
   instead.
4. `binding` names the constraints without which the candidate with the highest utility would be another.
5. Candidates with a number come before those without. Fallbacks are the eligible ones, then those that miss
   only the latency limit; never one below the floor or over the pace.
6. A certificate narrows the choice to the reference and whom it permits; constraints come first, and whoever
   it does not permit may only follow when everybody else failed (certified.py).
7. Pure, one pass over the candidates per part: O(candidates).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite, nan
from typing import ClassVar, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError, NoEligibleModel
from turnout.strategies.base import (
    Arranged,
    Bindable,
    Choice,
    Context,
    Draw,
    Filter,
    Modifier,
    Order,
    Scorer,
    Setting,
    Shape,
    Slate,
    in_tool_loop,
)
from turnout.strategies.orders.best import Best
from turnout.strategies.pipeline.certified import Permit, Ruling, followed, rule
from turnout.strategies.pipeline.feasible import Facts, Feasible, Limit, bounds, feasible
from turnout.strategies.pipeline.lazy import Column, Lazy, Terms
from turnout.strategies.pipeline.scored import PLAIN_COST, Scored, predicted_lengths, scored
from turnout.strategies.scorers.quality import Quality
from turnout.strategies.shapes.fallback import Chain
from turnout.types.deployment import Candidate
from turnout.types.record import Objective, Reason

P = TypeVar("P")
NOTHING: Final[Mapping[str, float]] = {}


class Pipeline(Struct, frozen=True, tag="pipeline", kw_only=True, forbid_unknown_fields=True):
    """Score, order, shape, modify."""

    filter: tuple[Filter, ...] = ()
    """Added to the route's filters, replacing those of the same kind. Where a pipeline is one of several that
    a route may use, it applies them itself."""
    score: tuple[Scorer, ...] = ()
    order: Order = Best()
    shape: Shape = Chain()
    modify: tuple[Modifier, ...] = ()
    q_floor: float | None = None
    """Least quality, by the lower confidence bound."""
    q_slack: float | None = None
    """How far below the best candidate's quality one may be."""
    slo: Limit | None = None
    on_infeasible: Literal["relax", "refuse"] = "relax"
    on_bad_score: Literal["last", "refuse"] = "last"
    """What a candidate without a number is: asked last, or the reason to refuse the request."""
    label: str = "pipeline"
    """Name in Records: that of the preset this stands for."""
    because: Reason = "highest_score"
    """What Records say of an unexplored first choice."""
    gauge: Scorer | None = None
    """Measures quality for floors where no scorer does; found when a configuration is loaded."""
    permit: Permit | None = None
    """The route's certificate; put in when a configuration is loaded."""

    FILLED: ClassVar = frozenset({"gauge", "permit"})

    def __post_init__(self) -> None:
        names = [part.name for part in self.score]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"score: {twice[0]!r} stands twice; give one of them, with the sum of the weights"
            )
        if self.q_floor is not None and not 0 <= self.q_floor <= 1:
            raise ValueError(f"q_floor is {self.q_floor}; expected between 0 and 1")
        if self.q_slack is not None and not 0 <= self.q_slack <= 1:
            raise ValueError(f"q_slack is {self.q_slack}; expected between 0 and 1")
        bad = [part.name for part in self.score if not isfinite(part.weight)]
        if bad:
            raise ValueError(f"score: the weight of {bad[0]} is not a number")

    @property
    def name(self) -> str:
        """Word for Records and headers."""
        return self.label

    @property
    def needs(self) -> frozenset[str]:
        """What its scorers need."""
        return frozenset().union(*(part.needs for part in self.score))

    def bind(self, setting: Setting) -> "Pipeline":
        """Make every part ready.

        Raises:
            ConfigError: A part cannot work with this pool, or a floor has no quality to look at.
        """
        problems: list[str] = []
        score = tuple(_bound(part, f"score[{at}].", setting, problems) for at, part in enumerate(self.score))
        modify = tuple(
            _bound(part, f"modify[{at}].", setting, problems) for at, part in enumerate(self.modify)
        )
        order = _bound(self.order, "order.", setting, problems)
        shape = _bound(self.shape, "shape.", setting, problems)
        gauge = self.gauge
        if gauge is None and not any(part.role == "quality" for part in score):
            try:
                gauge = Quality().bind(setting)
            except ConfigError:
                gauge = None
        measured = gauge is not None or any(part.role == "quality" for part in score)
        if not measured and (self.q_floor is not None or self.q_slack is not None):
            name = "q_floor" if self.q_floor is not None else "q_slack"
            problems.append(f"{name}: nothing says how good the route's models are; add a quality scorer")
        problems += self._contradictions(score, gauge)
        if problems:
            raise ConfigError(tuple(problems))
        return msgspec.structs.replace(
            self, score=score, modify=modify, order=order, shape=shape, gauge=gauge
        )

    def _contradictions(self, score: Sequence[Scorer], gauge: Scorer | None) -> list[str]:
        """Return a floor that no model of the pool can reach: it would only ever be relaxed."""
        parts = [part for part in score if part.role == "quality"] or ([gauge] if gauge is not None else [])
        best = getattr(parts[0], "highest", None) if len(parts) == 1 else None
        if self.q_floor is None or not isinstance(best, float) or best >= self.q_floor:
            return []
        reach = f"the best model of the route reaches {best:.3g}"
        return [f"q_floor is {self.q_floor}; {reach}: lower it, or add a better model"]

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Decide. Raises `NoEligibleModel` where its own filters leave nobody, or it is told to `refuse`."""
        if self.filter:
            candidates = _kept(self.filter, context, candidates)
        lengths = predicted_lengths(self.score, context, candidates)
        if lengths:
            context = msgspec.structs.replace(context, tokens_out={**context.tokens_out, **lengths})
        made = scored(self.score, self.modify, context, candidates)
        if self._is_free(context):
            allowed, facts = Feasible(range(len(candidates))), self._facts(context, candidates, made)
        else:
            allowed, facts = self._feasible(context, candidates, made)
        ruling = None if self.permit is None else self._ruling(self.permit, context, candidates, facts)
        allowed = allowed if ruling is None else _permitted(allowed, ruling)
        eligible, numberless = _with_numbers(made.utilities, allowed.eligible)
        if numberless and self.on_bad_score == "refuse":
            raise NoEligibleModel(f"no score for {candidates[numberless[0]].id}; on_bad_score is refuse")
        pinned = self._pin(context, candidates) if self.modify else None
        if ruling is not None and ruling.permitted is not None and pinned not in ruling.permitted:
            pinned = pinned if ruling.keeps_pin else None
        slate = Slate(
            candidates=candidates,
            utilities=made.utilities if eligible is not numberless else [0.0] * len(candidates),
            eligible=eligible,
            quality=facts.quality,
            sd=facts.sd,
            pinned=pinned,
            explorable=pinned is None and not (self.order.explores and in_tool_loop(context.request)),
        )
        arranged = self.order.arrange(context, slate, draw)
        indices = arranged.indices
        if pinned is not None:
            arranged = Arranged(indices=indices, reason="session_sticky")
            indices = _locked(candidates, pinned, indices)
        elif (numberless and eligible is not numberless) or allowed.tail:
            indices = [*indices, *(i for i in (*numberless, *allowed.tail) if i not in eligible)]
        choice = self._choice(context, slate, (made, allowed, facts), (arranged, indices))
        if lengths:
            choice = msgspec.structs.replace(choice, tokens_out=lengths)
        if ruling is None:
            return choice
        last = [i for i in allowed.last if i not in indices]
        plan = followed(choice.plan, candidates, last, context)
        return msgspec.structs.replace(choice, plan=plan, certificate=ruling.view)

    def _ruling(
        self, permit: Permit, context: Context, candidates: Sequence[Candidate], facts: Facts
    ) -> Ruling:
        quality = facts.quality if facts.quality is not None else [nan] * len(candidates)
        ids = permit.ids
        best = [q for c, q in zip(candidates, quality, strict=True) if c.id in ids]
        if not best:  # filtered out: it is measured against all the same
            absent = (Candidate(permit.reference[0]),)
            measured = scored(self.score, (), context, absent).quality
            if measured is None and self.gauge is not None:
                measured = self.gauge.score(context, absent)
            best = list(measured or ())
        return rule(permit, context, candidates, quality, max(best, default=nan))

    def _is_free(self, context: Context) -> bool:
        """Tell whether nothing constrains the choice, as most do not."""
        return (
            self.q_floor is None
            and self.q_slack is None
            and self.slo is None
            and self.permit is None
            and not self.modify
            and context.surface is None
            and context.ask.prefer.min_quality is None
        )

    def _facts(self, context: Context, candidates: Sequence[Candidate], made: Scored) -> Facts:
        """Return what was measured, where no constraint looks at it."""
        sd = None if made.quality is None else self._sd(context, candidates)
        return Facts(made.utilities, made.quality, sd, made.usd)

    def _feasible(
        self, context: Context, candidates: Sequence[Candidate], made: Scored
    ) -> tuple[Feasible, Facts]:
        cap = self._cap_usd(context) if self.modify else None
        bound = bounds(context, self.q_floor, self.q_slack, self.slo, cap)
        quality, sd, usd = made.quality, None, made.usd
        if (
            quality is None
            and self.gauge is not None
            and (bound.floor is not None or bound.slack is not None or self.permit is not None)
        ):
            quality = self.gauge.score(context, candidates)
        if quality is not None:
            sd = self._sd(context, candidates)
        if usd is None and cap is not None:
            usd = PLAIN_COST.score(context, candidates)
        facts = Facts(made.utilities, quality, sd, usd)
        if not bound.any:
            return Feasible(range(len(candidates))), facts
        refuse = self.on_infeasible == "refuse"
        return feasible(context, candidates, facts, bound, refuse=refuse), facts

    def _sd(self, context: Context, candidates: Sequence[Candidate]) -> Sequence[float] | None:
        """Return the deviation of quality where one scorer measures it and knows how sure it is."""
        parts = [part for part in self.score if part.role == "quality"]
        part = parts[0] if parts else self.gauge
        spread = getattr(part, "spread", None) if len(parts) < 2 else None
        return (spread(context, candidates) or None) if spread is not None else None

    def _pin(self, context: Context, candidates: Sequence[Candidate]) -> int | None:
        for modifier in self.modify:
            pinned = modifier.pin(context, candidates)
            if pinned is not None:
                return pinned
        return None

    def _cap_usd(self, context: Context) -> float | None:
        caps = [cap for each in self.modify if (cap := each.cap_usd(context)) is not None]
        return min(caps) if caps else None

    def _choice(
        self,
        context: Context,
        slate: Slate,
        found: tuple[Scored, Feasible, Facts],
        order: tuple[Arranged, Sequence[int]],
    ) -> Choice:
        (made, allowed, facts), (arranged, indices) = found, order
        candidates, reason = slate.candidates, arranged.reason
        return Choice(
            plan=self.shape.shape(context, slate, indices),
            reason=self.because if reason == "highest_score" else reason,
            utilities=Column(candidates, made.utilities),
            scores=Terms(candidates, made.columns),
            objective=Objective(
                lambda_=made.lambda_,
                mu=made.mu,
                psi=made.psi,
                quality_floor=allowed.floor,
                binding=allowed.binding,
                relaxed=allowed.relaxed,
                tie_break=arranged.tie_break,
            ),
            propensity=arranged.propensity,
            explored=arranged.explored,
            quality=NOTHING if facts.quality is None else Column(candidates, facts.quality),
            sd=NOTHING if facts.sd is None else Column(candidates, facts.sd),
            abstained=_abstained(self.score, context),
            neighbours=_neighbours(self.score, context),
        )


def _abstained(score: Sequence[Scorer], context: Context) -> str | None:
    for part in score:
        # Not isinstance: to ask a protocol takes longer than all the rest of a choice's facts.
        abstained: Callable[[Context], str | None] | None = getattr(part, "abstained", None)
        if abstained is not None and part.role == "quality":
            return abstained(context)
    return None


def _neighbours(score: Sequence[Scorer], context: Context) -> Mapping[str, float]:
    """Return the training prompts that a scorer looked at; only whoever reads the decision pays for it."""
    for part in score:
        found: Callable[[Context], Mapping[str, float]] | None = getattr(part, "neighbours", None)
        if found is not None:
            return Lazy(partial(_plain, found, context))
    return NOTHING


def _plain(found: Callable[[Context], Mapping[str, float]], context: Context) -> dict[str, float]:
    return dict(found(context))


def _permitted(allowed: Feasible, ruling: Ruling) -> Feasible:
    """Return who satisfies the constraints and is permitted; the reference where nobody is."""
    permitted = ruling.permitted
    if permitted is None:
        return allowed
    eligible = [i for i in allowed.eligible if i in permitted] or sorted(ruling.fallback)
    return msgspec.structs.replace(
        allowed,
        eligible=eligible,
        tail=[i for i in allowed.tail if i in permitted],
        last=[i for i in (*allowed.eligible, *allowed.tail) if i not in permitted],
    )


def _bound(part: P, field: str, setting: Setting, problems: list[str]) -> P:
    """Return the part made ready; what it lacks goes to `problems` with the path of its row."""
    if not isinstance(part, Bindable):
        return part
    try:
        return part.bind(setting)
    except ConfigError as error:
        problems.extend(field + problem for problem in error.problems)
        return part


def _kept(
    filters: Sequence[Filter], context: Context, candidates: Sequence[Candidate]
) -> Sequence[Candidate]:
    kept = [c for c in candidates if not any(each.drop(context, c) for each in filters)]
    if not kept:
        words = {reason for c in candidates for each in filters if (reason := each.drop(context, c))}
        raise NoEligibleModel(f"every candidate was filtered out: {', '.join(sorted(words))}")
    return kept


def _with_numbers(utilities: Sequence[float], eligible: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Part the eligible into those with a number and those without; all of them when none has one."""
    if isfinite(sum(utilities)):
        return eligible, ()
    finite = [i for i in eligible if isfinite(utilities[i])]
    numberless = [i for i in eligible if not isfinite(utilities[i])]
    return (finite, numberless) if finite else (numberless, numberless)


def _locked(candidates: Sequence[Candidate], pinned: int, indices: Sequence[int]) -> Sequence[int]:
    """Return the pinned candidate first; others only if they speak its wire format."""
    codec = candidates[pinned].deployment.vendor.codec
    others = [i for i in indices if i != pinned and candidates[i].deployment.vendor.codec == codec]
    return [pinned, *others]
