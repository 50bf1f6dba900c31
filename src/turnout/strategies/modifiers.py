"""`sticky`, `paced`, `background`: what moves the objective from outside the candidates. Floor 2."""

from collections.abc import Sequence
from math import exp
from typing import Literal

from msgspec import Struct, field

from turnout.strategies.base import Context, Prices, expected_nusd, in_tool_loop
from turnout.types.deployment import Candidate
from turnout.types.slot import price_factor
from turnout.types.usage import Price

NO_PRICES = Prices()
NEW_TOPIC = "new-topic"
"""Tag by which a client says that the conversation turns to something else: it may be left here."""
HELD = 1e6
"""More than any utility: what leaving costs between boundaries. Finite, so that constraints still rule."""


class Sticky(Struct, frozen=True, tag="sticky", kw_only=True, forbid_unknown_fields=True):
    """Keeps a conversation with its deployment while leaving costs more than it gains (ROUTING.md 7.4, 7.5).

    Leaving costs ψ, and the warm prompt cache: over the turns to come, the prompt is read from the cache
    where the conversation stays and has to be written again where it moves. In an open tool loop it stays.
    """

    psi: float = 0.01
    """Quality that one switch costs: style, protocol."""
    lambda_: float = field(default=0.0, name="lambda")
    """Quality that one USD of lost cache is worth; 0 = the cache is not reckoned with."""
    turns: float = 3.0
    """Turns expected to follow, this one included; where `survival` says nothing."""
    survival: tuple[float, ...] = ()
    """Share of conversations that go on after their first, second, … turn; the last holds for all later ones.
    The turns to come are reckoned from it: 1 + s + s² + …, of the shares from this turn on."""
    hold: bool = False
    """Whether a conversation is left only at a boundary: idle for longer than the cache lives, a request with
    the tag `new-topic`, or a deployment that a filter, a floor or a limit rules out."""
    cache_ttl_s: float = 300.0
    """A conversation idle for longer has no warm cache, and leaving is free."""
    lock_tools: bool = True
    """Whether results of tool calls go to the deployment that made the calls."""

    def __post_init__(self) -> None:
        for name, number in (("psi", self.psi), ("lambda", self.lambda_), ("cache_ttl_s", self.cache_ttl_s)):
            if not 0 <= number < float("inf"):
                raise ValueError(f"{name} is {number}; expected a number of at least 0")
        if not 1 <= self.turns < float("inf"):
            raise ValueError(f"turns is {self.turns}; expected at least 1")
        if any(not 0 <= share < 1 for share in self.survival):
            raise ValueError(f"survival is {list(self.survival)}; expected shares of at least 0 and below 1")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "sticky"

    def prices(self, context: Context) -> Prices:
        """Return ψ while the conversation is warm."""
        return Prices(psi=self.psi) if self._warm(context) else NO_PRICES

    def term(self, context: Context, candidates: Sequence[Candidate]) -> Sequence[float] | None:
        """Return -ψ for every other deployment, and what caching saves at each."""
        session = context.session
        if session is None or not self._warm(context):
            return None
        here = [c.id == session.deployment for c in candidates]
        if not any(here):
            return None
        leaving = self.psi + (HELD if self.hold and NEW_TOPIC not in context.ask.tags else 0.0)
        switch = [0.0 if stays else -leaving for stays in here]
        if not self.lambda_:
            return switch
        n, turns = session.prefix_tokens, self.turns_left(session.n_turns)
        return [
            cost + self.lambda_ * saved_usd(c.deployment.model.price, n, turns, warm=stays)
            for cost, c, stays in zip(switch, candidates, here, strict=True)
        ]

    def pin(self, context: Context, candidates: Sequence[Candidate]) -> int | None:
        """Return the deployment whose tool calls are being answered."""
        session = context.session
        if session is None or not self.lock_tools or not in_tool_loop(context.request):
            return None
        return next((i for i, c in enumerate(candidates) if c.id == session.deployment), None)

    def cap_usd(self, context: Context) -> float | None:
        """No cap."""
        return None

    def turns_left(self, n_turns: int) -> float:
        """Return how many turns are expected to follow, this one included, after so many."""
        if not self.survival:
            return self.turns
        total, going_on = 1.0, 1.0
        for share in self.survival[max(0, n_turns) : -1]:
            going_on *= share
            total += going_on
        last = self.survival[-1]
        return total + going_on * last / (1 - last)

    def _warm(self, context: Context) -> bool:
        return context.session is not None and context.session.idle_s <= self.cache_ttl_s


