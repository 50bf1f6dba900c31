"""Answers of any origin, written for a Gemini client."""

import json

import msgspec
import pytest

from tests.codecs.gemini_samples import SUMMARY, answer, ask, frame, shown, sse
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.codecs.gemini.seal import unsealed
from turnout.codecs.gemini.wire import mint_id
from turnout.errors import StreamInterrupted
from turnout.types.chat import (
    ChatResponse,
    Choice,
    Media,
    Native,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from turnout.types.event import (
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.usage import Usage

TELL = ask(thinking=Thinking(include=True))
OPEN = SUMMARY
SHOW = msgspec.structs.replace(SUMMARY, show=True, cost_usd="0.01", cost_state="exact", provider="gemini")


def rendered(*parts, request=None, summary=OPEN, **fields):
    choice = Choice(parts=parts, **fields)
    response = ChatResponse(
        id="x1", model="m", choices=(choice,), usage=Usage(input_uncached=3, output_text=2)
    )
    return json.loads(GeminiDialect().render(response, request or ask(), summary))


def streamed(*events, request=None, summary=OPEN, usage=None):
    writer = GeminiDialect().stream(request or ask(), OPEN)
    return shown(writer.feed(events) + writer.end(usage, summary))


def said(frames):
    return [part for each in frames for part in each["candidates"][0]["content"]["parts"]]


def test_a_plain_answer():
    assert rendered(Text("Paris")) == {
        "candidates": [
            {"content": {"parts": [{"text": "Paris"}], "role": "model"}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
        "modelVersion": "gemini/gemini-2.5-flash",
        "responseId": "x1",
    }


def test_every_kind_of_part_is_written():
    got = rendered(
        Text("a", {"thoughtSignature": "s", "citations": []}),
        Refusal("no"),
        ToolCall(id="c1", name="f", arguments='{"x": 1}', signature="t"),
        ToolCall(id=mint_id("x"), name="g", arguments=""),
        Media(kind="image", mime="image/png", data="QQ=="),
        Native("gemini", {"executableCode": {}}),
        Native("anthropic", {"x": 1}),
        finish="tool_calls",
    )
    assert got["candidates"][0] == {
        "content": {
            "parts": [
                {"text": "a", "thoughtSignature": "s"},
                {"text": "no"},
                {"functionCall": {"name": "f", "args": {"x": 1}, "id": "c1"}, "thoughtSignature": "t"},
                {"functionCall": {"name": "g", "args": {}}},
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
                {"executableCode": {}},
            ],
            "role": "model",
        },
        "finishReason": "STOP",
        "index": 0,
    }


@pytest.mark.parametrize(
    ("finish", "native", "word"),
    [
        ("stop", "end_turn", "STOP"),
        ("length", "max_tokens", "MAX_TOKENS"),
        ("content_filter", "refusal", "SAFETY"),
        ("content_filter", "RECITATION", "RECITATION"),
        ("error", None, "OTHER"),
    ],
)
def test_finish_reasons_are_geminis(finish, native, word):
    got = rendered(Text("a"), finish=finish, native_finish=native)
    assert got["candidates"][0]["finishReason"] == word


@pytest.mark.parametrize(
    ("finish", "word"), [("tool_calls", "MALFORMED_FUNCTION_CALL"), ("length", "MAX_TOKENS")]
)
def test_a_call_without_readable_arguments_is_left_out_and_said(finish, word):
    call = ToolCall(id="a", name="f", arguments='{"x')
    assert rendered(call, finish=finish)["candidates"][0] == {
        "content": {"parts": [], "role": "model"},
        "finishReason": word,
        "index": 0,
    }
    delta = ToolDelta(index=0, id="a", name="f", arguments='{"x')
    (last,) = streamed(delta, Finish(reason=finish))
    assert last["candidates"][0]["finishReason"] == word


def test_counters_follow_geminis_rules():
    usage = Usage(input_uncached=10, cache_read=5, audio_in=2, output_text=7, reasoning=4, audio_out=1)
    response = ChatResponse(id="", model="m", choices=(), usage=usage)
    got = json.loads(GeminiDialect().render(response, ask(), OPEN))
    assert got["responseId"] == "req_1"
    assert got["usageMetadata"] == {
        "promptTokenCount": 17,
        "cachedContentTokenCount": 5,
        "candidatesTokenCount": 8,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 29,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 15},
            {"modality": "AUDIO", "tokenCount": 2},
        ],
        "candidatesTokensDetails": [
            {"modality": "TEXT", "tokenCount": 7},
            {"modality": "AUDIO", "tokenCount": 1},
        ],
    }


def test_the_turnout_object_is_added_when_asked_for():
    assert "turnout" not in rendered(Text("a"))
    assert rendered(Text("a"), summary=SHOW)["turnout"] == {
        "request_id": "req_1",
        "model": "gemini/gemini-2.5-flash",
        "provider": "gemini",
        "attempts": 1,
        "cost_usd": "0.01",
        "cost_state": "exact",
    }


def test_a_gemini_answer_comes_out_as_it_went_in():
    body = frame(
        {"text": "hm", "thought": True, "thoughtSignature": "s0"},
        {"text": "a", "thoughtSignature": "s"},
        {"functionCall": {"name": "f", "args": {"x": 1}}},
        {"executableCode": {"code": "1"}, "thoughtSignature": "s4"},
        finish="STOP",
        usage={"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
        groundingMetadata={"x": 1},
        finishMessage="done",
    )
    body["createTime"] = "2025-12-19T23:45:33Z"
    response = Gemini().decode(answer(body))
    got = json.loads(GeminiDialect().render(response, ask(), OPEN))
    assert got == {**body, "modelVersion": OPEN.model}


def test_thoughts_of_others_are_sealed_and_shown_only_where_asked_for():
    thought = Reasoning(text="hm", signature="sig", wire="anthropic")
    (hidden,) = rendered(thought)["candidates"][0]["content"]["parts"]
    (told,) = rendered(thought, request=TELL)["candidates"][0]["content"]["parts"]
    assert (hidden["text"], told["text"]) == ("", "hm")
    assert unsealed(hidden["thoughtSignature"]) == thought
    assert rendered(Reasoning(text="hm", wire="openai_chat"))["candidates"][0]["content"]["parts"] == []


def test_log_probabilities_of_others_are_written_as_geminis():
    logprobs = {
        "content": [
            {"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -2.0}]}
        ]
    }
    assert rendered(Text("a"), logprobs=logprobs)["candidates"][0]["logprobsResult"] == {
        "chosenCandidates": [{"token": "a", "logProbability": -1.0}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2.0}]}],
    }


def test_every_frame_of_a_stream_is_a_response_with_the_counters_so_far():
    got = streamed(
        Start(id="x1", model="m", usage=Usage(input_uncached=3)),
        TextDelta("Pa"),
        TextDelta("ris"),
        UsageUpdate(Usage(input_uncached=3, output_text=2)),
        Finish(reason="stop"),
        summary=SHOW,
    )
    shared = {"modelVersion": OPEN.model, "responseId": "x1"}
    first = {"promptTokenCount": 3, "totalTokenCount": 3}
    last = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}

    def candidate(text, **more):
        return [{"content": {"parts": [{"text": text}], "role": "model"}, **more, "index": 0}]

    assert got == [
        {"candidates": candidate("Pa"), "usageMetadata": first, **shared},
        {"candidates": candidate("ris"), "usageMetadata": first, **shared},
        {
            "candidates": candidate("", finishReason="STOP"),
            "usageMetadata": last,
            **shared,
            "turnout": json.loads(
                GeminiDialect().render(ChatResponse(id="", model="", choices=()), ask(), SHOW)
            )["turnout"],
        },
    ]


