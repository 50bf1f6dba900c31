"""`learned`: quality as predicted from the words of the request by what was fitted on outcomes. Floor 2.

Theory of operation (ROUTING.md 1.2, 3.5, 3.8).

1. The artifact is opened when a configuration is loaded, and refused if it was made for another encoder,
   canonicaliser or pool. A decision reads the signals that its card names, and nothing else.
2. It abstains where its card says so, where the request has no vector of its encoder, and where the vector is
   unlike all of the training data. Then each model is worth its mean of the surface, or else its mean: the
   best single choice. The Record says why.
3. `score` and `spread` ask for the same prediction; it is made once for the signals of a request.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.learn.artifact import Artifact, Card, CardModel, Remembering
from turnout.learn.base import Queries
from turnout.learn.encoders.vectors import narrow, unpacked
from turnout.learn.measures import NEEDS, measures
from turnout.learn.single import Predict, single_of
from turnout.registry import did_you_mean
from turnout.strategies.base import Context, Role, Setting
from turnout.types.deployment import Candidate, Deployment
from turnout.types.signal import Embedding, Signals

EMBED: Final = "embed."
OUT_OF_DOMAIN: Final = "out_of_domain"
PRIOR_SD: Final = 0.25
"""Of a model without labels: wide, so that a floor keeps it out of traffic until it has some."""


class Judged(Struct, frozen=True):
    """What is expected of each model for one request."""

    mean: Sequence[float]
    sd: Sequence[float]
    abstained: str | None = None


class Loaded(Struct, eq=False):
    """An artifact opened for a pool."""

    artifact: Artifact
    predict: Predict
    columns: Mapping[str, int]
    """Deployment id -> column; beyond the last: the prior of models without labels."""
    fallback: Mapping[str, Judged]
    """Surface ("" = any other) -> means of the models."""
    last: tuple[Signals, Judged] | None = None
    """The newest request's. Two threads at once compute it twice, nothing worse."""


class Learned(Struct, frozen=True, tag="learned", kw_only=True, forbid_unknown_fields=True):
    """Predicted quality of each model's answer to this request."""

    artifact: str
    """File of arrays; its card lies beside it, as `.json`. Relative to the configuration file."""
    weight: float = 1.0
    names: Mapping[str, str] = {}
    """Deployment or model id -> what the artifact calls it, where that differs."""
    missing: Literal["refuse", "prior"] = "refuse"
    """A model of the route that the artifact does not know: a fault, or what is expected of any model."""
    on_expired: Literal["refuse", "warn"] = "refuse"
    loaded: Loaded | None = None
    """Filled when a configuration is loaded."""

    FILLED: ClassVar = frozenset({"loaded"})

    @property
    def name(self) -> str:
        """Word for Records."""
        return "learned"

    @property
    def role(self) -> Role:
        """A quality."""
        return "quality"

    @property
    def needs(self) -> frozenset[str]:
        """The vector of its encoder and what its measures are read off; known once it is bound."""
        card = self.card
        return NEEDS if card is None else NEEDS | {EMBED + card.encoder.name}

    @property
    def card(self) -> Card | None:
        """What the artifact says of itself; None before binding."""
        return None if self.loaded is None else self.loaded.artifact.card

    @property
    def artifact_sha256(self) -> str | None:
        """What a certificate names it by; None before binding."""
        card = self.card
        return None if card is None else card.npz_sha256

    def bind(self, setting: Setting) -> "Learned":
        """Open the artifact for the pool.

        Raises:
            ConfigError: It cannot be used, or does not know a model of the pool.
        """
        if setting.files is None:
            raise ConfigError(("artifact: no file can be opened here",))
        artifact = setting.files.learned(self.artifact, self.on_expired)
        pool = artifact.card.pool
        known = {d.id: at for d in setting.pool if (at := self._column(d, pool)) is not None}
        lacking = [d.id for d in setting.pool if d.id not in known]
        if len(lacking) == len(setting.pool) or (lacking and self.missing == "refuse"):
            raise ConfigError((_other_pool(lacking, pool, setting.pool),))
        columns = {d.id: known.get(d.id, len(pool)) for d in setting.pool}
        loaded = Loaded(
            artifact=artifact,
            predict=single_of(artifact),
            columns=columns,
            fallback=_fallbacks(artifact.card.models),
        )
        return msgspec.structs.replace(self, loaded=loaded)

    def _column(self, deployment: Deployment, pool: Sequence[str]) -> int | None:
        own = (deployment.id, deployment.model.id)
        names = (*(self.names[name] for name in own if name in self.names), *own)
        return next((pool.index(name) for name in names if name in pool), None)

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the predicted quality of each model; NaN for one that was not there when it was bound."""
        return self._in_order(self.judge(context).mean, candidates)

    def spread(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the standard deviation of each prediction."""
        return self._in_order(self.judge(context).sd, candidates)

    def _in_order(self, numbers: Sequence[float], candidates: Sequence[Candidate]) -> list[float]:
        columns = self.loaded.columns if self.loaded is not None else {}
        try:
            return [numbers[columns[c.deployment.id]] for c in candidates]
        except KeyError:  # one that was not there when it was bound
            return [numbers[columns[c.id]] if c.id in columns else math.nan for c in candidates]

    def abstained(self, context: Context) -> str | None:
        """Return why the means of the models were taken instead of a prediction; None: it predicted."""
        return self.judge(context).abstained

    def neighbours(self, context: Context) -> Mapping[str, float]:
        """Return the training prompts that weighed most; none where it abstained or keeps none by id."""
        loaded = self.loaded
        if loaded is None or self.abstained(context) is not None:
            return {}
        vector, model = context.signals.get(EMBED + loaded.artifact.card.encoder.name), loaded.artifact.model
        if not isinstance(vector, Embedding) or not isinstance(model, Remembering):
            return {}
        return model.nearest(narrow(vector.vector))

    def tokens_out(self, context: Context, candidates: Sequence[Candidate]) -> Mapping[str, int]:
        """Return the output tokens expected of those whose lengths were learned; read off the words alone.

        A prompt unlike the training data has none: there the averages of the route are better.
        """
        loaded = self.loaded
        lengths = None if loaded is None else loaded.artifact.lengths
        if loaded is None or lengths is None or context.max_tokens_out < 1:
            return {}
        card, signals = loaded.artifact.card, context.signals
        vector = signals.get(EMBED + card.encoder.name)
        usable = isinstance(vector, Embedding) and vector.value == card.encoder.id and any(vector.vector)
        if not isinstance(vector, Embedding) or not usable or self.abstained(context) == OUT_OF_DOMAIN:
            return {}
        asked = Queries(unpacked(vector.vector)[None], measures(signals)[None])
        expected = lengths.predict(asked, float(context.max_tokens_out)).mean[0].tolist()
        places = ((c.id, loaded.columns.get(c.id, len(expected))) for c in candidates)
        return {name: math.ceil(expected[at]) for name, at in places if at < len(expected)}

    def judge(self, context: Context) -> Judged:
        """Return what is expected of every model of the artifact, the prior last."""
        loaded = self.loaded
        if loaded is None:
            raise ValueError("learned: not bound to a pool")
        last = loaded.last
        # Means depend on the surface too, so only predictions are known by the signals alone.
        if last is not None and last[0] is context.signals and last[1].abstained is None:
            return last[1]
        found = _judged(loaded, context)
        loaded.last = (context.signals, found)
        return found


