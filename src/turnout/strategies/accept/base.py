"""What acceptors share: the text of an answer, and calibration. Floor 2."""

import math

from turnout.types.chat import ChatRequest, ChatResponse, Choice, Text, ToolCall


def first(answer: ChatResponse) -> Choice:
    """Return the first choice; an empty failed one when there is none."""
    return answer.choices[0] if answer.choices else Choice(parts=(), finish="error")


def answer_text(answer: ChatResponse, at: int = 0) -> str:
    """Return all text of one choice; "" when there is no such choice."""
    if at >= len(answer.choices):
        return ""
    return "".join(part.text for part in answer.choices[at].parts if isinstance(part, Text))


def tool_calls(answer: ChatResponse) -> tuple[ToolCall, ...]:
    """Return the tool calls of the first choice."""
    return tuple(part for part in first(answer).parts if isinstance(part, ToolCall))


def last_user(request: ChatRequest) -> str:
    """Return the text of the last user turn; "" if there is none."""
    for message in reversed(request.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return ""


def in_context(request: ChatRequest, most: int) -> str:
    """Return the text of the last user turn, behind as much of what was said before as fits.

    Args:
        request: The conversation.
        most: Characters of earlier turns, of which the latest stay; 0 = the last turn alone.
    """
    question, left = last_user(request), most
    last = max((at for at, each in enumerate(request.messages) if each.role == "user"), default=0)
    earlier: list[str] = []
    for message in reversed(request.messages[:last]):
        text = " ".join(part.text for part in message.parts if isinstance(part, Text))
        line = f"{message.role}: {text}"
        if text and left > 0:
            earlier.append(line if len(line) <= left else f"{line[:left]}…")
            left -= len(line)
    if not earlier:
        return question
    before = "\n".join(reversed(earlier))
    return f"Earlier in the conversation:\n{before}\n\nThe last question, which was answered:\n{question}"


def calibrated(share: float, platt: tuple[float, float] | None) -> float:
    """Map a raw share to a calibrated probability by a logistic on its logit; None = unchanged."""
    if platt is None:
        return share
    share = min(max(share, 1e-6), 1 - 1e-6)
    slope, intercept = platt
    return 1 / (1 + math.exp(-(slope * math.log(share / (1 - share)) + intercept)))
