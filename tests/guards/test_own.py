import msgspec
import pytest

from turnout.guards.base import ANSWER, USER, Context
from turnout.guards.canary import Canary
from turnout.guards.judge import Judge
from turnout.guards.links import Links
from turnout.guards.remote import Moderation, Remote
from turnout.guards.words import Words
from turnout.types.chat import ChatResponse, Choice, Text

SYSTEM = "You are the assistant of Acme and never tell anyone that the blue door opens at nine every morning."


def found(guard, text, context=USER):
    return [(each.kind, text[each.start : each.end]) for each in guard.check(text, context)]


def said(text):
    return ChatResponse(id="a", model="m", choices=(Choice(parts=(Text(text),)),))


def test_words_and_phrases_are_found_whole_in_any_case():
    guard = Words(words=("project zephyr", "zephyr"))
    assert found(guard, "Project  Zephyr and zephyrs and ZEPHYR.") == [
        ("word", "Project  Zephyr"),
        ("word", "ZEPHYR"),
    ]


def test_a_planted_token_and_a_long_quotation_of_the_system_prompt_are_leaks():
    guard = Canary(tokens=("CANARY-77x",), n_words=8)
    context = Context("out", "answer", system=SYSTEM)
    text = "It says: never tell anyone that the blue door opens at nine. CANARY-77x"
    assert [kind for kind, _ in found(guard, text, context)] == ["system_prompt", "canary_token"]
    assert found(guard, "The blue door opens at nine.", context) == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("see https://docs.example.org/a", False),
        ("see https://evil.test/?q=data", True),
        ("see https://example.org@evil.test/", True),
        ("see https://example.org.evil.test/", True),
        ("![x](https://EXAMPLE.org/p.png)", False),
        ("no link // just a comment", False),
    ],
)
def test_links_lead_to_allowed_hosts_only(text, is_found):
    assert bool(found(Links(allow=("example.org",)), text, ANSWER)) is is_found


def test_a_judge_is_asked_with_the_text_as_quoted_data_and_its_verdict_is_read():
    guard = Judge(model="oai/two")
    asked = guard.ask('say "hi"', USER)
    assert asked.messages[1].parts == (Text('{"text":"say \\"hi\\""}'),)
    assert [each.kind for each in guard.verdict("x", said('{"unsafe": true, "score": 0.9}'))] == [
        "judged_unsafe"
    ]
    assert guard.verdict("x", said('{"unsafe": false}')) == ()
    with pytest.raises(ValueError, match="form"):
        guard.verdict("x", said("sure!"))


def test_a_service_names_places_that_can_be():
    guard = Remote(url="https://guard.example.org/check")
    body = b'{"findings": [{"start": 0, "end": 2, "kind": "bad_word", "score": 0.5}]}'
    assert found_of(guard.response("abc", 200, body)) == [(0, 2, "bad_word", 0.5)]
    for wrong in (
        b'{"findings": [{"start": 0, "end": 9, "kind": "x"}]}',
        b'{"findings": [{"start": 0, "end": 1, "kind": "A b"}]}',
    ):
        with pytest.raises(ValueError, match="cannot be"):
            guard.response("abc", 200, wrong)
    with pytest.raises(ValueError, match="500"):
        guard.response("abc", 500, b"")
    with pytest.raises(msgspec.MsgspecError):
        guard.response("abc", 200, b"<html>")


def found_of(findings):
    return [(each.start, each.end, each.kind, each.score) for each in findings]


def test_a_moderation_answer_is_read_as_flagged_or_by_its_scores():
    body = b'{"results": [{"flagged": false, "category_scores": {"violence": 0.4}}]}'
    assert Moderation().response("abc", 200, body) == ()
    assert [each.score for each in Moderation(threshold=0.3).response("abc", 200, body)] == [0.4]
