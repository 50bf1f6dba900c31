"""What a strategy is: a pure function from a request, candidates and signals to a Plan. Floor 2."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from turnout.plan import Plan
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate
from turnout.types.embed import EmbedRequest
from turnout.types.record import Dropped, Objective, Reason
from turnout.types.signal import Signals


class Context(Struct, frozen=True, kw_only=True):
    """What a filter, scorer or strategy may read beside the candidates."""

    request: ChatRequest | EmbedRequest
    ask: Ask
    n_tokens_in: int
    """Estimated input tokens."""
    n_tokens_out: int
    """Expected output tokens."""
    max_tokens_out: int
    """Output tokens to reserve for: what the client allows, or the declared default."""
    explicit_max_tokens: bool = False
    """Whether the client itself set the output limit."""
    signals: Signals = {}


class Draw(Protocol):
    """Where a strategy takes its random numbers: a generator seeded per request, made on first use."""

    @property
    def rng(self) -> Random:
        """The seeded generator."""
        ...


class Filter(Protocol):
    """Drops candidates that cannot or may not serve a request."""

    @property
    def name(self) -> str:
        """Word for Records: `allowed`, `capable`, `fits`, `healthy`, `priced` or another."""
        ...

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return the closed word of the reason to drop, or None to keep."""
        ...


class Scorer(Protocol):
    """One number per candidate; higher is better."""

    @property
    def name(self) -> str:
        """Word for Records."""
        ...

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return len(candidates) finite numbers."""
        ...


class Choice(Struct, frozen=True, kw_only=True):
    """What a strategy decided, with everything needed to explain it."""

    plan: Plan
    reason: Reason
    utilities: Mapping[str, float] = {}
    scores: Mapping[str, Mapping[str, float]] = {}
    """Candidate id -> scorer name -> term."""
    objective: Objective = Objective()
    propensity: float | None = None
    explored: bool = False
    abstained: str | None = None


class Strategy(Protocol):
    """Chooses. Frozen; its fields are its configuration."""

    @property
    def name(self) -> str:
        """Word for Records and headers."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Names of the signals it reads."""
        ...

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Decide among candidates that passed every filter (at least one). Pure.

        The plan names only ids in `candidates`.
        """
        ...


class Drops(Struct, frozen=True):
    """Result of filtering: what is left, and why the rest is not."""

    kept: tuple[Candidate, ...]
    dropped: Mapping[str, tuple[Dropped, ...]]
    """Candidate id -> reasons."""
