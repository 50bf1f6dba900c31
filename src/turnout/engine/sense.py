"""Station 4: what is known about a request before anybody chooses. Floor 4."""

from collections.abc import Sequence

import msgspec

from turnout.engine.exchange import Request
from turnout.signals.base import AbsentError, Sense
from turnout.strategies.base import Context
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.moment import MOMENT, Moment
from turnout.types.signal import Signal, Signals, Tokens


def sense(senses: Sequence[Sense], request: Request, ask: Ask, moment: Moment) -> Signals:
    """Compute the signals a route's strategy needs; one that fails is absent with its reason.

    Args:
        senses: In an order in which each comes after those it needs.
        request: What is asked; only a chat has more than its moment.
        ask: How it wants to be served.
        moment: What was read off clocks and live numbers.
    """
    found: dict[str, Signal] = {MOMENT: moment}
    if not isinstance(request, ChatRequest):
        return found
    for each in senses:
        found[each.name] = read(each, request, ask, found)
    return found


def read(each: Sense, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
    """Compute one signal; where it fails it is absent with its reason."""
    try:
        return each.read(request, ask, so_far)
    except AbsentError as error:
        return Signal(error=str(error))
    except Exception as error:  # noqa: BLE001  a broken signal must not fail the request (ROUTING.md 2.2)
        return Signal(error=type(error).__name__)


def with_signals(context: Context, signals: Signals) -> Context:
    """Return the context with the signals, and with their numbers of tokens where they have one."""
    tokens, n_out = _tokens(signals), signals.get("tokens.out_hat")
    context = msgspec.structs.replace(context, signals=signals)
    if tokens is not None:
        context = msgspec.structs.replace(
            context, n_tokens_in=tokens.largest, tokens_in=tokens.per_deployment
        )
    if n_out is not None and isinstance(n_out.value, int):
        context = msgspec.structs.replace(context, n_tokens_out=min(n_out.value, context.max_tokens_out))
    return context


def reference_tokens(signals: Signals) -> int:
    """Return the input tokens estimated before any correction; 0 where nobody estimated."""
    tokens = _tokens(signals)
    return 0 if tokens is None else tokens.reference


def _tokens(signals: Signals) -> Tokens | None:
    found = signals.get("tokens.exact", signals.get("tokens.in"))
    return found if isinstance(found, Tokens) else None
