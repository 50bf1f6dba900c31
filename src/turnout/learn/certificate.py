"""The promise a router is run under, as a document that can be checked. Floor 2.

1. A certificate says what was shown, on which data, by which method, and when it ends. It makes no promise
   about a single request, about a biased scorer, or about traffic unlike the data (ROUTING.md section 5.3).
2. Its id is the hash of everything else in it, so a changed document no longer decodes.
3. Times are arguments: whether it is still valid is asked with a clock reading.
"""

import hashlib
import math
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
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Method = Literal["ltt-betting/1", "clopper-pearson/1"]


class Sample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requests it was shown on."""

    sha256: Sha256
    """Hash of the calibration rows; the seed of the test comes from it."""
    begins: Moment
    ends: Moment
    sampling: str
    """How requests were drawn, in words: "uniform 2 %"."""
    scorer: str
    """Who scored the answers: one declared scorer, the subject of the promise."""


class Observed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the certified threshold did on the calibration sample. An observation, not a promise."""

    loss: Loss
    share_routed: Share
    saving_share: Annotated[float, Meta(le=1)]
    """Of the reference's cost; negative where routing costs more."""
    wins: Annotated[int, Meta(ge=0)]
    losses: Annotated[int, Meta(ge=0)]


class Naive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the threshold tuned on the observed loss would route: what the promise costs in savings."""

    tau: float | None
    share_routed: Share
    saving_share: Annotated[float, Meta(le=1)]


class Certificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """P(mean loss against `reference` > `epsilon`) <= `delta`, on traffic like the sample."""

    schema: Literal["turnout.certificate/1"] = "turnout.certificate/1"
    id: str = ""
    """`c-` and 16 hex digits of the hash of the rest; set by `sealed`."""
    created: Moment
    expires: Moment
    surface: str
    reference: str
    candidate: str
    policy_sha256: Sha256
    method: Method = "ltt-betting/1"
    order: Literal["averaged", "hashed"] | None = "averaged"
    """How the bets go through the items; None for a method without an order."""
    epsilon: Open
    delta: Open
    n: Annotated[int, Meta(ge=1)]
    n_min: Annotated[int, Meta(ge=1)]
    """With fewer items nothing can be shown."""
    tau: float | None
    """Route away what has a predicted gap of at most this. None: nothing was shown, route nothing."""
    thresholds: Annotated[tuple[float, ...], Meta(min_length=1)]
    """Everything that could have become `tau`, rising; fixed before any label was seen."""
    sample: Sample
    observed: Observed
    naive: Naive
    scope: str = "marginal; exchangeable with the sample"

    def allows(self, gap: float) -> bool:
        """Whether a request with this predicted gap may leave the reference."""
        return self.tau is not None and gap <= self.tau

    def is_valid(self, now: datetime) -> bool:
        """Whether the promise holds at this time, as far as the date says."""
        return self.created <= now < self.expires


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Certificate)


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


def decode(document: bytes) -> Certificate:
    """Return the certificate in a JSON document.

    Raises:
        ConfigError: It is malformed, its parts disagree, or it was changed after it was sealed.
    """
    try:
        certificate = _DECODER.decode(document)
    except msgspec.DecodeError as error:
        raise ConfigError((f"certificate: {error}",)) from error
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
        (
            all(map(math.isfinite, c.thresholds)) and all(a < b for a, b in pairwise(c.thresholds)),
            "thresholds: not finite and rising",
        ),
        (c.tau is None or c.tau in c.thresholds, f"tau: {c.tau} is none of the thresholds"),
        (c.tau is None or c.n >= c.n_min, f"tau: nothing can be shown with n={c.n}, below n_min={c.n_min}"),
        (c.tau is not None or c.observed.share_routed == 0, "observed.share_routed: not 0 while tau is null"),
        (
            (c.method == "ltt-betting/1") == (c.order is not None),
            f"order: {c.order!r} does not fit the method {c.method}",
        ),
        (c.observed.wins + c.observed.losses <= c.n, f"observed: more wins and losses than n={c.n}"),
    ]
    return tuple(f"certificate.{problem}" for holds, problem in checks if not holds)


def _id(certificate: Certificate) -> str:
    without = msgspec.structs.replace(certificate, id="")
    return f"c-{hashlib.sha256(_ENCODER.encode(without)).hexdigest()[:16]}"
