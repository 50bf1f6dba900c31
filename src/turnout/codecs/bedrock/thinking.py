"""What Converse has no field for: the `additionalModelRequestFields` of each family of models. Floor 2.

Sources: the pages of the families under "Inference request parameters" in the Bedrock user guide, seen
2026-11, and recorded requests.
"""

import re
from collections.abc import Callable, Mapping

from turnout.codecs.failures import as_object, text_in
from turnout.codecs.notes import REASONING_APPROXIMATED, Notes
from turnout.types.chat import ChatRequest, Effort, Thinking
from turnout.types.deployment import Deployment
from turnout.types.json import Json, JsonObject

BUDGETS: Mapping[Effort, int] = {
    "minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768,
}  # fmt: skip
"""WIRE.md 12.3; the API refuses budgets below 1,024."""
FIELDS = "additionalModelRequestFields"
_SWITCHES = ("thinking", "output_config", "reasoningConfig", "reasoning_config", "reasoning_effort")
"""Members that say how much to think, in one family or another."""
_EFFORTS: Mapping[str, Effort] = {
    "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh",
}  # fmt: skip
_KINDS = (None, "enabled", "adaptive", "disabled")
_MIN_BUDGET = 1024
_DEFAULT_MAX_TOKENS = 4096
_WORDS: Mapping[Effort, str] = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high",
}  # fmt: skip
_ADAPTIVE = re.compile(r"claude-(?:[a-z]+-)+(?:4-[6-9]|[5-9])")
"""Generations that are told an effort instead of a budget."""


def fields(request: ChatRequest, to: Deployment, limit: int | None, notes: Notes) -> JsonObject:
    """Return the additional fields for a request's `thinking` and `top_k`.

    Args:
        request: Of another dialect, or built in process.
        to: Its name, or its model's, tells the family.
        limit: `maxTokens` that a budget must stay below; None = not sent.
        notes: Takes what was adapted or could not be said.
    """
    if request.top_k is None and request.thinking is None:
        return {}
    names = f"{to.upstream_model} {to.model.id}".lower()
    family = _family(names)
    out: dict[str, Json] = {}
    if request.top_k is not None:
        if family is None or family.top_k is None:
            notes.drop("top_k")
        else:
            out |= family.top_k(request.top_k)
    asked = request.thinking
    if asked is None or _is_off(asked):
        return out
    known = to.model.capabilities
    if family is None or family.think is None or (known is not None and "reasoning" not in known):
        notes.drop("reasoning_effort")
        return out
    return {**out, **family.think(asked, names, limit, notes)}


def read(extra: dict[str, Json], model: str) -> tuple[Thinking | None, int | None]:
    """Take thinking and `top_k` out of the additional fields of a request; the rest stays in `extra`."""
    given = as_object(extra.get(FIELDS))
    rest = dict(given)
    family = _family(model.lower())
    top_k = None if family is None or family.top_k is None else _take_top_k(rest, family.top_k)
    said = {name: rest[name] for name in _SWITCHES if name in rest}
    thinking = _thinking(said)
    if thinking is not None:
        rest = {name: value for name, value in rest.items() if name not in said}
    if rest:
        extra[FIELDS] = rest
    else:
        extra.pop(FIELDS, None)
    return thinking, top_k


def same(request: ChatRequest) -> JsonObject:
    """Write back what `read` took."""
    said = {} if request.thinking is None else dict(request.thinking.extra)
    family = _family(request.model.lower())
    if request.top_k is None or family is None or family.top_k is None:
        return said
    return {**said, **family.top_k(request.top_k)}


def _take_top_k(rest: dict[str, Json], write: "Callable[[int], JsonObject]") -> int | None:
    name, value = next(iter(write(0).items()))
    found = as_object(rest.get(name)).get("topK") if isinstance(value, dict) else rest.get(name)
    if not isinstance(found, int) or write(found)[name] != rest[name]:
        return None
    del rest[name]
    return found


