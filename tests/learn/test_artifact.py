"""Artifacts: the same after a trip through bytes, and refused when anything does not fit."""

import io
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.learn.artifact import (
    Artifact,
    Card,
    CardDomain,
    CardEncoder,
    CardModel,
    decode,
    decode_card,
    encode,
)
from turnout.learn.base import Prediction, Queries
from turnout.learn.cells import Cells
from turnout.learn.outcomes import fit_lengths
from turnout.registry import BUILTINS, register

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Constant(Struct, frozen=True, eq=False):
    """Says the same of every query."""

    models: tuple[str, ...]
    means: np.ndarray

    def predict(self, queries):
        mean = np.tile(self.means, (queries.n, 1))
        return Prediction(mean, np.zeros_like(mean))

    def arrays(self):
        return {"means": self.means}

    @classmethod
    def of(cls, models, arrays):
        means = arrays["means"].astype(float)
        if means.shape != (len(models),):
            raise ValueError(f"means have shape {means.shape}")
        return cls(models, means)


assert "constant-for-tests" not in BUILTINS["turnout.quality_models"]
register("turnout.quality_models", "constant-for-tests", Constant)


def card(**changed):
    return msgspec.structs.replace(
        Card(
            kind="constant-for-tests",
            created=NOW,
            expires=NOW + timedelta(days=90),
            turnout_version="0.1.0",
            encoder=CardEncoder(name="hash", id="hash/2", dimensions=2),
            canonicaliser="1",
            models=(CardModel(id="a"), CardModel(id="b")),
            data=(),
            domain=CardDomain(ood_cosine=0.5),
        ),
        **changed,
    )


def artifact(**changed):
    return Artifact(card(**changed), Constant(("a", "b"), np.array([0.25, 0.75])), Cells(np.eye(1, 2)))


def test_what_was_written_is_read_back():
    npz, document = encode(artifact())
    assert encode(artifact()) == (npz, document)
    found = decode(npz, document, now=NOW, encoder="hash/2", canonicaliser="1")
    assert found.model.predict(Queries(np.zeros((1, 2)), np.zeros((1, 0)))).mean.tolist() == [[0.25, 0.75]]
    assert found.card == card(npz_sha256=found.card.npz_sha256)
    assert found.is_foreign(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [False, True]
    assert found.card.file_name("mine") == f"mine-2026-11-22-{found.card.npz_sha256[:8]}.npz"


@pytest.mark.parametrize(
    ("changed", "at_hand", "problem"),
    [
        ({}, {"encoder": "hash/3"}, "encoder: it was fitted with 'hash/2', here is 'hash/3'; fit again"),
        ({}, {"canonicaliser": "2"}, "canonicaliser: it was fitted with '1', here is '2'; fit again"),
        ({"measures": "surface/0"}, {}, "measures: it was fitted with 'surface/0', here is 'surface/1'"),
        ({}, {"now": NOW + timedelta(days=90)}, "expires: expired on 2027-02-20; fit again"),
        ({"schema": "turnout.artifact/9"}, {}, "schema is 'turnout.artifact/9'; this version reads"),
        ({"kind": "unheard-of"}, {}, "no 'unheard-of'"),
        ({"models": (CardModel(id="a"),)}, {}, r"arrays: means have shape \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused(changed, at_hand, problem):
    npz, document = encode(artifact(**changed))
    with pytest.raises(ConfigError, match=problem):
        decode(npz, document, **{"now": NOW, **at_hand})


def test_an_expired_card_may_be_told_about_instead():
    npz, document = encode(artifact())
    late = NOW + timedelta(days=91)
    assert decode(npz, document, now=late, on_expired="warn").card.is_expired(late)


def test_other_arrays_than_the_card_names_are_refused():
    npz, document = encode(artifact())
    with pytest.raises(ConfigError, match="npz_sha256"):
        decode(npz + b"\0", document, now=NOW)


def test_pickles_are_never_read():
    buffer = io.BytesIO()
    np.savez(buffer, **{"model.means": np.array([object()])})
    _, document = encode(artifact())
    import hashlib

    forged = msgspec.structs.replace(
        decode_card(document), npz_sha256=hashlib.sha256(buffer.getvalue()).hexdigest()
    )
    with pytest.raises(ConfigError, match="without pickles"):
        decode(buffer.getvalue(), msgspec.json.encode(forged), now=NOW)


@pytest.mark.parametrize("document", [b"", b"[]", b'{"schema":"turnout.artifact/1"}', b"\xff"])
def test_what_is_no_card_is_refused(document):
    with pytest.raises(ConfigError, match="card: "):
        decode_card(document)


def test_lengths_travel_with_the_artifact():
    queries = Queries(np.eye(4), np.empty((4, 0)))
    lengths = fit_lengths(("a", "b"), queries, np.arange(1.0, 9.0).reshape(4, 2))
    npz, text = encode(msgspec.structs.replace(artifact(), lengths=lengths))
    found = decode(npz, text, now=NOW)
    assert (found.lengths.predict(queries).mean == lengths.predict(queries).mean).all()
    assert decode(*encode(artifact()), now=NOW).lengths is None
