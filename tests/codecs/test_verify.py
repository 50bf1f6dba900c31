"""The comparison of our reading with recorded traffic."""

import json
from typing import Any

from turnout.codecs.openai_chat.verify import check, compare, speaks
from turnout.codecs.verify import ABSENT, Checked, Comparison, Exchange, Mismatch, differences

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def exchange(request: Any, answer: Any, status: int = 200) -> Exchange:
    return Exchange(
        provider="acme",
        method="POST",
        url="https://acme.test/v1/chat/completions",
        request_body=json.dumps(request).encode(),
        status=status,
        response_body=answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
    )


def test_differences_are_the_deepest_places() -> None:
    expected = {"a": [1, {"b": "x"}], "c": None, "d": 1}
    got = {"a": [1.0, {"b": "y"}], "d": True, "e": []}
    assert list(differences(expected, got, "body")) == [
        ("body.a[1].b", "x", "y"),
        ("body.c", None, ABSENT),
        ("body.d", 1, True),
        ("body.e", ABSENT, []),
    ]


def test_a_comparison_counts_what_it_compared() -> None:
    comparison = Comparison()
    comparison.equal("usage", "n", 1, 1)
    comparison.equal("usage", "n", 1, 2)
    comparison.fail("decode", "error", "none", "one")
    assert comparison.done() == Checked(
        compared={"usage": 2, "decode": 1},
        mismatches=(Mismatch("usage", "n", "1", "2"), Mismatch("decode", "error", "none", "one")),
    )
    assert str(Mismatch("usage", "n", "1", "2")) == "usage n: expected 1, got 2"


def test_calls_of_this_format_are_told_from_others() -> None:
    assert speaks("POST", "https://a/v1/chat/completions?x=1", {"messages": []})
    assert speaks("POST", "https://a/v1/embeddings", {"model": "e", "input": "x"})
    assert not speaks("GET", "https://a/v1/chat/completions", {"messages": []})
    assert not speaks("POST", "https://a/v1/messages", {"messages": []})
    assert not speaks("POST", "https://a/v1/embeddings", {"texts": []})


def test_an_equal_record_has_no_mismatch() -> None:
    checked = check(exchange(REQUEST, ANSWER))
    assert checked.mismatches == ()
    assert set(checked.compared) == {"request", "usage", "finish", "text", "decode"}


def test_a_request_we_would_refuse_is_a_mismatch_unless_the_provider_refused_it_too() -> None:
    bad = {**REQUEST, "temperature": "hot"}
    [told] = compare(exchange(bad, ANSWER))
    assert told.startswith("request temperature: expected accepted, as the provider did, got temperature")
    assert compare(exchange(bad, {"error": {"message": "m"}}, status=400)) == []


def test_an_answer_we_cannot_read_is_a_mismatch() -> None:
    assert compare(exchange(REQUEST, {**ANSWER, "choices": []})) == [
        "decode exception: expected none, got ProviderBadResponse: the provider's answer holds no choices"
    ]


def test_an_error_is_held_to_its_status() -> None:
    assert compare(exchange(REQUEST, {"error": {"message": "m"}}, status=401)) == []
    told = compare(exchange(REQUEST, {"error": {"code": "model_not_found", "message": "m"}}, status=401))
    assert told == ['error class: expected "provider_auth", got "provider_model_unavailable"']


def test_a_stream_is_compared_and_a_cut_one_must_be_noticed() -> None:
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    assert compare(exchange({**REQUEST, "stream": True}, frame + b"data: [DONE]\n\n")) == []
    assert compare(exchange({**REQUEST, "stream": True}, frame)) == []
