"""Acceptors that look at the answer alone: is it finished, well-formed, likely, confident? Floor 2.

Each is pure and costs microseconds. A confidence is only as good as its calibration: `logprob` and
`self_report` take the two Platt coefficients of a fit on answers with known outcome, and are never used raw
as a probability of being right.

Source: docs/design/ROUTING.md section 1.5, table of acceptors.
"""

import math
import re
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.plan import Question, Verdict
from turnout.strategies.accept.base import answer_text, calibrated, first, tool_calls
from turnout.strategies.accept.schema import SchemaUnusable, schema_fault
from turnout.types.chat import ChatRequest, ChatResponse, Refusal, Tool
from turnout.types.json import Json, JsonObject

MAX_REGEX_CHARS = 65_536
"""An answer beyond this is matched on its beginning: bounded time whatever the pattern."""
_REFUSALS = (
    "i cannot",
    "i can't",
    "i'm unable",
    "i am unable",
    "i won't",
    "as an ai",
    "i'm sorry, but",
    "i am sorry, but",
)
_PERCENT = re.compile(r"(?:confidence|certainty|sure)\D{0,20}(\d{1,3}(?:\.\d+)?)\s*%?", re.IGNORECASE)


class _Look(Struct, frozen=True):
    """An acceptor that needs no call."""

    def ask(self, request: ChatRequest, answer: ChatResponse) -> Question | None:
        """Return None: the answer itself is enough."""
        return None


class Finish(_Look, frozen=True, tag_field="type", tag="finish"):
    """Rejects what is cut off, empty, filtered or a refusal."""

    refusals: tuple[str, ...] = _REFUSALS
    """Beginnings, in lower case, that count as a refusal; () = none do."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "finish"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Accept a complete answer with content."""
        choice = first(answer)
        if choice.finish in ("length", "content_filter", "error"):
            return Verdict(accept=False, confidence=0.0, reason=f"finish_{choice.finish}")
        text = answer_text(answer).strip()
        if not text and not tool_calls(answer):
            return Verdict(accept=False, confidence=0.0, reason="empty")
        refused = any(isinstance(part, Refusal) for part in choice.parts)
        if refused or text[:200].lower().startswith(self.refusals):
            return Verdict(accept=False, confidence=0.0, reason="refusal")
        return Verdict(accept=True, confidence=1.0, reason="complete")


class Regex(_Look, frozen=True, tag_field="type", tag="regex"):
    """Accepts text that a pattern is found in (or, with `absent`, is not)."""

    pattern: str
    absent: bool = False

    def __post_init__(self) -> None:
        check_pattern(self.pattern)

    @property
    def name(self) -> str:
        """Word for Records."""
        return "regex"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Search the text for the pattern."""
        found = re.search(self.pattern, answer_text(answer)[:MAX_REGEX_CHARS]) is not None
        good = found is not self.absent
        return Verdict(accept=good, confidence=float(good), reason="matched" if found else "not_matched")


_NESTED = re.compile(r"\((?:[^()\\]|\\.)*[*+](?:[^()\\]|\\.)*\)\s*(?:[*+]|\{\d*,)")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=")


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that is invalid or can take exponential time. Raises `ValueError`."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a valid pattern: {error}") from None
    if _BACK_REFERENCE.search(pattern):
        raise ValueError("back-references are not allowed: they can take exponential time")
    if _NESTED.search(pattern):
        raise ValueError("a repeated group that itself repeats is not allowed: it can take exponential time")


class Length(_Look, frozen=True, tag_field="type", tag="length"):
    """Accepts answers of a certain size."""

    min_chars: int = 1
    max_chars: int | None = None

    @property
    def name(self) -> str:
        """Word for Records."""
        return "length"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Compare the length of the text with the bounds."""
        n = len(answer_text(answer))
        if n < self.min_chars:
            return Verdict(accept=False, confidence=0.0, reason="too_short")
        if self.max_chars is not None and n > self.max_chars:
            return Verdict(accept=False, confidence=0.0, reason="too_long")
        return Verdict(accept=True, confidence=1.0, reason="length_ok")


