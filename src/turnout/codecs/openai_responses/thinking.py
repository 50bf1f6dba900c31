"""How much to reason, both directions. Floor 2."""

from collections.abc import Mapping, Sequence
from typing import get_args

from turnout.codecs.openai_responses.wire import ReasoningIn
from turnout.types.chat import Effort, Thinking
from turnout.types.json import Json, JsonObject

_EFFORTS: Mapping[str, Effort] = {effort: effort for effort in get_args(Effort)}
_BUDGETS: Sequence[tuple[int, Effort]] = ((512, "minimal"), (1024, "low"), (4096, "medium"), (16_384, "high"))
"""WIRE.md 12.3; anything larger is `xhigh`."""


def read_thinking(asked: ReasoningIn | None, tree: JsonObject) -> Thinking | None:
    """Read the wish, and keep it as it came."""
    if asked is None:
        return None
    summary = asked.summary or asked.generate_summary
    return Thinking(
        enabled=None if asked.effort is None else asked.effort != "none",
        effort=_EFFORTS.get(asked.effort or ""),
        summary=summary,
        include=True if summary is not None else None,
        extra={"reasoning": tree["reasoning"]},
    )


def write_thinking(thinking: Thinking) -> tuple[dict[str, Json], bool]:
    """Write a wish from another format.

    Returns:
        The members of `reasoning`, and whether the wish could only be approximated.
    """
    effort = thinking.effort or _effort_of(thinking.budget_tokens)
    if effort is None and thinking.enabled is False:
        effort = "none"
    asked: dict[str, Json] = {} if effort is None else {"effort": effort}
    if thinking.summary is not None:
        asked["summary"] = thinking.summary
    elif thinking.include:
        asked["summary"] = "auto"
    return asked, thinking.budget_tokens is not None


def _effort_of(budget_tokens: int | None) -> Effort | None:
    if budget_tokens is None:
        return None
    return next((effort for budget, effort in _BUDGETS if budget_tokens <= budget), "xhigh")
