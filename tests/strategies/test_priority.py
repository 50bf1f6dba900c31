"""`priority`: the declared order, and another vendor for the second deployment of one model."""

from random import Random

import msgspec

from turnout.plan import Sequence, Try
from turnout.strategies.base import Context
from turnout.strategies.priority import Priority
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Deployment, Model, Vendor

ASK = Ask(request_id="req_1")


def candidate(name, vendor="v", model="v/m", priority=0):
    row = Vendor(name=vendor, base_url="https://x", codec="openai_chat")
    return Candidate(
        Deployment(id=name, vendor=row, model=Model(id=model), upstream_model="m", priority=priority)
    )


def plan(strategy, *candidates, ask=ASK):
    request = ChatRequest(model="m", messages=())
    context = Context(request=request, ask=ask, n_tokens_in=1, n_tokens_out=1, max_tokens_out=1)
    return strategy.choose(context, candidates, Random(0)).plan


def tries(*names):
    return Sequence(tuple(Try(name) for name in names))


def test_the_declared_order_is_kept_among_equals():
    assert plan(Priority(), candidate("a"), candidate("b"), candidate("c", "w")) == tries("a", "b", "c")


def test_a_lower_number_is_asked_first():
    assert plan(Priority(), candidate("a", priority=2), candidate("b", priority=1)) == tries("b", "a")


def test_another_vendors_deployment_of_the_same_model_comes_second():
    pool = (candidate("a"), candidate("b"), candidate("c", "w"), candidate("d", "w", model="w/other"))
    assert plan(Priority(spread_vendors=True), *pool) == tries("a", "c", "b", "d")


def test_a_caller_may_forbid_fallbacks():
    ask = msgspec.structs.replace(ASK, prefer=Preferences(allow_fallbacks=False))
    assert plan(Priority(), candidate("a"), candidate("b"), ask=ask) == tries("a")


def test_the_tail_is_bounded():
    pool = [candidate(str(n)) for n in range(9)]
    assert plan(Priority(max_fallbacks=1), *pool) == tries("0", "1")
