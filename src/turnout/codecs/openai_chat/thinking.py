"""How much to reason: three ways of asking for it in OpenAI-style requests, both directions. Floor 2."""

from collections.abc import Mapping, Sequence
from typing import TypeVar, get_args

from turnout.codecs.openai_chat.wire import RequestIn
from turnout.errors import InvalidRequest
from turnout.types.chat import Effort, Thinking
from turnout.types.json import Json, JsonObject

T = TypeVar("T")

FIELDS = ("reasoning_effort", "reasoning", "thinking")

_EFFORTS: Mapping[str, Effort] = {effort: effort for effort in get_args(Effort)}
_BUDGETS: Sequence[tuple[int, Effort]] = ((512, "minimal"), (1024, "low"), (4096, "medium"), (16_384, "high"))
"""WIRE.md 12.3; anything larger is `xhigh`."""


def read_thinking(tree: JsonObject, wire: RequestIn) -> Thinking | None:
    """Make one wish of the three fields. Raises `InvalidRequest` if they contradict each other."""
    if wire.reasoning_effort is None and wire.reasoning is None and wire.thinking is None:
        return None
    reasoning, thinking = wire.reasoning, wire.thinking
    efforts = [("reasoning_effort", wire.reasoning_effort)]
    budgets: list[tuple[str, int | None]] = []
    switches: list[tuple[str, bool | None]] = []
    if thinking is not None:
        budgets.append(("thinking.budget_tokens", thinking.budget_tokens))
        switches.append(("thinking.type", None if thinking.type is None else thinking.type != "disabled"))
    if reasoning is not None:
        efforts.append(("reasoning.effort", reasoning.effort))
        budgets.append(("reasoning.max_tokens", reasoning.max_tokens))
        switches.append(("reasoning.enabled", reasoning.enabled))
    effort = _agreed(efforts)
    switches += [(name, None if value is None else value != "none") for name, value in efforts]
    return Thinking(
        enabled=_agreed(switches),
        effort=_EFFORTS.get(effort or ""),
        budget_tokens=_agreed(budgets),
        adaptive=thinking is not None and thinking.type == "adaptive",
        summary=None if reasoning is None else reasoning.summary,
        include=None if reasoning is None else reasoning.exclude is not True,
        extra={key: tree[key] for key in FIELDS if tree.get(key) is not None},
    )


def write_thinking(thinking: Thinking, field: str) -> tuple[dict[str, Json], bool]:
    """Write a wish from another format in the one form the host understands.

    Returns:
        The top-level fields, and whether the wish could only be approximated.
    """
    match field:
        case "reasoning":
            return {"reasoning": _reasoning(thinking)}, False
        case "thinking":
            return _thinking(thinking)
        case _:
            effort = thinking.effort or _effort_of(thinking.budget_tokens)
            exact = thinking.budget_tokens is None and (effort is not None or thinking.enabled is not False)
            return {"reasoning_effort": effort} if effort else {}, not exact


def _reasoning(thinking: Thinking) -> dict[str, Json]:
    asked: dict[str, Json] = {}
    if thinking.effort is not None:
        asked["effort"] = thinking.effort
    elif thinking.budget_tokens is not None:
        asked["max_tokens"] = thinking.budget_tokens
    elif thinking.enabled is not None:
        asked["enabled"] = thinking.enabled
    if thinking.include is not None:
        asked["exclude"] = not thinking.include
    return asked


def _thinking(thinking: Thinking) -> tuple[dict[str, Json], bool]:
    on = thinking.enabled if thinking.effort is None else thinking.effort != "none"
    asked: dict[str, Json] = {} if on is None else {"thinking": {"type": "enabled" if on else "disabled"}}
    if thinking.effort not in (None, "none"):
        asked["reasoning_effort"] = thinking.effort
    return asked, thinking.budget_tokens is not None


def _effort_of(budget_tokens: int | None) -> Effort | None:
    if budget_tokens is None:
        return None
    return next((effort for budget, effort in _BUDGETS if budget_tokens <= budget), "xhigh")


def _agreed(said: Sequence[tuple[str, T | None]]) -> T | None:
    """Return the one value that was said, None if nothing was."""
    first: tuple[str, T] | None = None
    for name, value in said:
        if value is None:
            continue
        if first is not None and value != first[1]:
            raise InvalidRequest(f"{first[0]} and {name} contradict each other; send one", param=name)
        first = first or (name, value)
    return None if first is None else first[1]
