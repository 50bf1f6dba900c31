"""Conversations stay with who answered them."""

from tests.engine.kit import Turn, rig
from turnout.engine.sessions import MAX_IDLE_S, MAX_SESSIONS, Sessions
from turnout.types.ask import Ask
from turnout.types.moment import Session
from turnout.types.principal import Principal

BEST = ", strategy: {type: best, quality: {a/m: 0.80, b/m: 0.79}, modify: [{type: sticky, psi: 0.05}]}"


def ask(session="s", key=None):
    return Ask(request_id="req_0", session=session, principal=Principal(key_id=key))


def test_a_conversation_is_remembered_with_its_prefix_idle_time_and_turns():
    now = 100.0
    sessions = Sessions(lambda: now)
    sessions.note(ask(), "a/m", 500)
    sessions.note(ask(), "b/m", 700)
    now = 130.0
    assert sessions.of(ask()) == Session(deployment="b/m", prefix_tokens=700, idle_s=30.0, n_turns=2)
    now = 130.0 + MAX_IDLE_S
    assert sessions.of(ask()) is None


def test_two_keys_never_share_a_conversation():
    sessions = Sessions(lambda: 0.0)
    sessions.note(ask(key="one"), "a/m", 1)
    assert sessions.of(ask(key="two")) is None
    assert sessions.of(ask(session=None, key="one")) is None


def test_the_longest_idle_conversation_is_forgotten_first():
    sessions = Sessions(lambda: 0.0)
    for n in range(MAX_SESSIONS + 1):
        sessions.note(ask(f"s{n}"), "a/m", 1)
    assert sessions.of(ask("s0")) is None
    assert sessions.of(ask("s1")) is not None


async def test_a_conversation_stays_where_a_fallback_took_it():
    r = await rig(
        {"a": [Turn(status=500), *[Turn(words=("a",))] * 3], "b": [Turn(words=("b",))] * 3},
        BEST + ", max_retries: 0",
    )
    assert await r.text(session="s") == "b"
    assert await r.text(session="s") == "b"
    assert await r.text() == "a"
    assert await r.text(session="other") == "a"