def test_the_usage_of_the_end_is_the_one_that_counts():
    (last,) = streamed(Finish(reason="stop"), usage=Usage(input_uncached=1, output_text=1))
    assert last["usageMetadata"] == {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}


def test_calls_are_gathered_and_written_whole_and_in_order():
    got = streamed(
        TextDelta("ok"),
        ToolDelta(index=0, id="a", name="f"),
        ToolDelta(index=0, arguments='{"x"'),
        ToolDelta(index=1, id="b", name="g"),
        ToolDelta(index=0, arguments=": 1}"),
        Finish(reason="tool_calls"),
    )
    assert said(got) == [
        {"text": "ok"},
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "a"}},
        {"functionCall": {"name": "g", "args": {}, "id": "b"}},
        {"text": ""},
    ]
    assert len(got) == 4


def test_a_stream_cut_short_of_its_finish_still_writes_its_calls():
    assert said(streamed(ToolDelta(index=0, id="a", name="f")))[0] == {
        "functionCall": {"name": "f", "args": {}, "id": "a"}
    }


def test_other_content_of_a_stream():
    got = streamed(
        ReasoningDelta(text="own", wire="gemini"),
        ReasoningDelta(signature="s", wire="gemini"),
        RefusalDelta("no"),
        NativeDelta(Native("gemini", {"executableCode": {}})),
        NativeDelta(Native("anthropic", {"x": 1})),
        TextDelta("", extra={"thoughtSignature": "s", "citations": [1]}),
        TextDelta("", extra={"citations": [1]}),
    )
    assert said(got) == [
        {"text": "own", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "s"},
        {"text": "no"},
        {"executableCode": {}},
        {"text": "", "thoughtSignature": "s"},
        {"text": ""},
    ]


