"""Reducers: what several answers become."""

import msgspec
import pytest

from turnout.plan import Reduction
from turnout.strategies.reduce import BestOf, Majority, Synthesise
from turnout.strategies.reduce.choose import majority_quality, normal
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Message, Text

ASKED = ChatRequest(model="m", messages=(Message("user", (Text("What is 2+2?"),)),), max_tokens=64)


def said(text):
    return ChatResponse(id=text, model="m", choices=(Choice(parts=(Text(text),)),))


def test_the_majority_wins_and_ties_go_to_the_first():
    answers = [said("five"), said("Four."), said("four")]
    assert Majority().reduce(ASKED, answers, None) == Reduction(
        answers[1], winner=1, agreement=pytest.approx(2 / 3)
    )
    assert Majority().reduce(ASKED, answers[:2], None).winner == 0


def test_votes_can_be_weighted():
    answers = [said("a"), said("b"), said("b")]
    assert Majority(weights=(3.0, 1.0, 1.0)).reduce(ASKED, answers, None).winner == 0
    assert Majority(weights=(3.0, 1.0, 1.0)).decided(ASKED, answers[:1], 1) is False


@pytest.mark.parametrize(
    ("texts", "n_left", "decided"),
    [
        (["x", "x"], 1, True),
        (["x", "y"], 1, False),
        (["x"], 1, False),
        (["x", "x", "y"], 1, False),
        (["x", "x", "x", "y"], 1, True),
    ],
)
def test_a_vote_is_decided_when_the_leader_cannot_be_caught(texts, n_left, decided):
    assert Majority().decided(ASKED, [said(text) for text in texts], n_left) is decided


@pytest.mark.parametrize(
    ("text", "how", "key"),
    [
        ("The answer is 1,234.50 apples", "number", "1234.5"),
        ("no number", "number", ""),
        ("I think the answer is (b).", "choice", "B"),
        ("C", "choice", "C"),
        ('{"b":1,"a":2}', "json", '{"a":2,"b":1}'),
        ("Hello,  World!", "exact", "hello world"),
    ],
)
def test_answers_are_compared_in_a_normal_form(text, how, key):
    assert normal(text, how) == key


def test_similar_answers_form_a_cluster():
    answers = [said("no idea"), said("the capital is Paris"), said("Paris is the capital")]
    assert Majority("cluster").reduce(ASKED, answers, None).winner == 1


def test_a_judge_picks_the_best_and_an_unreadable_one_picks_nothing():
    answers = [said("a"), said("b")]
    question = BestOf("j/m").ask(ASKED, answers)
    assert msgspec.json.decode(question.request.messages[1].parts[0].text)["answers"] == ["a", "b"]
    assert BestOf("j/m").reduce(ASKED, answers, said('{"best": 1}')) == Reduction(answers[1], winner=1)
    assert BestOf("j/m").reduce(ASKED, answers, said('{"best": 7}')) == Reduction(
        answers[0], winner=0, reason="judge_unreadable"
    )
    assert BestOf("j/m").ask(ASKED, answers[:1]) is None


def test_an_aggregator_writes_one_answer_of_all():
    answers = [said("a"), said("b")]
    assert Synthesise("w/m").ask(ASKED, answers).request.max_tokens == 64
    assert Synthesise("w/m").reduce(ASKED, answers, said("both")) == Reduction(said("both"))
    assert Synthesise("w/m").reduce(ASKED, answers, None) == Reduction(
        answers[0], winner=0, reason="aggregator_failed"
    )


@pytest.mark.parametrize(("correlation", "quality"), [(0.0, 0.784), (0.5, 0.714), (0.999, 0.7)])
def test_correlated_votes_gain_less(correlation, quality):
    assert majority_quality(0.7, 3, correlation) == pytest.approx(quality, abs=1e-3)
