"""The document: what it says, that it survives a round trip, and that a changed one is refused."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from turnout.errors import ConfigError
from turnout.learn.certificate import (
    Certificate,
    Naive,
    Observed,
    Sample,
    Scorer,
    Segment,
    decode,
    encode,
    grid_sha256,
    is_intact,
    read,
    sealed,
)

CREATED = datetime(2026, 11, 2, tzinfo=UTC)


def certificate(**changes):
    base = {
        "created": CREATED,
        "expires": CREATED + timedelta(days=30),
        "surface": "support-chat",
        "reference": "large",
        "candidates": ("small",),
        "policy_sha256": "a" * 64,
        "epsilon": 0.02,
        "delta": 0.1,
        "n": 1000,
        "n_min": 127,
        "tau": 0.041,
        "thresholds": (-0.1, 0.041, 0.19),
        "sample": Sample(
            sha256="b" * 64, begins=CREATED - timedelta(days=7), ends=CREATED, sampling="uniform 2 %"
        ),
        "scorer": Scorer(kind="gold", id="exact match"),
        "observed": Observed(loss=0.002, share_routed=0.12, saving_share=0.09, wins=31, losses=33),
        "naive": Naive(tau=0.19, share_routed=0.25, saving_share=0.2),
    }
    made = {**base, **changes}
    return Certificate(**{"grid_sha256": grid_sha256(made["thresholds"]), **made})


def segment(**changes):
    base = {"name": "chat", "n": 500, "n_min": 127, "tau": -0.1, "scope": "own", "share_routed": 0.05}
    return Segment(**{"loss": 0.0, **base, **changes})


def test_a_sealed_certificate_survives_the_round_trip():
    original = sealed(certificate())
    assert decode(encode(original)) == original
    assert (original.id[:2], len(original.id)) == ("c-", 18)


def test_equal_certificates_have_equal_ids_and_bytes():
    assert encode(sealed(certificate())) == encode(sealed(certificate()))
    assert sealed(certificate()).id != sealed(certificate(epsilon=0.03)).id


def test_a_changed_document_is_refused():
    document = encode(sealed(certificate())).replace(b'"tau":0.041', b'"tau":0.19', 1)
    with pytest.raises(ConfigError, match=r"certificate.id: is 'c-.*'; the document's own hash is 'c-"):
        decode(document)


def test_it_allows_what_lies_within_its_threshold():
    some, none = certificate(), certificate(tau=None)
    assert [some.allows(gap) for gap in (-1, 0.041, 0.042, float("nan"))] == [True, True, False, False]
    assert none.allows(-1.0) is False


def test_a_surface_may_be_stricter_than_the_certificate_and_never_bolder():
    surfaces = (segment(), segment(name="mail", tau=0.19), segment(name="code", tau=None))
    few = segment(name="new", n=20, scope="marginal only", tau=None)
    some = certificate(segments=(*surfaces, few))
    taus = {name: some.threshold(name) for name in ("chat", "mail", "code", "new", "unheard of", None)}
    assert taus == {"chat": -0.1, "mail": 0.041, "code": None, "new": 0.041, "unheard of": 0.041, None: 0.041}


def test_a_changed_document_can_be_read_and_is_known_for_it():
    document = encode(sealed(certificate()))
    assert is_intact(read(document))
    assert not is_intact(read(document.replace(b'"tau":0.041', b'"tau":0.19', 1)))


def test_it_is_valid_from_its_creation_until_just_before_its_expiry():
    some = certificate()
    moments = [CREATED - timedelta(seconds=1), CREATED, some.expires - timedelta(seconds=1), some.expires]
    assert [some.is_valid(moment) for moment in moments] == [False, True, True, False]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"expires": CREATED}, "certificate.expires: 2026-11-02"),
        ({"tau": 0.05}, "certificate.tau: 0.05 is none of the thresholds"),
        ({"n": 100}, "certificate.tau: nothing can be shown with n=100, below n_min=127"),
        ({"thresholds": (0.041, 0.041)}, "certificate.thresholds: not finite and rising"),
        ({"thresholds": (0.041, float("inf"))}, "certificate.thresholds: not finite and rising"),
        ({"tau": None}, "certificate.observed.share_routed: not 0 while tau is null"),
        ({"order": None}, "certificate.order: None does not fit the method ltt-betting/1"),
        ({"method": "clopper-pearson/1"}, "certificate.order: 'averaged' does not fit"),
        ({"n": 40, "n_min": 20}, "certificate.observed: more wins and losses than n=40"),
        ({"candidates": ("small", "large")}, "certificate.candidates: 'large' is the reference"),
        ({"grid_sha256": "c" * 64}, "certificate.grid_sha256: is not the hash of the thresholds"),
        ({"shares": (0.1, 0.2)}, "certificate.shares: not one a threshold, rising"),
        ({"segments": (segment(), segment())}, "certificate.segments: a name stands twice"),
        ({"segments": (segment(tau=0.5),)}, r"certificate.segments\[0\].tau: is no threshold"),
        ({"segments": (segment(n=20),)}, r"certificate.segments\[0\].scope: 'own' does not fit n=20"),
    ],
)
def test_parts_that_disagree_are_named(changes, problem):
    with pytest.raises(ConfigError, match=problem):
        sealed(certificate(**changes))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"epsilon":0.02', b'"epsilon":0', r"Expected `float` > 0\.0 - at `\$\.epsilon`"),
        (b'"n":1000', b'"n":0', r"Expected `int` >= 1 - at `\$\.n`"),
        (b'"surface"', b'"surfaces"', "unknown field `surfaces`"),
        (b"turnout.certificate/1", b"turnout.certificate/2", "Invalid enum value"),
        (b"a" * 64, b"a" * 63, "matching regex"),
        (b"{", b"[", "Expected `object`"),
    ],
)
def test_a_malformed_document_says_where(old, new, problem):
    document = encode(sealed(certificate())).replace(old, new)
    with pytest.raises(ConfigError, match=problem):
        decode(document)


def test_a_threshold_may_be_an_integer_in_the_document():
    some = sealed(certificate(tau=1.0, thresholds=(0.0, 1.0)))
    assert decode(msgspec.json.encode(msgspec.json.decode(encode(some)))) == some