def break_even_turns(stay: Price, move: Price) -> float | None:
    """Return k*: moving a warm prompt pays only if more than this many turns remain (ROUTING.md 7.4).

    None where it never pays or always does: equal or dearer reading, or caching that costs nothing.
    """
    if stay.cache_read is None or move.cache_read is None or stay.cache_read <= move.cache_read:
        return None
    write = move.input if move.cache_write_5m is None else move.cache_write_5m
    return (write - move.cache_read) / (stay.cache_read - move.cache_read)


def saved_usd(price: Price | None, n_prefix: int, turns: float, *, warm: bool) -> float:
    """Return the USD per turn that a prompt cache saves on a prefix, over the turns to come.

    Warm: every turn reads it. Cold: the first turn writes it, at the price of writing, the others read it.
    """
    if price is None or price.cache_read is None:
        return 0.0
    read, write = price.cache_read, price.input if price.cache_write_5m is None else price.cache_write_5m
    spent = turns * read if warm else write + (turns - 1) * read
    return n_prefix * (turns * price.input - spent) / turns * 1e-12


class Paced(Struct, frozen=True, tag="paced", kw_only=True, forbid_unknown_fields=True):
    """Raises the price of money when spending runs ahead of plan, and lowers it again."""

    budget_usd: float
    period: Literal["hour", "day", "week", "month"] = "month"
    rate: float = 0.1
    """η of the dual ascent."""
    least: float = 1e-3
    most: float = 1e6
    """Bounds of λ in quality per USD."""

    def __post_init__(self) -> None:
        if not 0 < self.budget_usd < float("inf"):
            raise ValueError(f"budget_usd is {self.budget_usd}; expected above 0")
        if not 0 < self.least < self.most:
            raise ValueError("least and most must be positive and rising")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "paced"

    def prices(self, context: Context) -> Prices:
        """Return the pacer's λ of the moment."""
        return Prices(lambda_=context.pace.lambda_) if context.pace is not None else NO_PRICES

    def term(self, context: Context, candidates: Sequence[Candidate]) -> Sequence[float] | None:
        """Nothing beside λ times cost."""
        return None

    def pin(self, context: Context, candidates: Sequence[Candidate]) -> int | None:
        """Pins nothing."""
        return None

    def cap_usd(self, context: Context) -> float | None:
        """Return what one request may be expected to cost while the plan is to be kept."""
        pace = context.pace
        return None if pace is None or pace.cap_nusd is None else pace.cap_nusd * 1e-9

    def step(self, lambda_: float, spent_usd: float, planned_usd: float) -> float:
        """Return λ for the next interval: multiplicative dual ascent (ROUTING.md 1.5).

        Args:
            lambda_: λ of the interval that ended.
            spent_usd: Spent in it.
            planned_usd: The share of the remaining budget that was planned for it; 0 = none was left.
        """
        if planned_usd <= 0:
            return self.most if spent_usd > 0 else lambda_
        drift = min(50.0, self.rate * (spent_usd / planned_usd - 1))
        return min(self.most, max(self.least, lambda_ * exp(drift)))


class Background(Struct, frozen=True, tag="background", kw_only=True, forbid_unknown_fields=True):
    """Nobody waits: reckons with what each deployment costs in the slot of the moment.

    The queue asks what would be chosen in each slot that opens before the deadline, and takes the cheapest
    (docs/adr/040-background-queue.md); a request that is served at once pays the price of its hour.
    """

    deadline_s: float = 86_400.0
    """From arrival to the answer, for jobs that name no deadline themselves."""
    lambda_: float = field(default=1.0, name="lambda")
    """Quality that one saved USD is worth; the λ of the route's cost."""

    def __post_init__(self) -> None:
        if not 0 < self.deadline_s < float("inf"):
            raise ValueError(f"deadline_s is {self.deadline_s}; expected positive seconds")
        if not 0 <= self.lambda_ < float("inf"):
            raise ValueError(f"lambda is {self.lambda_}; expected a number of at least 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "background"

    def prices(self, context: Context) -> Prices:
        """Prices stay."""
        return NO_PRICES

    def term(self, context: Context, candidates: Sequence[Candidate]) -> Sequence[float] | None:
        """Return what the slot of the moment saves at each candidate; None outside every slot."""
        factors = [price_factor(c.deployment.slots, context.at) for c in candidates]
        if all(factor == 1.0 for factor in factors):
            return None
        return [
            self.lambda_ * (expected_nusd(context, candidate.deployment) or 0) * 1e-9 * (1 - factor)
            for candidate, factor in zip(candidates, factors, strict=True)
        ]

    def pin(self, context: Context, candidates: Sequence[Candidate]) -> int | None:
        """Pins nothing."""
        return None

    def cap_usd(self, context: Context) -> float | None:
        """No cap."""
        return None
