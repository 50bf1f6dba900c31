"""How much a model should think, said the way its generation understands it (WIRE.md 12.3). Floor 2.

Generations differ: up to 4.5 only a token budget, 4.6 both forms, from 4.7 only `adaptive` with an effort
(Anthropic docs "Adaptive thinking" and "Effort", seen 2026-08).
"""

from collections.abc import Mapping

from msgspec import Struct

from turnout.codecs.anthropic.wire import BUDGETS, MIN_BUDGET, WIRE, Traits
from turnout.codecs.notes import REASONING_APPROXIMATED, Notes
from turnout.types.chat import ChatRequest, Effort, Thinking
from turnout.types.json import Json

_WORDS: Mapping[Effort, str] = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}


class Spoken(Struct, frozen=True):
    """The fields that say it; None = the field is left out."""

    thinking: Mapping[str, Json] | None = None
    effort: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether the model is asked to think: that forbids some sampling parameters."""
        return self.thinking is not None and self.thinking.get("type") != "disabled"

    @property
    def budget(self) -> int:
        """Tokens set aside for thinking, of `max_tokens`."""
        budget = (self.thinking or {}).get("budget_tokens")
        return budget if isinstance(budget, int) else 0


SILENT = Spoken()


def speak(request: ChatRequest, traits: Traits, limit: int | None, notes: Notes) -> Spoken:
    """Write `request.thinking` for a model.

    Args:
        request: Of any origin; one of an Anthropic client keeps its form where the model understands it.
        traits: Of the model's generation.
        limit: `max_tokens` that the budget must stay below; None = it will be raised to fit.
        notes: Takes what was adapted.
    """
    asked = request.thinking
    if asked is None:
        return SILENT
    native = request.wire == WIRE
    word = _effort(asked, traits, notes, native=native)
    if asked.enabled is False or asked.effort == "none" or asked.budget_tokens == 0:
        return Spoken({"type": "disabled"} if native and asked.enabled is False else None, word)
    wants = asked.adaptive or asked.effort is not None or asked.budget_tokens is not None
    if asked.enabled is None and (native or not wants):
        return Spoken(None, word)
    if asked.budget_tokens is not None and (traits.budget or not traits.known):
        return _with_budget(asked.budget_tokens, limit, word if native else None, notes)
    if native and not traits.known:
        return Spoken({"type": "adaptive" if asked.adaptive else "enabled"}, word)
    if traits.adaptive:
        if word is None and asked.budget_tokens is not None:
            word = _word(_nearest(asked.budget_tokens), traits)
            notes.warn(REASONING_APPROXIMATED)
        return Spoken(_adaptive(asked, traits), word)
    notes.warn(REASONING_APPROXIMATED)
    return _with_budget(BUDGETS[asked.effort or "medium"], limit, word if native else None, notes)


def _effort(asked: Thinking, traits: Traits, notes: Notes, *, native: bool) -> str | None:
    effort = asked.effort
    if effort is None or effort == "none":
        return None
    if native and not traits.known:
        return effort
    if not traits.effort:
        if native and asked.enabled is None:
            notes.drop("output_config.effort")
        return None
    word = _word(effort, traits)
    if word != effort:
        notes.warn(REASONING_APPROXIMATED)
    return word


def _word(effort: Effort, traits: Traits) -> str:
    if effort == "xhigh":
        return "xhigh" if traits.xhigh else "max"
    return _WORDS[effort]


def _adaptive(asked: Thinking, traits: Traits) -> dict[str, Json]:
    # Generations without budgets leave the text of their thoughts out unless it is asked for.
    shows = asked.include or asked.summary is not None
    if shows and not traits.budget:
        return {"type": "adaptive", "display": "summarized"}
    return {"type": "adaptive"}


def _with_budget(wanted: int, limit: int | None, effort: str | None, notes: Notes) -> Spoken:
    if wanted == 0:
        return Spoken(None, effort)
    budget = max(wanted, MIN_BUDGET)
    if limit is not None and budget >= limit:
        budget = max(MIN_BUDGET, limit * 3 // 4)
        if budget >= limit:
            notes.drop("thinking")
            return Spoken(None, effort)
    if budget != wanted:
        notes.warn(REASONING_APPROXIMATED)
    return Spoken({"type": "enabled", "budget_tokens": budget}, effort)


def _nearest(budget: int) -> Effort:
    """Return the lowest effort whose budget is at least `budget`, which is not 0."""
    return next((effort for effort, tokens in BUDGETS.items() if tokens >= budget), "xhigh")
