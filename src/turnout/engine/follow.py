"""What may follow a failure, and what stands for several. Floor 4.

The rules of docs/design/WIRE.md section 9.2, read from the rows of `errors`: used by every node of a plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, assert_never

import msgspec

from turnout import plan as plans
from turnout.engine.exchange import Exchange, Request
from turnout.engine.reply import Reply, WholeReply
from turnout.errors import AllAttemptsFailed, CapacityExhausted, Fallback, TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.record import Reason

REASONS: Mapping[str, Reason] = {
    "provider_rate_limited": "fallback_rate_limited",
    "timeout_connect": "fallback_timeout",
    "timeout_ttft": "fallback_timeout",
    "timeout_idle": "fallback_timeout",
    "context_length_exceeded": "fallback_context",
    "content_filtered": "fallback_content",
}
"""Which word of the Decision a failure gives to the model that takes over; others are `fallback_error`."""

Step = AbstractAsyncContextManager[Reply]


class Opener(Protocol):
    """The executor, as a node of a plan sees it."""

    def open(self, plan: plans.Plan, exchange: Exchange, request: Request) -> Step:
        """Return a plan as a context manager; entering it commits."""
        ...

    def as_safe(self, refused: plans.Plan, following: plans.Plan) -> bool:
        """Tell whether a plan may follow one whose models refused to answer."""
        ...

    async def collect(self, plan: plans.Plan, exchange: Exchange, request: Request) -> WholeReply:
        """Run a plan to its complete answer and leave it."""
        ...

    async def answer(self, question: plans.Question | None, exchange: Exchange) -> ChatResponse | None:
        """Make the call a judge asked for; None when it asked for none or the call failed."""
        ...


def whole(request: Request) -> Request:
    """Return the request in its collected form: not streamed, and so decoded."""
    if isinstance(request, ChatRequest):
        return msgspec.structs.replace(request, stream=False)
    return request


def may_follow(error: TurnoutError, exchange: Exchange) -> bool:
    """Tell whether another node of the plan may be tried after this failure."""
    match error.row.fallback:
        case Fallback.YES | Fallback.LARGER_WINDOW:
            return True
        case Fallback.OPT_IN:
            return error.row.word in exchange.policy.fallback_on
        case Fallback.NO:
            return isinstance(error, CapacityExhausted)
        case _:
            assert_never(error.row.fallback)


FILTERED: frozenset[str] = frozenset({"content_filtered"})
"""Class words after which only a model of at least the same safety may follow (SECURITY.md S-33)."""


def is_as_safe(failed: Iterable[Deployment], following: Iterable[Deployment]) -> bool:
    """Tell whether models may take over a request that others refused to answer.

    Where a refusing model has no grade nothing is known to be lower; where it has one, the unknown is lower.
    """
    grades = [each.model.safety for each in failed if each.model.safety is not None]
    if not grades:
        return True
    least = max(grades)
    return all(each.model.safety is not None and each.model.safety >= least for each in following)


def conclude(errors: Sequence[TurnoutError]) -> TurnoutError:
    """Return the failure that stands for all: their one class if they share it, else `AllAttemptsFailed`."""
    words = {error.row.word for error in errors}
    if len(words) == 1:
        return errors[-1]
    waits = [error.retry_after_s for error in errors if error.retry_after_s is not None]
    mixed = AllAttemptsFailed(
        f"all {len(errors)} attempts failed: {', '.join(sorted(words))}",
        retry_after_s=min(waits, default=None),
    )
    mixed.__cause__ = errors[-1]
    return mixed


def final(errors: list[TurnoutError]) -> TurnoutError:
    """A failure that ends the plan by its class speaks for itself; otherwise all of them are summed up."""
    last = errors[-1]
    if last.row.fallback in (Fallback.NO, Fallback.OPT_IN) and not isinstance(last, CapacityExhausted):
        return last
    return conclude(errors)