@pytest.mark.parametrize(("request_", "texts"), [(TELL, ["h", "m", ""]), (ask(), [""])])
def test_a_thought_of_another_provider_is_sealed_whole_when_its_signature_comes(request_, texts):
    got = streamed(
        ReasoningDelta(text="h", wire="anthropic"),
        ReasoningDelta(text="m", wire="anthropic"),
        ReasoningDelta(signature="sig", wire="anthropic"),
        request=request_,
    )
    *_, last, _ = parts = said(got)
    assert [part["text"] for part in parts[:-1]] == texts
    assert unsealed(last["thoughtSignature"]) == Reasoning(text="hm", signature="sig", wire="anthropic")


def test_candidates_of_a_stream_end_one_by_one():
    got = streamed(
        TextDelta("a"), TextDelta("b", 1), Finish(reason="stop"), Finish(reason="length", choice=1)
    )
    assert [(each["candidates"][0]["index"], each["candidates"][0].get("finishReason")) for each in got] == [
        (0, None),
        (1, None),
        (0, "STOP"),
        (1, "MAX_TOKENS"),
    ]


def test_what_google_says_about_a_text_stays_beside_its_candidate():
    delta = TextDelta("a", extra={"groundingMetadata": {"x": 1}})
    assert streamed(delta)[0]["candidates"] == [
        {"content": {"parts": [{"text": "a"}], "role": "model"}, "index": 0, "groundingMetadata": {"x": 1}}
    ]


def test_a_failure_after_commit_is_one_error_frame():
    writer = GeminiDialect().stream(ask(), OPEN)
    (got,) = shown(writer.fail(StreamInterrupted("the stream ended early"), OPEN))
    assert (got["error"]["code"], got["error"]["status"]) == (502, "INTERNAL")


def test_a_silent_stream_is_kept_open_by_blank_lines_as_googles_sdks_choke_on_comments():
    assert GeminiDialect().stream(ask(), OPEN).keep_alive() == b"\n\n"


def test_our_own_decoder_reads_what_our_encoder_writes():
    events = [
        Start(id="x1", model=OPEN.model),
        ReasoningDelta(text="hm", wire="gemini"),
        TextDelta("a"),
        ToolDelta(index=0, id="c", name="f", arguments='{"x":1}', signature="s"),
        UsageUpdate(Usage(input_uncached=3, output_text=2)),
        Finish(reason="tool_calls", native="STOP"),
    ]
    writer = GeminiDialect().stream(ask(), OPEN)
    decoder = Gemini().decoder()
    got = decoder.feed(writer.feed(events) + writer.end(None, OPEN)) + decoder.end()
    assert got == events


def test_a_gemini_stream_comes_out_as_it_went_in():
    frames = [
        frame({"text": "hm", "thought": True}),
        frame({"text": "a"}),
        frame({"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s"}),
        frame({"text": ""}, finish="STOP"),
    ]
    decoder = Gemini().decoder()
    got = streamed(*decoder.feed(sse(*frames)), *decoder.end())
    for each in got:
        assert each.pop("usageMetadata") == {}
    assert got == [{**each, "modelVersion": OPEN.model} for each in frames]
