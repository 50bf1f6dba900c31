"""Scores given by another model: a grade for one answer, or which of two is better. Floor 6. Pure.

Question and answers are quoted data to the judge (SECURITY.md S-36). Two answers are shown in both orders; a
judge that prefers whichever stands first has called a tie.
"""

from typing import Final

from turnout.strategies.accept.calls import Judge
from turnout.strategies.accept.pairs import PAIR_RUBRIC, Winner, pair_requests, winner
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Message, Text

_ANY: Final = ""
"""The judge is asked by name; the acceptor's own deployment is not used."""


def grade_request(question: str, answer: ChatResponse) -> ChatRequest:
    """Return what to ask for a grade."""
    asked = ChatRequest(model="", messages=(Message("user", (Text(question),)),))
    found = Judge(_ANY).ask(asked, answer)
    assert found is not None  # a judge always asks
    return found.request


def grade(said: ChatResponse) -> float | None:
    """Return the grade within 0-1; None where the judge did not answer in form."""
    verdict = Judge(_ANY).verdict(ChatRequest(model="", messages=()), said, said)
    return verdict.confidence


def saying(text: str) -> ChatResponse:
    """Return an answer of this text, for reckoning what judging one would cost."""
    return ChatResponse(id="", model="", choices=(Choice(parts=(Text(text),)),))


__all__ = ["PAIR_RUBRIC", "Winner", "grade", "grade_request", "pair_requests", "saying", "winner"]
