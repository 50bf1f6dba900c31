"""Under a certificate nobody is asked first whom it does not permit, whatever else is configured."""

from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest

from tests.learn.test_certificate import certificate as a_certificate
from tests.learn.test_certificate import segment
from tests.strategies.kit import Fixed, candidate, context, request, strategy
from tests.strategies.test_properties import a_context, a_pool, a_row, known_scores
from turnout import plan as plans
from turnout.errors import ConfigError, NoEligibleModel
from turnout.learn.certificate import sealed
from turnout.plan import Sequence, Try
from turnout.strategies.base import Session
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.certified import Permit
from turnout.types.chat import Message, ToolResult
from turnout.types.record import CertificateView

DAY = datetime(2026, 11, 10, tzinfo=UTC)
POOL = (candidate("a/large", 10.0), candidate("b/small", 1.0), candidate("c/tiny", 0.1))
QUALITY = {"a/large": 0.9, "b/small": 0.85, "c/tiny": 0.6}
ROW = {"type": "pipeline", "score": [{"type": "quality", "values": QUALITY}, {"type": "cost", "lambda": 1e5}]}


def certificate(tau=0.1, **changes):
    shown = {"candidates": ("b/small", "c/tiny"), "reference": "a/large"}
    grid = {"tau": tau, "thresholds": (-0.5, 0.1, 0.5)}
    if tau is None:
        observed = msgspec.structs.replace(a_certificate().observed, share_routed=0.0)
        shown["observed"] = observed
    return sealed(a_certificate(**{**shown, **grid, **changes}))


def permit(made=None, pool=POOL, **changes):
    made = certificate() if made is None else made
    base = {
        "certificate": made,
        "reference": tuple(c.deployment for c in pool if c.id == "a/large"),
        "candidates": frozenset(made.candidates) if made else frozenset(),
    }
    return Permit(**{**base, **changes})


def decide(the_permit, candidates=POOL, row=ROW, ctx=None, **fields):
    made = msgspec.structs.replace(strategy(row, POOL), permit=the_permit)
    ctx = ctx or context(**{"at": DAY, **fields})
    return made.choose(ctx, candidates, Fixed())


def test_the_best_utility_within_the_threshold_is_asked_and_the_rest_follows_last():
    choice = decide(permit())
    assert choice.plan == Sequence((Try("b/small"), Try("a/large"), Try("c/tiny")))
    assert choice.certificate == CertificateView(
        id=certificate().id, tau=0.1, gap=pytest.approx(0.05), routed=("b/small",)
    )


def test_where_nobody_is_within_the_threshold_the_reference_is_asked():
    choice = decide(permit(certificate(tau=-0.5)))
    assert plans.deployments(choice.plan)[0] == "a/large"
    assert choice.certificate.uncertified is None


def test_a_bolder_threshold_permits_the_cheapest():
    assert plans.deployments(decide(permit(certificate(tau=0.5))).plan)[0] == "c/tiny"


def test_a_surface_is_held_to_its_own_threshold():
    made = certificate(segments=(segment(tau=-0.5),))
    ask = msgspec.structs.replace(context().ask, surface="chat")
    at_chat = decide(permit(made), ctx=msgspec.structs.replace(context(at=DAY), ask=ask))
    assert plans.deployments(at_chat.plan)[0] == "a/large"
    assert at_chat.certificate.tau == -0.5


@pytest.mark.parametrize(
    ("changes", "fields", "first", "word"),
    [
        ({}, {"at": DAY + timedelta(days=60)}, "a/large", "expired"),
        ({"on_expiry": "warn"}, {"at": DAY + timedelta(days=60)}, "b/small", "expired"),
        ({"on_expiry": "previous"}, {"at": DAY + timedelta(days=60)}, "a/large", "expired"),
        ({}, {"certificate_void": "loss_alarm"}, "a/large", "loss_alarm"),
        ({"on_drift": "warn"}, {"certificate_void": "loss_alarm"}, "b/small", "loss_alarm"),
        ({"on_drift": "rollback"}, {"certificate_void": "gap_shift"}, "a/large", "gap_shift"),
        ({"void": "artifact_mismatch", "on_drift": "warn"}, {}, "a/large", "artifact_mismatch"),
        ({"certificate": None}, {}, "a/large", "not_calibrated"),
    ],
)
def test_a_certificate_that_does_not_hold_sends_everything_to_the_reference_unless_told(
    changes, fields, first, word
):
    choice = decide(permit(**changes), ctx=context(**{"at": DAY, **fields}))
    assert plans.deployments(choice.plan)[0] == first
    assert choice.certificate.uncertified == word


