import pytest

from turnout.engine.pace import Pacers
from turnout.engine.snapshot import Route
from turnout.layers.breaker import BreakerLayer
from turnout.layers.concurrency import ConcurrencyLayer, Gates
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.journal import JournalLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.retry import RetryConfig, RetryLayer
from turnout.layers.spend import SpendLayer
from turnout.layers.timeouts import TimeoutsLayer
from turnout.layers.trace import TraceLayer
from turnout.stores.live import BreakerConfig, Fleet
from turnout.strategies.modifiers import Paced
from turnout.strategies.pipeline import Pipeline
from turnout.testing.clock import now
from turnout.testing.layer import ACME, check_layer, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.deployment import Deployment, Limits

PACERS = Pacers()
PACERS.keep(
    {"r": Route(name="r", deployments=(), strategy=Pipeline(modify=(Paced(budget_usd=1.0),)), filters=())}
)
FLEET = Fleet(BreakerConfig(consecutive_failures=1))
ALONE = Deployment(
    id="acme/alone",
    vendor=ACME.vendor,
    model=ACME.model,
    upstream_model="alone",
    limits=Limits(max_concurrency=1, max_queue=0),
)


class Drawer:
    def append(self, record):
        pass


@pytest.mark.parametrize(
    "layer",
    [
        RetryLayer(FLEET, now, RetryConfig()),
        BreakerLayer(FLEET, now),
        ConcurrencyLayer(Gates(), now),
        TimeoutsLayer(),
        MeasureLayer(FLEET, now),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_attempt_ring(layer):
    check_layer(layer, lambda: make_call(deployment=ALONE))
    assert FLEET.of(ALONE.id).in_flight == 0


@pytest.mark.parametrize(
    "layer",
    [
        TraceLayer(now),
        TraceLayer(now, lambda event: None),
        DeadlineLayer(now),
        DeadlineLayer(now, total_s=None),
        JournalLayer(Drawer(), now),
        JournalLayer(Drawer(), now, key=b"key"),
        SpendLayer(PACERS, now),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_request_ring(layer):
    check_layer(layer, lambda: make_exchange(ask=Ask(request_id="req_1", timeout_s=100.0)))


def test_what_is_off_is_the_inner_handler_itself():
    def inner(subject):
        raise NotImplementedError

    assert RetryLayer(FLEET, now, RetryConfig(enabled=False))(inner) is inner
    assert BreakerLayer(FLEET, now, enabled=False)(inner) is inner
    assert JournalLayer(None, now)(inner) is inner
    assert SpendLayer(Pacers(), now)(inner) is inner


def test_a_layer_with_nothing_to_do_returns_the_inner_context_manager():
    entered = object()
    call, exchange = make_call(), make_exchange()
    assert ConcurrencyLayer(Gates(), now)(lambda _: entered)(call) is entered
    assert TimeoutsLayer()(lambda _: entered)(call) is entered
    assert TraceLayer(now)(lambda _: entered)(exchange) is entered