def _judged(loaded: Loaded, context: Context) -> Judged:
    card, signals = loaded.artifact.card, context.signals
    reason = card.abstain_reason
    vector = signals.get(EMBED + card.encoder.name)
    if reason is None and (not isinstance(vector, Embedding) or not any(vector.vector)):
        reason = "no_vector"
    elif reason is None and isinstance(vector, Embedding) and vector.value != card.encoder.id:
        reason = "another_encoder"
    if reason is None and isinstance(vector, Embedding):
        found = loaded.predict(narrow(vector.vector), measures(signals))
        if found.nearness >= card.domain.ood_cosine:
            return _with_prior(found.mean, found.sd)
        reason = OUT_OF_DOMAIN
    surface = context.surface.name if context.surface is not None else ""
    means = loaded.fallback.get(surface) or loaded.fallback[""]
    return Judged(means.mean, means.sd, reason)


def _with_prior(mean: list[float], sd: list[float]) -> Judged:
    if math.isnan(sum(sd)):
        sd = [0.0 if math.isnan(each) else each for each in sd]
    return Judged([*mean, sum(mean) / len(mean)], [*sd, PRIOR_SD])


def _fallbacks(models: Sequence[CardModel]) -> Mapping[str, Judged]:
    """Return the means by surface; a model without labels on one keeps its overall mean there."""
    surfaces = {"", *(name for model in models for name in model.surfaces)}
    found = {}
    for surface in surfaces:
        mean = [model.surfaces.get(surface, model.mean) for model in models]
        sd = [math.sqrt(q * (1 - q) / max(model.n_labels, 1)) for q, model in zip(mean, models, strict=True)]
        found[surface] = _with_prior(mean, sd)
    return found


def _other_pool(lacking: Sequence[str], pool: Sequence[str], deployments: Sequence[Deployment]) -> str:
    hint = did_you_mean(lacking[0], pool)
    return (
        f"artifact: it does not know {', '.join(lacking)}; it was fitted for {', '.join(pool)}, the route "
        f"has {', '.join(d.id for d in deployments)}{hint}; write names:, fit again, or set missing: prior"
    )
