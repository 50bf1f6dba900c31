"""From a sample to its certificate."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from turnout.errors import ConfigError
from turnout.evaluate.certify import Item, Subject, certify, items_for_more
from turnout.evaluate.metrics import generator
from turnout.learn.calibrate import Promise
from turnout.learn.certificate import Naive, Observed, decode, encode

NOW = datetime(2026, 11, 2, tzinfo=UTC)
SUBJECT = Subject(
    surface="support-chat",
    reference="large",
    candidate="small",
    policy_sha256="a" * 64,
    begins=NOW - timedelta(days=7),
    ends=NOW,
    sampling="uniform 2 %",
    scorer="exact match",
)
PROMISE = Promise(epsilon=0.02)


def sample(n, seed=0):
    """The cheap model fails more often where the gap is wide; the reference is always right."""
    random = generator("sample", seed)
    gaps, luck = random.random(n), random.random(n)
    return [
        Item(
            id=f"{i:05}",
            gap=float(gap),
            reference_score=1.0,
            score=float(u > gap / 4),
            reference_cost_nusd=100,
            cost_nusd=10,
        )
        for i, (gap, u) in enumerate(zip(gaps, luck, strict=True))
    ]


def other_gaps(n=1000):
    return generator("other", 0).random(n).tolist()


def made(items, promise=PROMISE, **options):
    return certify(items, other_gaps(), promise, SUBJECT, created=NOW, **options)


def test_a_sample_is_certified_with_what_it_showed():
    certificate = made(sample(3000))
    routed = [item for item in sample(3000) if item.gap <= certificate.tau]
    failed = sum(item.score == 0 for item in routed)
    assert certificate.observed == Observed(
        loss=failed / 3000,
        share_routed=len(routed) / 3000,
        saving_share=pytest.approx(0.9 * len(routed) / 3000),
        wins=0,
        losses=failed,
    )
    assert 0.15 < certificate.observed.share_routed < certificate.naive.share_routed
    assert (certificate.n, certificate.n_min, certificate.order) == (3000, 127, "averaged")
    assert certificate.expires == NOW + timedelta(days=30)
    assert decode(encode(certificate)) == certificate


def test_the_order_of_rows_changes_nothing():
    items = sample(1000)
    assert made(items) == made(items[::-1])


def test_other_data_has_another_hash():
    assert made(sample(300)).sample.sha256 != made(sample(300, seed=1)).sample.sha256


def test_too_small_a_sample_shows_nothing():
    certificate = made(sample(100))
    assert (certificate.tau, certificate.n_min) == (None, 127)
    assert certificate.observed == Observed(loss=0, share_routed=0, saving_share=0, wins=0, losses=0)


def test_where_even_the_safest_policy_loses_too_much_nothing_is_routed():
    items = [msgspec.structs.replace(item, score=0.0) for item in sample(500)]
    certificate = made(items)
    assert (certificate.tau, certificate.naive) == (None, Naive(tau=None, share_routed=0, saving_share=0))


def test_clopper_pearson_serves_scores_of_zero_and_one_only():
    certificate = made(sample(3000), method="clopper-pearson/1")
    assert (certificate.method, certificate.order, certificate.n_min) == ("clopper-pearson/1", None, 114)
    assert certificate.tau is not None
    graded = [msgspec.structs.replace(item, score=0.5) for item in sample(300)]
    with pytest.raises(ConfigError, match="needs scores of 0 and 1"):
        made(graded, method="clopper-pearson/1")


def test_a_cheap_model_that_is_not_cheaper_saves_nothing():
    items = [msgspec.structs.replace(item, cost_nusd=150) for item in sample(1000)]
    observed = made(items).observed
    assert observed.saving_share == pytest.approx(-0.5 * observed.share_routed)


def test_more_items_certify_more_traffic():
    needed = items_for_more(sample(500), other_gaps(), PROMISE, more=0.05)
    assert needed is not None
    assert 750 <= needed <= 4000
    assert items_for_more(sample(500), other_gaps(), PROMISE, more=1.0) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"gap": float("nan")}, "row 2: gap is nan"),
        ({"score": 1.5}, r"row 2: scores are 1.0 and 1.5; expected 0-1"),
        ({"reference_score": float("nan")}, "row 2: scores are nan"),
        ({"id": "00000"}, "row 2: id '00000' appears twice"),
    ],
)
def test_items_that_cannot_be_used_are_refused_by_their_row(change, problem):
    items = sample(3)
    items[1] = msgspec.structs.replace(items[1], **change)
    with pytest.raises(ConfigError, match=problem):
        made(items)
    with pytest.raises(ConfigError, match="no items"):
        made([])


@pytest.mark.parametrize("gaps", [[], [0.1, float("inf")]])
def test_thresholds_need_predictions_for_other_requests(gaps):
    with pytest.raises(ConfigError, match="other requests: thresholds need at least one predicted gap"):
        certify(sample(3), gaps, PROMISE, SUBJECT, created=NOW)
