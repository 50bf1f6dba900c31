"""What a gateway reads of a realtime session, and where sessions are opened."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.codecs import realtime
from turnout.codecs.realtime import NOTHING_HEARD, address, ask, hear, is_spoken, without_ours
from turnout.codecs.speech import Heard
from turnout.errors import InvalidRequest
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.usage import Usage


def to(base: str, **vendor) -> Deployment:
    row = {"name": "v", "base_url": base, "codec": "openai_chat", **vendor}
    return Deployment(id="d", vendor=Vendor(**row), model=Model(id="v/m"), upstream_model="gpt realtime/1")


def test_a_session_is_opened_where_its_vendor_has_them():
    azure = {"host": "azure"}
    assert address(to("https://api.test/v1")) == "https://api.test/v1/realtime?model=gpt%20realtime%2F1"
    assert address(to("https://r.test/openai/v1", **azure)) == (
        "https://r.test/openai/v1/realtime?model=gpt%20realtime%2F1"
    )
    assert address(to("https://r.test", api_version="2025-04-01-preview", **azure)) == (
        "https://r.test/openai/realtime?api-version=2025-04-01-preview&deployment=gpt%20realtime%2F1"
    )
    assert [is_spoken(to("https://x.test", codec=each)) for each in ("openai_responses", "anthropic")] == [
        True,
        False,
    ]


def test_each_token_of_a_response_is_counted_once():
    usage = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {
            "text_tokens": 119,
            "audio_tokens": 13,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
    }
    event = {"type": "response.done", "response": {"id": "resp_1", "usage": usage}}
    assert hear(json.dumps(event).encode()) == Heard(
        "ended", "resp_1", Usage(input_uncached=59, cache_read=64, audio_in=9, output_text=30, audio_out=91)
    )
    usage["input_token_details"]["cached_tokens"] = 10**9  # no upstream can make a count negative
    assert hear(json.dumps(event).encode()).usage == Usage(
        input_uncached=0, cache_read=132, audio_in=0, output_text=30, audio_out=91
    )


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_what_cannot_be_read_says_nothing(data):
    assert hear(data) == NOTHING_HEARD
    assert without_ours(data) == data or b'"turnout"' in data


def test_no_upstream_can_write_in_our_name():
    assert without_ours(b'{"type":"x","turnout":{"cost_usd":"0"}}') == b'{"type":"x"}'
    assert without_ours(b'{"delta":"\\"turnout\\""}') == b'{"delta":"\\"turnout\\""}'


def test_models_are_found_wherever_an_event_names_them():
    session = {"model": "a", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    asked = ask(json.dumps({"type": "session.update", "session": session}).encode())
    assert (asked.models, asked.transcribers) == (("a",), ("whisper-1",))
    assert json.loads(asked.naming("b"))["session"] == {**session, "model": "b"}
    old = {"input_audio_transcription": {"model": "whisper-1"}}
    assert ask(json.dumps({"type": "session.update", "session": old}).encode()).transcribers == ("whisper-1",)
    with pytest.raises(InvalidRequest):
        ask(b'{"type":"a","type":"b"}')


def test_a_failure_is_told_as_openai_tells_it():
    told = json.loads(realtime.error_event("budget_exceeded", "no money", "insufficient_quota", "e1"))
    assert told == {
        "type": "error",
        "event_id": "event_turnout_budget_exceeded",
        "error": {
            "type": "insufficient_quota",
            "code": "budget_exceeded",
            "message": "no money",
            "param": None,
            "event_id": "e1",
        },
    }
