"""Conversations made short: recorded ones pass as they came, and notes of ours travel sealed."""

import json

import pytest

from tests.codecs.recorded import exchanges
from turnout.codecs.openai_chat.tasks import decode_task, encode_task
from turnout.codecs.openai_responses import OpenAIResponsesDialect, compaction
from turnout.codecs.openai_responses.seal import seal, seal_summary, summary_in
from turnout.errors import InvalidRequest
from turnout.types.chat import Reasoning, Text
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

DIALECT = OpenAIResponsesDialect()
VENDOR = Vendor(name="openai", base_url="https://api.openai.com/v1", codec="openai_responses")


def read(raw):
    raw = compaction.whole(raw)
    return compaction.as_task(DIALECT.parse(raw), raw)


def sent(task, model):
    to = Deployment(id="o/m", vendor=VENDOR, model=Model(id="o/m"), upstream_model=model)
    return encode_task(task.request, to).http, to


def test_recorded_requests_and_answers_pass_as_they_came(shared):
    n_seen = 0
    for record in exchanges(shared, "openai", lambda _m, url, _b: url.endswith("/responses/compact")):
        n_seen += 1
        asked = json.loads(record.request_body)
        task = read(record.request_body)
        http, to = sent(task, asked["model"])
        assert (http.url, json.loads(http.body)) == (record.url, asked)
        answer = decode_task(
            HttpResponse(200, record.response_headers, record.response_body), task.request, to
        )
        told = json.loads(record.response_body)
        assert json.loads(answer.body) == told
        usage = told["usage"]
        assert (answer.usage.n_input, answer.usage.n_output) == (
            usage["input_tokens"],
            usage["output_tokens"],
        )
        assert answer.usage != Usage()
    assert n_seen == 6


def test_what_was_sealed_here_is_opened_before_it_goes_out():
    thought = seal(Reasoning(text="hm", signature="s", wire="anthropic"))
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "summary": [], "encrypted_content": thought},
        {"type": "compaction", "encrypted_content": seal_summary("Ann is here.")},
        {"type": "compaction", "encrypted_content": "gAAAA"},
    ]
    task = read(json.dumps({"model": "m", "input": items, "turnout": {"tags": ["a"]}}).encode())
    assert task.tags == ("a",)
    assert json.loads(sent(task, "m")[0].body) == {
        "model": "m",
        "input": [
            items[0],
            {"role": "user", "content": "What was said before, in short:\n\nAnn is here."},
            items[3],
        ],
    }


def test_notes_of_ours_are_words_of_the_user_and_those_of_others_bind():
    def parse(text):
        item = {"type": "compaction", "id": "cmp_1", "encrypted_content": text}
        return DIALECT.parse(
            json.dumps({"model": "m", "input": [item, {"role": "user", "content": "Go"}]}).encode()
        )

    ours, theirs = parse(seal_summary("Ann.")), parse("gAAAA")
    words = [(turn.role, turn.parts) for turn in ours.request.messages]
    assert words == [("user", (Text("What was said before, in short:\n\nAnn."),)), ("user", (Text("Go"),))]
    assert (ours.wire.format, ours.request.facts.native_wire) == ("", "")
    assert (theirs.wire.format, theirs.request.facts.native_wire) == ("openai_responses", "openai_responses")
    with pytest.raises(InvalidRequest, match="not as it was sent"):
        parse("tn1:nonsense")


def test_an_answer_of_ours_has_the_published_shape():
    items = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    made = json.loads(compaction.write("1", 7, items, "Ann.", {"total_tokens": 3}))
    assert summary_in(made["output"].pop()) == "Ann."
    assert made == {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 7,
        "output": [
            {
                "id": "msg_1_0",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}],
            }
        ],
        "usage": {"total_tokens": 3},
    }


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": "incomplete", "output": [{"content": [{"type": "output_text", "text": "x"}]}]},
        {"status": "completed", "output": []},
        {"status": "completed", "output": [{"content": [{"type": "refusal", "refusal": "no"}]}]},
    ],
)
def test_notes_that_are_not_whole_are_none(answer):
    assert compaction.notes_in(answer) == ""
