"""`sticky`: what leaving a warm prompt costs, and where a conversation may be left (ROUTING.md 7.4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies.kit import Fixed, candidate, choose, context, price, strategy
from turnout.plan import deployments
from turnout.strategies.base import Session
from turnout.strategies.modifiers import Sticky, break_even_turns
from turnout.types.ask import Ask

N = 100_000


def cached(usd, read, write=1.25):
    return price(usd, cache_read=round(usd * read * 1e6), cache_write_5m=round(usd * write * 1e6))


def where(row, pool, **fields):
    return deployments(choose(row, pool, context(**fields)).plan)[0]


def moves(stay, move, turns, ttl_idle=0.0):
    """Whether a conversation of a hundred thousand tokens leaves, with nothing but money at stake."""
    pool = (candidate("a/x", stay), candidate("b/y", move))
    row = {
        "type": "pipeline",
        "score": [{"type": "cost", "lambda": 1.0}],
        "modify": [{"type": "sticky", "psi": 0, "lambda": 1.0, "turns": turns}],
    }
    session = Session(deployment="a/x", prefix_tokens=N, idle_s=ttl_idle)
    return where(row, pool, n_tokens_in=N, n_tokens_out=0, session=session) == "b/y"


@pytest.mark.parametrize(("read", "turns"), [(0.1, 2.875), (0.05, 6.0)])
def test_the_published_case_breaks_even_where_the_formula_says(read, turns) -> None:
    stay, move = cached(5, read), cached(1, read)
    assert break_even_turns(stay, move) == pytest.approx(turns)
    assert not moves(stay, move, turns - 0.01)
    assert moves(stay, move, turns + 0.01)


@given(st.floats(2, 50), st.floats(0.1, 1.9), st.floats(0.02, 0.9), st.floats(1, 2))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_the_utility_turns_at_k_star(dear, cheap, read, write) -> None:
    stay, move = cached(dear, read, write), cached(cheap, read, write)
    turns = break_even_turns(stay, move)
    assert turns is not None
    if turns > 1.05:
        assert not moves(stay, move, max(1.0, turns * 0.98))
    assert moves(stay, move, max(1.0, turns * 1.02 + 0.01))


def test_beyond_the_life_of_the_cache_leaving_is_free() -> None:
    stay, move = cached(5, 0.1), cached(1, 0.1)
    assert not moves(stay, move, 1.0, ttl_idle=300.0)
    assert moves(stay, move, 1.0, ttl_idle=301.0)


def test_where_staying_reads_as_cheaply_no_turn_pays_for_moving() -> None:
    assert break_even_turns(cached(1, 0.1), cached(1, 0.1)) is None
    assert break_even_turns(price(1), cached(1, 0.1)) is None


@pytest.mark.parametrize(
    ("survival", "n_turns", "left"),
    [
        ((), 4, 3.0),
        ((0.5,), 1, 2.0),
        ((0.5,), 9, 2.0),
        ((0.0,), 1, 1.0),
        ((0.8, 0.5), 0, 1 + 0.8 + 0.8 * 1.0),
        ((0.8, 0.5), 1, 2.0),
    ],
)
def test_the_turns_to_come_follow_the_survival_curve(survival, n_turns, left) -> None:
    assert Sticky(survival=survival).turns_left(n_turns) == pytest.approx(left)


HELD = {
    "type": "best",
    "quality": {"a/x": 0.5, "b/y": 0.9, "c/z": 0.8},
    "modify": [{"type": "sticky", "hold": True}],
}
POOL = (candidate("a/x"), candidate("b/y"), candidate("c/z"))


def talking(idle_s=10.0, **fields):
    return {"session": Session(deployment="a/x", prefix_tokens=100, idle_s=idle_s), **fields}


def test_a_held_conversation_is_left_only_at_a_boundary() -> None:
    assert where(HELD, POOL, **talking()) == "a/x"
    assert where(HELD, POOL, **talking(idle_s=301.0)) == "b/y"
    assert where(HELD, POOL) == "b/y"
    turned = Ask(request_id="req_0", tags=("new-topic",))
    made = strategy(HELD, POOL)
    ctx = context(**talking())
    assert deployments(made.choose(replace(ctx, ask=turned), POOL, None).plan)[0] == "b/y"


def test_what_a_filter_or_a_floor_rules_out_is_left_whatever_is_held() -> None:
    left = strategy(HELD, POOL).choose(context(**talking()), POOL[1:], Fixed())
    assert deployments(left.plan)[0] == "b/y"
    assert where({**HELD, "q_floor": 0.7}, POOL, **talking()) == "b/y"


def test_behind_the_held_one_the_others_keep_their_order() -> None:
    assert deployments(choose(HELD, POOL, context(**talking())).plan) == ("a/x", "b/y", "c/z")
