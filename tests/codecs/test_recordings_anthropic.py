"""Every recorded call in the Anthropic format, decoded and written back.

The recordings are not part of this repository: see `shared` in tests/conftest.py.
"""

import json
import sys
from collections import Counter

import pytest

from turnout.codecs.anthropic import Anthropic, AnthropicDialect, verify
from turnout.codecs.base import Summary
from turnout.codecs.verify import Exchange
from turnout.errors import TAXONOMY
from turnout.types.http import HttpResponse

CODEC = Anthropic()
LEAST = {"anthropic": 438, "bedrock": 12}
"""Fewer records than this mean that the recordings were not found or not recognised."""
VOLATILE = {"model"}
"""What an answer written back may say otherwise: the gateway's own name of the model."""


@pytest.fixture(scope="module")
def records(shared):
    return {name: list(recorded(shared / "wire" / f"{name}.jsonl")) for name in LEAST}


def recorded(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("request_body_encoding") or record.get("response_body_encoding"):
            continue  # binary bodies belong to other formats and envelopes
        try:
            body = json.loads(record["request_body"] or "null")
        except ValueError:
            continue
        if not isinstance(body, dict) or not verify.speaks(record["method"], record["url"], body):
            continue
        yield Exchange(
            provider=record["provider"],
            method=record["method"],
            url=record["url"],
            request_body=record["request_body"].encode(),
            status=record["status"],
            response_headers=record["response_headers"],
            response_body=record["response_body"].encode(),
        )


def answers(records, *, streamed):
    return [
        record
        for each in records.values()
        for record in each
        if record.status == 200 and record.response_body.startswith(b"event:") == streamed
    ]


@pytest.mark.parametrize("name", LEAST)
def test_every_recorded_call_means_the_same_after_decoding(records, name, capsys):
    checks = [verify.check(record) for record in records[name]]
    compared = sum((Counter(check.compared) for check in checks), Counter())
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {len(checks)} calls, {dict(compared)}\n")
    assert [str(mismatch) for check in checks for mismatch in check.mismatches] == []
    assert len(checks) >= LEAST[name]


def test_every_recorded_stream_passes_the_tap_untouched_and_is_read_as_when_decoded(records):
    for record in answers(records, streamed=True):
        tap, decoder = CODEC.tap(strip_usage=False), CODEC.decoder()
        data = record.response_body
        passed = b"".join(tap.feed(data[at : at + 97]) for at in range(0, len(data), 97)) + tap.end()
        events = decoder.feed(data) + decoder.end()
        usage = next(event.usage for event in reversed(events) if type(event).__name__ == "UsageUpdate")
        assert passed == data
        assert (tap.done, tap.error, tap.usage, tap.finish) == (True, None, usage, events[-1].reason)


def test_every_recorded_answer_is_written_back_as_it_was(records):
    summary = Summary(request_id="req_1", model="m", created=0)
    found = answers(records, streamed=False)
    for record in found:
        http = HttpResponse(200, record.response_headers, record.response_body)
        response = CODEC.decode(http)
        glance = CODEC.glance(http)
        raw = json.loads(record.response_body)
        written = json.loads(AnthropicDialect().render(response, None, summary))
        assert glance.usage == response.usage
        assert (glance.finish, glance.body) == (response.choices[0].finish, record.response_body)
        assert normal(written) == normal(raw)
    assert len(found) >= 300


def normal(message):
    kept = {key: value for key, value in message.items() if key not in VOLATILE and value is not None}
    # Ids of other hosts are replaced, and the total of cache writes is split again by their life.
    kept["id"] = kept["id"].startswith("msg_")
    usage = {key: value for key, value in kept.pop("usage").items() if value}
    split = usage.pop("cache_creation", {})
    served = {key: value for key, value in usage.pop("server_tool_use", {}).items() if value}
    details = usage.pop("output_tokens_details", {}).get("thinking_tokens", 0)
    return kept, usage, split.get("ephemeral_1h_input_tokens", 0), served, details


def test_every_recorded_failure_has_a_class(records, capsys):
    failures = [record for each in records.values() for record in each if record.status != 200]
    words = Counter(
        CODEC.error(HttpResponse(record.status, record.response_headers, record.response_body)).row.word
        for record in failures
    )
    with capsys.disabled():
        sys.stdout.write(f"\nfailures: {dict(words)}\n")
    assert words.keys() <= TAXONOMY.keys() - {"provider_bad_response", "internal"}
    assert words.total() >= 7
