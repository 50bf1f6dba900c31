"""The promise a router is run under, as a document that can be checked. Floor 2.

1. A certificate says what was shown, on which data, by which method, and when it ends. It makes no promise
   about a single request, about a biased scorer, or about traffic unlike the data (ROUTING.md section 5.3).
2. Its id is the hash of everything else in it, so a changed document is known by it. It is not signed:
   whoever may write the configuration may write a certificate, and a hash needs no key to keep.
3. Times are arguments: whether it is still valid is asked with a clock reading.
4. No numpy: whoever only heeds a certificate does not need it.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from turnout.errors import ConfigError

Moment = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
Open = Annotated[float, Meta(gt=0, lt=1)]
Loss = Annotated[float, Meta(ge=-1, le=1)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Saving = Annotated[float, Meta(le=1)]
Method = Literal["ltt-betting/1", "clopper-pearson/1"]
Unit = Literal["request", "session"]

MARGINAL = "marginal; exchangeable with the sample"
INVALID_IF = (
    "reference or candidate version",
    "artifact or policy",
    "scorer",
    "PSI of the predicted gap > 0.25",
    "loss e-process",
)


class Scorer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who scored the answers: one declared scorer, the subject of the promise."""

    kind: Literal["gold", "judge", "verifier", "feedback"]
    id: str
    gold_overlap: Count = 0
    """Items that the scorer and a gold label both scored; 0 of a judge: nobody knows how far it is off."""


class Sample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requests it was shown on."""

    sha256: Sha256
    """Hash of the calibration rows; the seed of the test comes from it."""
    begins: Moment
    ends: Moment
    sampling: str
    """How requests were drawn, in words: "uniform 2 %"."""
    least_probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Smallest known chance to be drawn, where they differ; 1: all requests had the same."""


class Observed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the certified threshold did on the calibration sample. An observation, not a promise."""

    loss: Loss
    share_routed: Share
    saving_share: Saving
    """Of the reference's cost; negative where routing costs more."""
    wins: Count
    losses: Count
    log_K: float | None = None  # noqa: N815  the statistic's name in the literature and in ROUTING.md 5.1
    """Log evidence at the certified threshold; enough at log(1/delta). None: nothing was shown."""


class Naive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the threshold tuned on the observed loss would route: what the promise costs in savings."""

    tau: float | None
    share_routed: Share
    saving_share: Saving


class Segment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one surface by itself."""

    name: str
    n: Positive
    n_min: Positive
    tau: float | None
    """Threshold shown safe on this surface alone; None where `scope` is own: it routes nothing."""
    scope: Literal["own", "marginal only"]
    """`marginal only`: too few items, so nothing is promised about this surface by itself."""
    share_routed: Share
    """At the stricter of its own threshold and the certificate's."""
    loss: Loss


class Certificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """P(mean loss against `reference` > `epsilon`) <= `delta`, on traffic like the sample."""

    schema: Literal["turnout.certificate/1"] = "turnout.certificate/1"
    id: str = ""
    """`c-` and 16 hex digits of the hash of the rest; set by `sealed`."""
    created: Moment
    expires: Moment
    surface: str = ""
    """Where the sample is from; empty: the whole route."""
    reference: str
    candidates: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Models a request may leave the reference for."""
    versions: Mapping[str, str] = {}
    """Model id -> the name its provider knew it by."""
    prices: Mapping[str, str] = {}
    """Model id -> date of its price, with pico-USD a token of input and of output. A changed price ends the
    statement about savings; one that is more than a tenth off is heeded like an alarm."""
    policy_sha256: Sha256 | None = None
    """Of the route's strategy; None: not tied to one."""
    artifact_sha256: Sha256 | None = None
    """Of what predicted the gaps; None: not tied to one."""
    score: str = "g: q_ref - q_alt"
    """What `tau` is a threshold of."""
    unit: Unit = "request"
    """What the mean loss is a mean over."""
    method: Method = "ltt-betting/1"
    order: Literal["averaged", "hashed"] | None = "averaged"
    """How the bets go through the items; None for a method without an order."""
    epsilon: Open
    delta: Open
    n: Positive
    n_min: Positive
    """With fewer items nothing can be shown."""
    tau: float | None
    """Route away what has a predicted gap of at most this. None: nothing was shown, route nothing."""
    thresholds: Annotated[tuple[float, ...], Meta(min_length=1)]
    """Everything that could have become `tau`, rising; fixed before any label was seen."""
    shares: tuple[Share, ...] = ()
    """Expected share of requests with a gap within each threshold: what drift is measured against."""
    grid_sha256: Sha256
    sample: Sample
    scorer: Scorer
    observed: Observed
    naive: Naive
    n_for_more: Positive | None = None
    """About how many items would certify 5 % more of the traffic; None: more than eight times the sample."""
    segments: tuple[Segment, ...] = ()
    scope: str = MARGINAL
    invalid_if: tuple[str, ...] = INVALID_IF

    def allows(self, gap: float, surface: str | None = None) -> bool:
        """Whether a request with this predicted gap may leave the reference."""
        tau = self.threshold(surface)
        return tau is not None and gap <= tau

    def threshold(self, surface: str | None = None) -> float | None:
        """Return the threshold in force on a surface: never bolder than the certificate's own."""
        if self.tau is None or surface is None:
            return self.tau
        for segment in self.segments:
            if segment.name == surface and segment.scope == "own":
                return None if segment.tau is None else min(self.tau, segment.tau)
        return self.tau

    def is_valid(self, now: datetime) -> bool:
        """Whether the promise holds at this time, as far as the date says."""
        return self.created <= now < self.expires


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Certificate)


