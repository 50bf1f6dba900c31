"""How much a Gemini model should think: budgets up to 2.5, levels from 3 on (WIRE.md 12.3). Floor 2."""

import re
from functools import lru_cache

from turnout.codecs.notes import REASONING_APPROXIMATED
from turnout.types.chat import Effort, Thinking
from turnout.types.json import Json, JsonObject

_GENERATION = re.compile(r"gemini-(\d+)")

_BUDGETS: dict[Effort, int] = {
    "none": 0,
    "minimal": 512,
    "low": 1_024,
    "medium": 4_096,
    "high": 16_384,
    "xhigh": 32_768,
}

_RANGES = (("2.5-pro", 128, 32_768), ("2.5-flash-lite", 512, 24_576), ("2.5-flash", 1, 24_576))
"""Part of the model's name, lowest budget that thinks, highest budget. Only Pro cannot be told not to think.
(Gemini API, Thinking page, seen 2025-11.)"""

_LEVELS: dict[Effort, str] = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
}
_PRO_LEVELS: dict[Effort, str] = {**_LEVELS, "none": "LOW", "minimal": "LOW"}
_EXACT = frozenset({"minimal", "low", "medium", "high"})
_EFFORTS: dict[str, Effort] = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}


@lru_cache(maxsize=1024)  # models are few
def generation(model: str) -> int | None:
    """Return the generation in a model's name; None for aliases such as `gemini-flash-latest`."""
    found = _GENERATION.search(model)
    return int(found[1]) if found else None


def needs_signatures(model: str) -> bool:
    """Whether the model refuses a function call in the history that carries no thought signature."""
    number = generation(model)
    return "gemini" in model and (number is None or number >= 3)


def read(config: dict[str, Json]) -> Thinking | None:
    """Take what has a canonical field out of a `thinkingConfig` (camel case); the rest stays in it."""
    effort = _EFFORTS.get(level.upper()) if isinstance(level := config.get("thinkingLevel"), str) else None
    if effort is not None:
        del config["thinkingLevel"]
    budget = config.get("thinkingBudget")
    if isinstance(budget, bool) or not isinstance(budget, int):
        budget = None
    else:
        del config["thinkingBudget"]
    include = config.get("includeThoughts")
    if isinstance(include, bool):
        del config["includeThoughts"]
    else:
        include = None
    if effort is None and budget is None and include is None:
        return None
    return Thinking(
        enabled=None if budget is None and effort is None else budget != 0,
        effort=effort,
        budget_tokens=budget if budget is not None and budget >= 0 else None,
        adaptive=budget is not None and budget < 0,
        include=include,
    )


def same(thinking: Thinking) -> JsonObject:
    """Write back what `read` took."""
    config: dict[str, Json] = {}
    if thinking.include is not None:
        config["includeThoughts"] = thinking.include
    if thinking.adaptive:
        config["thinkingBudget"] = -1
    elif thinking.budget_tokens is not None:
        config["thinkingBudget"] = thinking.budget_tokens
    if thinking.effort is not None:
        config["thinkingLevel"] = _LEVELS[thinking.effort]
    return config


def config_for(model: str, thinking: Thinking) -> tuple[JsonObject, tuple[str, ...]]:
    """Write a request of another dialect for one model. Returns the config and the warnings it costs."""
    config: dict[str, Json] = {}
    if thinking.include is not None:
        config["includeThoughts"] = thinking.include
    effort: Effort | None = "none" if thinking.enabled is False else thinking.effort
    if (generation(model) or 0) >= 3:
        return _with_level(config, model, thinking, effort)
    return _with_budget(config, model, thinking, effort)


def _with_level(
    config: dict[str, Json], model: str, thinking: Thinking, effort: Effort | None
) -> tuple[JsonObject, tuple[str, ...]]:
    if effort is None:
        if thinking.budget_tokens is not None:
            config["thinkingBudget"] = thinking.budget_tokens
        return config, ()
    pro = "-pro" in model
    level = (_PRO_LEVELS if pro else _LEVELS)[effort]
    if "gemini-3-pro" in model and level == "MEDIUM":  # the first Pro of generation 3 knows LOW and HIGH only
        level = "HIGH"
    config["thinkingLevel"] = level
    return config, () if effort in _EXACT and level == effort.upper() else (REASONING_APPROXIMATED,)


def _with_budget(
    config: dict[str, Json], model: str, thinking: Thinking, effort: Effort | None
) -> tuple[JsonObject, tuple[str, ...]]:
    asked = thinking.budget_tokens if effort != "none" else 0
    if asked is None and effort is None:
        if thinking.adaptive or thinking.enabled:
            config["thinkingBudget"] = -1
        return config, ()
    budget = asked if asked is not None else _BUDGETS[effort or "medium"]
    lowest, highest = next(((low, high) for part, low, high in _RANGES if part in model), (1, 32_768))
    clamped = min(budget, highest)
    if clamped < lowest and (clamped > 0 or "2.5-pro" in model):
        clamped = lowest
    config["thinkingBudget"] = clamped
    return config, () if clamped == asked else (REASONING_APPROXIMATED,)
