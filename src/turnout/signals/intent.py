"""`intent`: which of the fitted intents the request expresses; `intent.scores`: by how much. Floor 2.

The scores go into the Record, the words do not: a decision can be replayed under other routes for an intent,
and its thresholds argued about, from the Record alone.
"""

from collections.abc import Callable, Mapping
from math import exp, isfinite
from typing import Final, cast

from msgspec import Struct

from turnout.errors import ConfigError
from turnout.learn.base import Encoder, Floats
from turnout.learn.encoders.vectors import PREFIX, first_embedding, unpacked
from turnout.learn.intent import NONE, IntentModel
from turnout.registry import load
from turnout.signals.base import AbsentError
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals

INTENT: Final = "intent"
SCORES: Final = "intent.scores"
SHOWN: Final = 5
"""Labels whose scores are kept."""
DECIMALS: Final = 4


class IntentScoresSense(Struct, frozen=True, kw_only=True, eq=False):
    """Scores of the best labels, by the first encoder of the chain that is present."""

    model: IntentModel
    name: str = SCORES

    @property
    def needs(self) -> frozenset[str]:
        """Vectors of its encoders."""
        return frozenset(PREFIX + kind for kind in self.model.encoders)

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the scores. Raises `AbsentError` where there is no vector, or one of another encoder."""
        found = first_embedding(so_far, self.model.encoders)
        if found is None:
            raise AbsentError("no_embedding")
        at, embedding = found
        card = self.model.card
        if embedding.value != card.heads[at].encoder.id:
            raise AbsentError("wrong_encoder")
        vector = unpacked(embedding.vector)
        if len(vector) != card.heads[at].encoder.dimensions:
            raise AbsentError("wrong_dimensions")
        head = self.model.heads[at]
        scores = head.scores(vector[None, :])
        best, taken = head.decide(scores, card.margin)
        row = scores[0]
        order = (-row).argsort(kind="stable")[:SHOWN]
        label = int(best[0])
        return Signal(
            value={
                "label": self.model.labels[label] if taken[0] else NONE,
                "encoder": self.model.encoders[at],
                "threshold": _shown(head.thresholds[label]),
                "scores": {self.model.labels[i]: _shown(row[i]) for i in order},
                "artifact": card.npz_sha256[:8],
            },
            confidence=_confidence(row, logits=head.method == "logistic"),
        )


class IntentSense(Struct, frozen=True, kw_only=True, eq=False):
    """Name of the intent; `none` where no score reaches its threshold. Default when absent: `none`."""

    artifact: str
    """Hash of the artifact's arrays."""
    name: str = INTENT
    needs: frozenset[str] = frozenset({SCORES})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntentSense) and other.artifact == self.artifact

    def __hash__(self) -> int:
        return hash(self.artifact)

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the label. Raises `AbsentError` where there are no scores."""
        found = so_far.get(SCORES)
        if found is None or not isinstance(found.value, Mapping):
            raise AbsentError("no_scores" if found is None or found.error is None else found.error)
        return Signal(value=found.value["label"], confidence=found.confidence)


def senses_of(model: IntentModel) -> tuple[IntentScoresSense, IntentSense]:
    """Return the senses of an artifact.

    Raises:
        ConfigError: An encoder at hand is not the one it was fitted with.
    """
    problems = []
    for head in model.card.heads:
        if head.encoder.name == "remote":
            continue  # known only by its answers
        name = head.encoder.name
        make = cast("Callable[[], Encoder]", load("turnout.encoders", name))  # what the group holds
        here = make().id
        if here != head.encoder.id:
            made = head.encoder.id
            problems.append(f"artifact: it was fitted with {made!r}, here is {here!r}; fit again")
    if problems:
        raise ConfigError(tuple(problems))
    return IntentScoresSense(model=model), IntentSense(artifact=model.card.npz_sha256)


def _confidence(row: Floats, *, logits: bool) -> float:
    """Return the share of the best label: softmax of logits, or its cosine."""
    top = float(row.max())
    if not logits:
        return round(min(max(top, 0.0), 1.0), DECIMALS)
    return round(1 / sum(exp(score - top) for score in row.tolist()), DECIMALS)


def _shown(score: float) -> float | None:
    return round(float(score), DECIMALS) if isfinite(score) else None