def grid_sha256(thresholds: Sequence[float]) -> str:
    """Return the hash of a grid: equal grids, equal hashes."""
    return hashlib.sha256(_ENCODER.encode([float(each) for each in thresholds])).hexdigest()


def sealed(certificate: Certificate) -> Certificate:
    """Return the certificate with its id, after checking that its parts agree.

    Raises:
        ConfigError: A part contradicts another one; every contradiction is a line.
    """
    if found := problems(certificate):
        raise ConfigError(found)
    return msgspec.structs.replace(certificate, id=_id(certificate))


def encode(certificate: Certificate) -> bytes:
    """Return the document as JSON: sorted keys, so that equal certificates are equal bytes."""
    return _ENCODER.encode(certificate)


def read(document: bytes) -> Certificate:
    """Return the certificate in a JSON document, changed since it was sealed or not (see `is_intact`).

    Raises:
        ConfigError: It is malformed.
    """
    try:
        return _DECODER.decode(document)
    except msgspec.DecodeError as error:
        raise ConfigError((f"certificate: {error}",)) from error


def is_intact(certificate: Certificate) -> bool:
    """Whether it says what it said when it was sealed, and its parts agree."""
    return certificate.id == _id(certificate) and not problems(certificate)


def decode(document: bytes) -> Certificate:
    """Return the certificate in a JSON document.

    Raises:
        ConfigError: It is malformed, its parts disagree, or it was changed after it was sealed.
    """
    certificate = read(document)
    if found := problems(certificate):
        raise ConfigError(found)
    if certificate.id != (expected := _id(certificate)):
        raise ConfigError(
            (f"certificate.id: is {certificate.id!r}; the document's own hash is {expected!r}",)
        )
    return certificate


def problems(certificate: Certificate) -> tuple[str, ...]:
    """Return every contradiction between the parts of a certificate, one line each."""
    c = certificate
    checks = [
        (c.expires > c.created, f"expires: {c.expires} is not after created, {c.created}"),
        (c.sample.begins <= c.sample.ends, "sample: ends before it begins"),
        (c.reference not in c.candidates, f"candidates: {c.reference!r} is the reference"),
        (
            all(map(math.isfinite, c.thresholds)) and all(a < b for a, b in pairwise(c.thresholds)),
            "thresholds: not finite and rising",
        ),
        (c.grid_sha256 == grid_sha256(c.thresholds), "grid_sha256: is not the hash of the thresholds"),
        (
            not c.shares or (len(c.shares) == len(c.thresholds) and list(c.shares) == sorted(c.shares)),
            "shares: not one a threshold, rising",
        ),
        (c.tau is None or c.tau in c.thresholds, f"tau: {c.tau} is none of the thresholds"),
        (c.tau is None or c.n >= c.n_min, f"tau: nothing can be shown with n={c.n}, below n_min={c.n_min}"),
        (c.tau is not None or c.observed.share_routed == 0, "observed.share_routed: not 0 while tau is null"),
        (
            (c.method == "ltt-betting/1") == (c.order is not None),
            f"order: {c.order!r} does not fit the method {c.method}",
        ),
        (c.observed.wins + c.observed.losses <= c.n, f"observed: more wins and losses than n={c.n}"),
        *_segment_checks(c),
    ]
    return tuple(f"certificate.{problem}" for holds, problem in checks if not holds)


def _segment_checks(certificate: Certificate) -> Iterator[tuple[bool, str]]:
    names = [segment.name for segment in certificate.segments]
    yield len(set(names)) == len(names), "segments: a name stands twice"
    for at, segment in enumerate(certificate.segments):
        path = f"segments[{at}]"
        yield (segment.tau is None or segment.tau in certificate.thresholds), f"{path}.tau: is no threshold"
        own = segment.n >= segment.n_min
        yield (segment.scope == "own") == own, f"{path}.scope: {segment.scope!r} does not fit n={segment.n}"


def _id(certificate: Certificate) -> str:
    without = msgspec.structs.replace(certificate, id="")
    return f"c-{hashlib.sha256(_ENCODER.encode(without)).hexdigest()[:16]}"
