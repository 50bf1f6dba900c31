"""The Gemini codec against recorded traffic of both hosts; only numbers are printed."""

import json
import sys
from collections import Counter

import pytest

from tests.codecs.gemini_samples import SUMMARY, ask
from turnout.codecs.gemini import Gemini, GeminiDialect, verify
from turnout.codecs.verify import Exchange
from turnout.errors import InvalidModelOutput, TurnoutError
from turnout.types.http import HttpResponse

FILES = ("gemini.jsonl", "vertexai.jsonl")


def records(shared):
    for name in FILES:
        with (shared / "wire" / name).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def exchange(record):
    return Exchange(
        provider=record["provider"],
        method=record["method"],
        url=record["url"],
        request_body=record["request_body"].encode(),
        status=record["status"],
        response_headers=record["response_headers"],
        response_body=record["response_body"].encode(),
    )


@pytest.fixture(scope="module")
def exchanges(shared):
    found = []
    for record in records(shared):
        try:
            body = json.loads(record["request_body"])
        except ValueError:
            continue
        if isinstance(body, dict) and verify.speaks(record["method"], record["url"], body):
            found.append((record["id"], exchange(record)))
    return found


def generated(exchanges):
    return [(name, each) for name, each in exchanges if "enerateContent" in each.url]


def answered(exchanges):
    return [(name, each) for name, each in generated(exchanges) if each.status == 200]


def tell(capsys, text):
    with capsys.disabled():
        sys.stdout.write(f"\ngemini: {text}")


def http(each):
    return HttpResponse(each.status, each.response_headers, each.response_body)


def test_every_recorded_exchange_is_equal_in_meaning(exchanges, capsys):
    mismatches, compared = {}, Counter()
    for name, each in exchanges:
        checked = verify.check(each)
        compared.update(checked.compared)
        if checked.mismatches:
            mismatches[name] = list(map(str, checked.mismatches))
    counts = ", ".join(f"{n} {aspect}" for aspect, n in sorted(compared.items()))
    tell(capsys, f"{len(exchanges)} exchanges, compared {counts}")
    assert mismatches == {}
    assert len(exchanges) >= 400


def test_every_recorded_answer_decodes_but_the_ones_the_provider_called_broken(exchanges, capsys):
    n_streams, broken = 0, []
    for name, each in answered(exchanges):
        try:
            if "streamGenerateContent" in each.url:
                decoder = Gemini().decoder()
                decoder.feed(each.response_body)
                decoder.end()
                n_streams += 1
            else:
                Gemini().decode(http(each))
        except InvalidModelOutput as failure:
            broken.append((name, failure.code.encode() in each.response_body))
    tell(capsys, f"{len(answered(exchanges))} answers, {n_streams} streams, {len(broken)} broken outputs")
    assert [said for _, said in broken] == [True]


def test_recorded_streams_do_not_depend_on_where_they_are_split(exchanges):
    for name, each in answered(exchanges):
        if "streamGenerateContent" not in each.url:
            continue
        whole, pieces = Gemini().decoder(), Gemini().decoder()
        expected = whole.feed(each.response_body) + whole.end()
        body, got = each.response_body, []
        step = max(1, len(body) // 97)
        for at in range(0, len(body), step):
            got += pieces.feed(body[at : at + step])
        assert (name, got + pieces.end()) == (name, expected)


def test_every_recorded_failure_has_a_class(exchanges, capsys):
    words = Counter()
    for _, each in exchanges:
        if each.status != 200:
            failure = Gemini().error(http(each))
            assert isinstance(failure, TurnoutError)
            words[failure.row.word] += 1
    tell(capsys, f"failures {dict(words)}")
    assert words.keys() <= {
        "provider_auth",
        "provider_rate_limited",
        "provider_model_unavailable",
        "context_length_exceeded",
        "provider_rejected",
    }


def test_recorded_answers_come_out_of_our_dialect_as_they_went_in(exchanges, capsys):
    """Volatile: the model's name is ours, counters are only the ones of the usage model."""
    n = 0
    for name, each in answered(exchanges):
        if "streamGenerateContent" in each.url or b"UNEXPECTED_TOOL_CALL" in each.response_body:
            continue
        raw = json.loads(each.response_body)
        response = Gemini().decode(http(each))
        got = json.loads(GeminiDialect().render(response, ask(), SUMMARY))
        for tree in (raw, got):
            for volatile in ("usageMetadata", "modelVersion"):
                tree.pop(volatile, None)
            for at, candidate in enumerate(tree["candidates"]):
                candidate.setdefault("index", at)
                candidate.setdefault("content", {"parts": [], "role": "model"})
        raw.setdefault("responseId", SUMMARY.request_id)
        for candidate in raw["candidates"]:
            if candidate["finishReason"] == 1:
                candidate["finishReason"] = "STOP"
            for part in candidate["content"].get("parts", []):
                if "functionCall" in part:
                    part["functionCall"].setdefault("args", {})
            candidate["content"].setdefault("parts", [])
        assert (name, got) == (name, raw)
        n += 1
    tell(capsys, f"{n} answers rendered equal")