class JsonSchema(_Look, frozen=True, tag_field="type", tag="json_schema"):
    """Accepts text that is JSON and satisfies the schema: its own, else the one the request asked for."""

    schema: dict[str, Json] | None = None

    @property
    def name(self) -> str:
        """Word for Records."""
        return "json_schema"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Parse the text and check it."""
        try:
            value: Json = msgspec.json.decode(_unfenced(answer_text(answer)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Verdict(accept=False, confidence=0.0, reason="not_json")
        schema: JsonObject | None = self.schema
        if schema is None and request.output_format is not None:
            schema = request.output_format.schema
        if schema is not None:
            return _satisfies(value, schema, "schema_violated") or Verdict(
                accept=True, confidence=1.0, reason="schema_ok"
            )
        return Verdict(accept=True, confidence=1.0, reason="schema_ok")


class ToolArgs(_Look, frozen=True, tag_field="type", tag="tool_args"):
    """Accepts tool calls whose tools exist and whose arguments satisfy their schemas."""

    required: bool = False
    """Whether an answer without any call is rejected."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "tool_args"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Check every call against the tools of the request."""
        calls = tool_calls(answer)
        if not calls:
            reason = "no_call" if self.required else "no_call_needed"
            return Verdict(accept=not self.required, confidence=float(not self.required), reason=reason)
        tools = {tool.name: tool for tool in request.tools if isinstance(tool, Tool)}
        for call in calls:
            tool = tools.get(call.name)
            if tool is None:
                return Verdict(accept=False, confidence=0.0, reason="unknown_tool")
            try:
                value: Json = msgspec.json.decode(call.arguments or "{}")
            except msgspec.DecodeError:
                return Verdict(accept=False, confidence=0.0, reason="arguments_not_json")
            if tool.schema is not None:
                bad = _satisfies(value, tool.schema, "arguments_violate_schema")
                if bad is not None:
                    return bad
        return Verdict(accept=True, confidence=1.0, reason="arguments_ok")


class Logprob(_Look, frozen=True, tag_field="type", tag="logprob"):
    """Accepts answers whose tokens were likely. Absent log-probabilities are a rejection."""

    threshold: float
    """Least confidence, after calibration where one is given."""
    measure: Literal["mean", "lowest_tenth"] = "mean"
    """exp(mean log-probability) of all tokens, or of the lowest 10 %."""
    platt: tuple[float, float] | None = None
    """Slope and intercept of the logistic calibration on the measure's logit; None = uncalibrated."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "logprob"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Average the log-probabilities of the first choice."""
        values = sorted(_logprobs(first(answer).logprobs))
        if not values:
            return Verdict(accept=False, reason="no_logprobs")
        if self.measure == "lowest_tenth":
            values = values[: max(1, len(values) // 10)]
        confidence = calibrated(math.exp(sum(values) / len(values)), self.platt)
        return Verdict(
            accept=confidence >= self.threshold,
            confidence=confidence,
            reason="likely" if confidence >= self.threshold else "unlikely",
        )


class SelfReport(_Look, frozen=True, tag_field="type", tag="self_report"):
    """Accepts answers that state a high confidence themselves, calibrated on known outcomes."""

    threshold: float
    platt: tuple[float, float]
    """Slope and intercept of the logistic calibration; required, as stated confidences run far too high."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "self_report"

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Read the last `confidence: N` of the text."""
        stated = _PERCENT.findall(answer_text(answer)[-2000:])
        if not stated:
            return Verdict(accept=False, reason="no_confidence_stated")
        confidence = calibrated(min(1.0, float(stated[-1]) / 100), self.platt)
        accept = confidence >= self.threshold
        return Verdict(accept=accept, confidence=confidence, reason="confident" if accept else "unsure")


def _satisfies(value: Json, schema: JsonObject, violated: str) -> Verdict | None:
    """Return the rejection of a value that a schema does not allow, or cannot be shown to."""
    try:
        fault = schema_fault(value, schema)
    except SchemaUnusable:
        return Verdict(accept=False, confidence=0.0, reason="schema_unusable")
    return None if fault is None else Verdict(accept=False, confidence=0.0, reason=violated)


def _unfenced(text: str) -> str:
    """Drop a Markdown fence around the whole text: models add them unasked."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text[3:-3].partition("\n")[2]
    return text


def _logprobs(value: Json) -> list[float]:
    """Return the token log-probabilities of OpenAI's `logprobs` object; [] where there are none."""
    content = value.get("content") if isinstance(value, Mapping) else None
    if not isinstance(content, list):
        return []
    found = [item.get("logprob") for item in content if isinstance(item, Mapping)]
    return [float(each) for each in found if isinstance(each, int | float)]
