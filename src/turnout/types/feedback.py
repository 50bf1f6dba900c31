"""What is known of an answer afterwards: somebody's word, a judge's, or what the user did next. Floor 0."""

from datetime import datetime
from typing import Literal, TypedDict

from msgspec import Struct

from turnout.types.json import Json

Signal = Literal["thumb", "score", "correction", "preference", "outcome", "label"]
"""What a client may say."""
Implicit = Literal["implicit.regenerate", "implicit.rephrase", "implicit.correction"]
"""What is read from a user's next request."""
Judged = Literal["judge", "judge.pairwise"]
"""What another model says: a grade, or whether the answer is better than a reference's."""
Kind = Literal[
    "thumb",
    "score",
    "correction",
    "preference",
    "outcome",
    "label",
    "implicit.regenerate",
    "implicit.rephrase",
    "implicit.correction",
    "judge",
    "judge.pairwise",
    "guard",
]
"""`guard`: what an operator says of a guard's finding; it says nothing of the answer's quality."""
JUDGED: tuple[Kind, ...] = ("judge", "judge.pairwise")


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One word on the answer to one request."""

    id: str
    """The same request, kind and speaker are the same id: who says it again replaces what they said."""
    request_id: str
    at: datetime
    kind: Kind
    value: Json = None
    """As it was said. Never text of a prompt or an answer."""
    score: float | None = None
    """What it says of the answer's quality, 0-1; None = nothing, as a label."""
    weight: float = 1.0
    """How much one such word tells, 0-1: what is read from behaviour tells little."""
    chance: float = 1.0
    """Probability with which the request was drawn to be judged."""
    source: str = ""
    """Who speaks: `client`, `operator`, `session`, or the judge's model."""
    text: str | None = None
    """A correction's or a comment's words, where the request's own text is stored."""
    asked_at: datetime
    """When the request arrived."""
    principal: str | None = None
    """Key of the request."""
    speaker: str | None = None
    """Key of who says it; of the caller, a judge or a session the request's own."""
    organisation: str | None = None
    project: str | None = None
    customer: str | None = None
    route: str | None = None
    model: str | None = None
    """Who answered."""


class FeedbackParams(TypedDict, total=False):
    """What may be said beside a word on an answer."""

    scale: tuple[float, float]
    """Worst and best of a `score`; 0 and 1 unless said."""
    comment: str
    """The corrected or preferred answer, or why; kept only where the request's text is."""
    source: str
    """Where in the product it was said."""
    weight: float
    """How sure it is, 0-1."""
    other: str
    """Of a `preference`: the request whose answer it is compared with."""
