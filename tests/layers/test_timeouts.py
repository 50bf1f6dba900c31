import msgspec

from turnout.layers.timeouts import TimeoutsLayer
from turnout.testing.layer import ACME, Scripted, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.http import Timeouts


def limits(own, *, deadline_at=None, started=0.0, layer=None, **ask):
    exchange = make_exchange(ask=Ask(request_id="req_1", **ask))
    exchange.deadline_at = deadline_at
    call = make_call(exchange, msgspec.structs.replace(ACME, timeouts=own), now=started)
    (layer or TimeoutsLayer())(Scripted())(call)
    return call.timeouts


def test_nothing_asked_leaves_the_deployments_limits_untouched():
    own = Timeouts(1, 2, 3, 4)
    assert limits(own) is own
    assert limits(own, deadline_at=100.0) is own


def test_the_caller_may_tighten():
    assert limits(Timeouts(1, 20, 30, 40), ttft_timeout_s=2.0, idle_timeout_s=3.0) == Timeouts(1, 2, 3, 40)


def test_the_caller_may_not_loosen():
    assert limits(Timeouts(1, 2, 3, 4), ttft_timeout_s=20.0, idle_timeout_s=30.0) == Timeouts(1, 2, 3, 4)


def test_the_caller_may_limit_what_was_unlimited():
    own = Timeouts(None, None, None, None)
    assert limits(own, ttft_timeout_s=2.0) == Timeouts(None, 2.0, None, None)


def test_a_deadline_that_comes_first_replaces_the_total():
    assert limits(Timeouts(1, 2, 3, 60), deadline_at=70.0, started=10.0) == Timeouts(1, 2, 3, None)
    assert limits(Timeouts(1, 2, 3, 60), deadline_at=70.1, started=10.0) == Timeouts(1, 2, 3, 60)


def test_limits_without_total_are_made_once_per_deployment():
    layer, own = TimeoutsLayer(), Timeouts()
    first = limits(own, deadline_at=5.0, layer=layer)
    assert limits(own, deadline_at=6.0, layer=layer) is first
    changed = Timeouts(1.0)
    assert limits(changed, deadline_at=6.0, layer=layer) == Timeouts(1.0, total_s=None)
