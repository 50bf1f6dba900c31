"""Failures of a Gemini upstream, and our failures for a Gemini client."""

import json

import pytest

from tests.codecs.gemini_samples import answer
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.errors import (
    BudgetExceeded,
    ContextLengthExceeded,
    InvalidMedia,
    InvalidRequest,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    TimeoutTtft,
    Upstream,
)

INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def said(code, status, message="m", *details):
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota(name):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said(400, "INVALID_ARGUMENT", "no", {"reason": "API_KEY_INVALID"}), ProviderAuth),
        (400, said(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), ProviderAuth),
        (401, said(401, "UNAUTHENTICATED"), ProviderAuth),
        (403, said(403, "PERMISSION_DENIED", "Permission denied on project"), ProviderAuth),
        (403, said(403, "PERMISSION_DENIED", "no access to the File x"), ProviderRejected),
        (403, said(403, "PERMISSION_DENIED", "CachedContent not found"), ProviderRejected),
        (400, said(400, "FAILED_PRECONDITION", "User location is not supported"), ProviderAuth),
        (
            400,
            said(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens"),
            ContextLengthExceeded,
        ),
        (400, said(400, "INVALID_ARGUMENT", "Unable to process input image."), InvalidMedia),
        (400, said(400, "INVALID_ARGUMENT", "Please use a valid role"), ProviderRejected),
        (404, said(404, "NOT_FOUND", "models/x is not found"), ProviderModelUnavailable),
        (404, said(404, "NOT_FOUND", "File x not found"), ProviderRejected),
        (429, said(429, "RESOURCE_EXHAUSTED"), ProviderRateLimited),
        (429, said(429, "RESOURCE_EXHAUSTED", "m", quota("RequestsPerModelPerMinute")), ProviderRateLimited),
        (429, said(429, "RESOURCE_EXHAUSTED", "m", quota("RequestsPerDayFreeTier")), ProviderQuotaExhausted),
        (
            429,
            said(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
            ProviderQuotaExhausted,
        ),
        (402, said(402, "RESOURCE_EXHAUSTED"), ProviderQuotaExhausted),
        (403, said(403, "PERMISSION_DENIED", "m", {"reason": "BILLING_DISABLED"}), ProviderQuotaExhausted),
        (500, said(500, "INTERNAL"), ProviderFailed),
        (502, b"<html>bad gateway</html>", ProviderFailed),
        (503, said(503, "UNAVAILABLE", "The model is overloaded."), ProviderOverloaded),
        (504, said(504, "DEADLINE_EXCEEDED"), TimeoutTtft),
        (408, b"", TimeoutTtft),
        (418, b"teapot", ProviderRejected),
        (302, b"", ProviderBadResponse),
        (400, [said(400, "INVALID_ARGUMENT", "API key not valid.")], ProviderAuth),
        (404, b'data: {"error": {"code": 404, "message": "models/x"}}\r\n\r\n', ProviderModelUnavailable),
        (400, {"error": "text"}, ProviderRejected),
        (400, {"error": {"message": "m", "details": [3, {"reason": "API_KEY_INVALID"}]}}, ProviderAuth),
    ],
)
def test_every_failure_has_one_class(status, body, kind):
    failure = Gemini().error(answer(body, status))
    assert type(failure) is kind
    assert (failure.upstream.status, failure.upstream.wire) == (status, "gemini")


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        (said(429, "RESOURCE_EXHAUSTED", "m", {"retryDelay": "48s"}), {}, 48.0),
        (said(429, "RESOURCE_EXHAUSTED", "m", {"retryDelay": "0.25s"}), {"retry-after": "9"}, 0.25),
        (said(429, "RESOURCE_EXHAUSTED", "Please retry in 48.9s."), {}, 48.9),
        (said(429, "RESOURCE_EXHAUSTED"), {"retry-after": "7"}, 7.0),
        (said(429, "RESOURCE_EXHAUSTED"), {}, None),
    ],
)
def test_the_wait_is_the_one_the_provider_named(body, headers, wait):
    assert Gemini().error(answer(body, 429, headers)).retry_after_s == wait


def test_upstream_words_are_quoted_only_where_the_caller_is_at_fault_and_without_keys():
    secret = "AIza" + "S" * 30
    rejected = Gemini().error(answer(said(400, "INVALID_ARGUMENT", f"bad {secret} " + "x" * 600), 400))
    assert rejected.message.startswith("the provider refused the request: bad *** xxx")
    assert len(rejected.message) < 540
    failed = Gemini().error(answer(said(500, "INTERNAL", "inner workings"), 500))
    assert failed.message == "the provider failed with status 500"


def test_evidence_is_cut():
    failure = Gemini().error(answer(b"x" * 100_000, 500))
    assert len(failure.upstream.body) == 64 * 1024


def test_a_failure_of_ours_is_written_in_geminis_words():
    status, body = GeminiDialect().error(BudgetExceeded("the budget is spent", retry_after_s=1.5), "req_1")
    assert status == 402
    assert json.loads(body) == {
        "error": {
            "code": 402,
            "message": "the budget is spent",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": INFO,
                    "reason": "BUDGET_EXCEEDED",
                    "domain": "turnout",
                    "metadata": {"request_id": "req_1", "class": "budget_exceeded", "domain": "policy"},
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"},
            ],
        }
    }


def test_the_offending_field_is_named():
    _, body = GeminiDialect().error(InvalidRequest("contents is missing", param="contents"), "req_1")
    assert json.loads(body)["error"]["details"][1] == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "contents", "description": "contents is missing"}],
    }


def test_a_refusal_of_a_gemini_upstream_goes_through_word_for_word_without_keys():
    secret = "AIza" + "S" * 30
    told = said(400, "INVALID_ARGUMENT", f"no such role, {secret}", {"a": 1})
    failure = Gemini().error(answer(told, 400))
    status, body = GeminiDialect().error(failure, "req_1")
    assert (status, json.loads(body)) == (400, said(400, "INVALID_ARGUMENT", "no such role, ***", {"a": 1}))


def test_the_operators_trouble_with_the_provider_is_not_shown():
    failure = Gemini().error(answer(said(400, "INVALID_ARGUMENT", "API key not valid."), 400))
    status, body = GeminiDialect().error(failure, "req_1")
    error = json.loads(body)["error"]
    assert (status, error["status"], error["message"]) == (
        502,
        "INTERNAL",
        "the provider refused the credential",
    )


def test_another_dialects_refusal_is_not_relayed_as_geminis():
    upstream = Upstream(status=400, body=b'{"error": {"message": "theirs"}}', wire="openai_chat")
    _, body = GeminiDialect().error(ProviderRejected("ours", upstream=upstream), "req_1")
    assert json.loads(body)["error"]["message"] == "ours"