def test_the_certificate_before_it_takes_over_while_it_holds():
    earlier = certificate(tau=0.5, expires=DAY + timedelta(days=100))
    choice = decide(permit(on_expiry="previous", previous=earlier), at=DAY + timedelta(days=60))
    assert plans.deployments(choice.plan)[0] == "c/tiny"
    assert (choice.certificate.id, choice.certificate.uncertified) == (earlier.id, None)


def test_a_certificate_that_showed_nothing_routes_nothing():
    choice = decide(permit(certificate(tau=None)))
    assert plans.deployments(choice.plan)[0] == "a/large"
    assert choice.certificate.uncertified == "nothing_shown"


def test_without_the_reference_near_models_are_within_the_promise_and_others_are_not():
    near = decide(permit(), candidates=POOL[1:])
    assert near.plan == Sequence((Try("b/small"), Try("c/tiny")))
    assert near.certificate.uncertified is None
    far = decide(permit(), candidates=POOL[2:])
    assert (far.plan, far.certificate.uncertified) == (Try("c/tiny"), "reference_unavailable")


def test_a_model_the_certificate_does_not_name_is_never_asked_first():
    made = certificate(tau=0.5, candidates=("b/small",))
    assert plans.deployments(decide(permit(made)).plan)[0] == "b/small"


def tool_loop(**fields):
    asked = request(messages=(Message("tool", (ToolResult(call_id="1"),)),))
    return context(asked, at=DAY, session=Session(deployment="c/tiny", idle_s=1.0), **fields)


def test_a_pinned_deployment_stays_only_where_the_session_was_certified():
    row = {**ROW, "modify": [{"type": "sticky"}]}
    by_request = decide(permit(), row=row, ctx=tool_loop())
    assert plans.deployments(by_request.plan)[0] == "b/small"
    by_session = decide(permit(certificate(unit="session")), row=row, ctx=tool_loop())
    assert plans.deployments(by_session.plan)[0] == "c/tiny"


def a_pipeline(rng, pool):
    while (row := a_row(rng, pool))["type"] != "pipeline":
        pass
    return row


def with_quality(row, rng, pool):
    """Return a pipeline row that predicts quality, whatever else it does."""
    values = {c.id: round(rng.random(), 3) for c in pool}
    rest = [part for part in row.get("score", []) if part["type"] in {"cost", "latency", "load"}]
    return {
        **row,
        "score": [{"type": "quality", "values": values, "weight": rng.choice([0, 1])}, *rest],
    }, values


def test_no_plan_begins_outside_the_promise_over_random_pipelines():
    rng, n_routed, n_held = Random(7), 0, 0
    for _ in range(400):
        pool = tuple({c.id: c for c in a_pool(rng)}.values())
        row, values = with_quality(a_pipeline(rng, pool), rng, pool)
        try:
            made = strategy(row, pool, known_scores(rng, pool))
        except ConfigError:
            continue
        assert isinstance(made, Pipeline)
        reference = rng.choice(pool)
        others = tuple(c.id for c in pool if c is not reference) or ("x/none",)
        tau = rng.choice([-0.5, 0.1, 0.5])
        held = certificate(tau=tau, reference=reference.id, candidates=others)
        rules = Permit(certificate=held, reference=(reference.deployment,), candidates=frozenset(others))
        left = tuple(c for c in pool if c is reference or rng.random() < 0.8)
        at = rng.choice([DAY, DAY, DAY + timedelta(days=60)])
        ctx = msgspec.structs.replace(a_context(rng, pool), at=at)
        try:
            choice = msgspec.structs.replace(made, permit=rules).choose(ctx, left, Fixed(rng.random()))
        except NoEligibleModel:
            continue
        asked = plans.children(choice.plan) if isinstance(choice.plan, Sequence) else (choice.plan,)
        for name in plans.deployments(asked[0]):
            within = at == DAY and values[reference.id] - values[name] <= tau
            assert name == reference.id or within
            n_routed += name != reference.id
            n_held += name == reference.id
        if at != DAY:
            assert plans.deployments(asked[0]) == (reference.id,)
    assert n_routed > 50
    assert n_held > 50
