"""What a vote is expected to be worth: members of unequal strength whose errors go together."""

from itertools import product
from math import comb
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.strategies.reduce.choose import Majority
from turnout.strategies.reduce.panel import (
    MAX_CORRELATION,
    UNKNOWN_CORRELATION,
    majority_quality,
    panel_correlation,
    panel_quality,
)
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Text

STRENGTH = st.floats(0, 1)
PANEL = st.lists(STRENGTH, min_size=1, max_size=16)
RHO = st.floats(0, MAX_CORRELATION)
ASK = ChatRequest(model="m", messages=())


def voted(is_right, alike):
    """What the real reducer makes of these members: whether the answer it takes is right."""
    said = ["right" if right else "wrong" if alike else f"wrong {at}" for at, right in enumerate(is_right)]
    answers = [ChatResponse(id="", model="m", choices=(Choice(parts=(Text(text),)),)) for text in said]
    return is_right[Majority().reduce(ASK, answers, None).winner or 0]


def independent(strengths, alike):
    total = 0.0
    for outcome in product((False, True), repeat=len(strengths)):
        chance = 1.0
        for right, p in zip(outcome, strengths, strict=True):
            chance *= p if right else 1 - p
        total += chance * voted(outcome, alike)
    return total


@given(st.lists(STRENGTH, min_size=1, max_size=5), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_without_correlation_it_is_what_the_reducer_makes_of_every_outcome(strengths, alike) -> None:
    assert panel_quality(strengths, 0, alike=alike) == pytest.approx(independent(strengths, alike), abs=1e-9)


@given(st.floats(0.01, 0.99), st.integers(1, 16), st.floats(0.01, 0.95))
@settings(derandomize=True, deadline=None)
def test_equals_follow_the_beta_binomial(p, k, rho) -> None:
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    total = 0.0
    for wins in range(k + 1):
        chance = float(comb(k, wins))
        for j in range(wins):
            chance *= a + j
        for j in range(k - wins):
            chance *= b + j
        for j in range(k):
            chance /= a + b + j
        total += chance * (1.0 if 2 * wins > k else 0.5 if 2 * wins == k else 0.0)
    assert majority_quality(p, k, rho) == pytest.approx(total, abs=1e-7)


@given(PANEL, RHO, st.floats(0, 1))
@settings(derandomize=True, deadline=None)
def test_it_is_a_share(strengths, rho, alike) -> None:
    assert 0 <= panel_quality(strengths, rho, alike=alike) <= 1


@given(STRENGTH, RHO, st.floats(0, 1))
@settings(derandomize=True, deadline=None)
def test_one_member_alone_or_two_who_always_agree_when_wrong_are_the_first(p, rho, alike) -> None:
    assert panel_quality([p], rho, alike=alike) == pytest.approx(p, abs=1e-9)
    assert panel_quality([p, p], rho) == pytest.approx(p, abs=1e-9)


@given(st.lists(STRENGTH, min_size=3, max_size=7), RHO, st.integers(0, 6), STRENGTH)
@settings(derandomize=True, deadline=None)
def test_a_stronger_member_never_makes_the_vote_worse(strengths, rho, at, p) -> None:
    better = list(strengths)
    better[at % len(better)] = max(p, better[at % len(better)])
    assert panel_quality(better, rho) >= panel_quality(strengths, rho) - 1e-9


@given(PANEL, RHO)
@settings(derandomize=True, deadline=None)
def test_wrong_answers_that_differ_never_make_it_worse(strengths, rho) -> None:
    assert panel_quality(strengths, rho, alike=0) >= panel_quality(strengths, rho, alike=1) - 1e-9


@given(st.lists(STRENGTH, min_size=3, max_size=3))
@settings(derandomize=True, deadline=None)
def test_a_vote_of_three_is_its_middle_member_where_errors_go_together(strengths) -> None:
    found = panel_quality(strengths, 1.0)
    assert found == pytest.approx(sorted(strengths)[1], abs=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("strengths", [(0.9, 0.6, 0.6), (0.5, 0.7, 0.8, 0.6)])
def test_it_agrees_with_drawing_from_the_model(strengths, rho) -> None:
    rng, n, right = Random(11), 20_000, 0
    for _ in range(n):
        drawn: list[float] = []
        for at in range(len(strengths)):
            fresh = rho == 0 or rng.random() * ((1 - rho) / rho + at) < (1 - rho) / rho
            drawn.append(rng.random() if fresh else rng.choice(drawn))
        right += voted([u <= p for u, p in zip(drawn, strengths, strict=True)], alike=True)
    assert panel_quality(strengths, rho) == pytest.approx(right / n, abs=0.012)


def test_a_weak_panel_is_known_to_fall_short_of_its_best_member() -> None:
    assert panel_quality((0.9, 0.6, 0.6), 0.0) == pytest.approx(0.792)
    assert panel_quality((0.8, 0.78, 0.76), 0.0) > 0.8
    assert panel_quality((0.8, 0.78, 0.76), 0.8) < 0.8


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_the_correlation_of_records_is_found_again(rho) -> None:
    rng, strengths, rows = Random(5), (0.9, 0.7, 0.5), []
    for _ in range(20_000):
        drawn: list[float] = []
        for at in range(3):
            fresh = rho == 0 or rng.random() * ((1 - rho) / rho + at) < (1 - rho) / rho
            drawn.append(rng.random() if fresh else rng.choice(drawn))
        rows.append([float(u <= p) for u, p in zip(drawn, strengths, strict=True)])
    assert panel_correlation(rows) == pytest.approx(rho, abs=0.03)


def test_a_correlation_nobody_can_know_is_never_taken_as_none() -> None:
    assert panel_correlation([]) == UNKNOWN_CORRELATION
    assert panel_correlation([(1.0, 0.0), (1.0, 0.0)]) == UNKNOWN_CORRELATION
    assert panel_correlation([(1.0, 1.0), (0.0, 0.0)]) == MAX_CORRELATION