def _thinking(said: JsonObject) -> Thinking | None:
    """Read the wish, whichever family's; None where it is none that is known."""
    effort: str | None = None
    switch: JsonObject = {}
    for value in said.values():
        if isinstance(value, str):
            effort = value
        elif isinstance(value, dict):
            switch = {**switch, **value}
    effort = text_in(switch, "effort", "maxReasoningEffort") or effort
    kind, budget = switch.get("type"), switch.get("budget_tokens")
    if (effort is not None and effort not in _EFFORTS) or kind not in _KINDS:
        return None
    if kind is None and effort is None:
        return None
    return Thinking(
        enabled=kind != "disabled",
        effort=_EFFORTS[effort] if effort is not None else None,
        budget_tokens=budget if isinstance(budget, int) else None,
        adaptive=kind == "adaptive",
        extra=said,
    )


def _family(names: str) -> "_Family | None":
    return next((each for word, each in _FAMILIES.items() if word in names), None)


def _is_off(asked: Thinking) -> bool:
    if asked.enabled is False or asked.effort == "none" or asked.budget_tokens == 0:
        return True
    return (
        asked.enabled is None and asked.effort is None and asked.budget_tokens is None and not asked.adaptive
    )


def _claude(asked: Thinking, names: str, limit: int | None, notes: Notes) -> JsonObject:
    if _ADAPTIVE.search(names) and asked.budget_tokens is None:
        if asked.effort is None:
            return {"thinking": {"type": "adaptive"}}
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": _effort(asked, notes)}}
    if asked.budget_tokens is None:
        notes.warn(REASONING_APPROXIMATED)
    budget = max(_MIN_BUDGET, asked.budget_tokens or BUDGETS[asked.effort or "medium"])
    most = (limit or _DEFAULT_MAX_TOKENS + budget) - 1
    if most < _MIN_BUDGET:
        notes.drop("reasoning_effort")
        return {}
    if budget > most or (asked.budget_tokens is not None and budget != asked.budget_tokens):
        notes.warn(REASONING_APPROXIMATED)
    return {"thinking": {"type": "enabled", "budget_tokens": min(budget, most)}}


def _nova(asked: Thinking, _names: str, _limit: int | None, notes: Notes) -> JsonObject:
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _effort(asked, notes)}}


def _effort_field(name: str) -> "Think":
    def think(asked: Thinking, _names: str, _limit: int | None, notes: Notes) -> JsonObject:
        return {name: _effort(asked, notes)}

    return think


def _effort(asked: Thinking, notes: Notes) -> str:
    if asked.effort is not None:
        if _WORDS[asked.effort] != asked.effort:
            notes.warn(REASONING_APPROXIMATED)
        return _WORDS[asked.effort]
    if asked.budget_tokens is None:
        return "medium"
    notes.warn(REASONING_APPROXIMATED)
    budget = asked.budget_tokens
    return next((_WORDS[effort] for effort, tokens in BUDGETS.items() if tokens >= budget), "high")


Think = Callable[[Thinking, str, int | None, Notes], JsonObject]


class _Family:
    """How one family is told; None = it has no such field."""

    def __init__(
        self, *, think: Think | None = None, top_k: Callable[[int], JsonObject] | None = None
    ) -> None:
        self.think = think
        self.top_k = top_k


def _flat_top_k(value: int) -> JsonObject:
    return {"top_k": value}


def _nested_top_k(value: int) -> JsonObject:
    return {"inferenceConfig": {"topK": value}}


_FAMILIES: Mapping[str, _Family] = {
    "claude": _Family(think=_claude, top_k=_flat_top_k),
    "nova": _Family(think=_nova, top_k=_nested_top_k),
    "gpt-oss": _Family(think=_effort_field("reasoning_effort")),
    "qwen": _Family(think=_effort_field("reasoning_config"), top_k=_flat_top_k),
    "mistral": _Family(top_k=_flat_top_k),
    "command-r": _Family(top_k=lambda value: {"k": value}),
}
"""Word in a model's name -> its fields; the first that is found."""
