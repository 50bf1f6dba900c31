"""The comparison of the Gemini codec with recorded traffic finds what it must find."""

import json

import pytest

from tests.codecs.gemini_samples import BASE, frame, sse
from turnout.codecs.gemini import verify
from turnout.codecs.verify import Exchange

ASK = {
    "contents": [{"parts": {"text": "hi"}}],
    "generation_config": {"thinking_config": {"thinking_level": "low"}},
}


def exchange(answer, *, method="generateContent", ask=ASK, status=200):
    return Exchange(
        provider="gemini",
        method="POST",
        url=f"{BASE}/models/m:{method}",
        request_body=json.dumps(ask).encode(),
        status=status,
        response_body=answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
    )


@pytest.mark.parametrize(
    ("method", "url", "body", "spoken"),
    [
        ("POST", f"{BASE}/models/m:generateContent", {"contents": []}, True),
        ("POST", f"{BASE}/models/m:streamGenerateContent?alt=sse", {"contents": []}, True),
        ("POST", f"{BASE}/models/m:batchEmbedContents", {"requests": []}, True),
        ("POST", f"{BASE}/models/m:countTokens", {"contents": []}, False),
        ("POST", f"{BASE}/models/m:generateContent", {"messages": []}, False),
        ("GET", f"{BASE}/models/m:generateContent", {"contents": []}, False),
    ],
)
def test_it_knows_its_own_calls(method, url, body, spoken):
    assert verify.speaks(method, url, body) is spoken


def test_equal_exchanges_have_no_mismatch():
    call = {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s"}
    counted = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1}
    whole = frame({"text": "hm", "thought": True}, {"text": "a"}, call, finish="STOP", usage=counted)
    assert verify.compare(exchange(whole)) == []
    assert verify.compare(exchange(sse(whole), method="streamGenerateContent")) == []
    checked = verify.check(exchange(sse(whole), method="streamGenerateContent"))
    assert checked.compared == {
        "request": 3,
        "decode": 1,
        "finish": 2,
        "usage": 2,
        "error": 1,
        "text": 1,
        "reasoning": 1,
        "tool_calls": 1,
    }


def test_a_broken_output_is_expected_to_fail():
    assert verify.compare(exchange(frame(finish="MALFORMED_FUNCTION_CALL"))) == []


def test_an_answer_that_cannot_be_read_is_a_mismatch():
    (line,) = verify.compare(exchange({"candidates": [{"content": {"parts": [{"text": 1}]}}]}))
    assert line == 'error class: expected "none", got "provider_bad_response"'


def test_garbage_is_a_mismatch_and_no_exception():
    (line,) = verify.compare(exchange(b"garbage"))
    assert line.startswith("decode exception: expected none, got DecodeError")


def test_a_request_only_the_codec_refuses_is_a_mismatch():
    odd = {"contents": [{"role": "boss"}]}
    assert verify.compare(exchange(frame({"text": "a"}, finish="STOP"), ask=odd)) == [
        "request parse: expected a request, got contents[0].role is 'boss'; expected 'user' or 'model'"
    ]
    refused = {"error": {"code": 400, "message": "valid role, please", "status": "INVALID_ARGUMENT"}}
    assert verify.compare(exchange(refused, ask=odd, status=400)) == []


def test_embeddings_are_compared():
    answer = {"embeddings": [{"values": [0.5, 1]}], "usageMetadata": {"promptTokenCount": 3}}
    ask = {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}]}
    checked = verify.check(exchange(answer, method="batchEmbedContents", ask=ask))
    assert (checked.mismatches, checked.compared) == ((), {"vectors": 1, "usage": 1, "request": 1})
