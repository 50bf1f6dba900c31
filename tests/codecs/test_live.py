"""Live sessions of Gemini: where they open, and what their messages say of what was used."""

import json

import pytest

from turnout.codecs import live
from turnout.codecs.speech import Heard
from turnout.errors import InvalidRequest
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.usage import Usage


def heard(*messages):
    ear = live.Ear()
    return [ear(json.dumps(each).encode()) for each in messages]


def said(text):
    return {"serverContent": {"modelTurn": {"parts": [{"text": text}]}}}


def used(n_in, n_out, **more):
    return {"usageMetadata": {"promptTokenCount": n_in, "responseTokenCount": n_out, **more}}


OVER = {"serverContent": {"turnComplete": True}}


def counts(n_in, n_out):
    return Usage(input_uncached=n_in, cache_read=0, audio_in=0, output_text=n_out, audio_out=0)


def to(url, host=None, model="flash-live"):
    vendor = Vendor(name="v", base_url=url, codec="gemini", host=host)
    return Deployment(id="v/m", vendor=vendor, model=Model(id="v/m"), upstream_model=model)


def test_a_turn_is_counted_once_however_often_it_is_told():
    assert heard(said("ab"), {**said("c"), **used(10, 1)}, {**OVER, **used(10, 2)}) == [
        [Heard("began", "turn_1"), Heard("text", "turn_1", n_chars=4)],
        [Heard("text", "turn_1", n_chars=3)],
        [Heard("ended", "turn_1", counts(10, 2))],
    ]


def test_a_prompt_that_grew_by_a_tools_answer_is_another_one():
    call = {"toolCall": {"functionCalls": [{"name": "f"}]}}
    assert heard({**call, **used(10, 1)}, said("a"), {**OVER, **used(25, 3)}) == [
        [Heard("began", "turn_1")],
        [Heard("text", "turn_1", n_chars=3)],
        [Heard("ended", "turn_1+", counts(10, 1)), Heard("ended", "turn_1", counts(25, 3))],
    ]


def test_what_is_told_too_late_is_not_counted_again_and_what_stands_alone_is():
    assert heard(said("a"), OVER, used(10, 1), used(5, 0), said("b"), OVER) == [
        [Heard("began", "turn_1"), Heard("text", "turn_1", n_chars=3)],
        [Heard("ended", "turn_1")],
        [],
        [Heard("ended", "turn_2", counts(5, 0))],
        [Heard("began", "turn_3"), Heard("text", "turn_3", n_chars=3)],
        [Heard("ended", "turn_3")],
    ]


def test_sound_and_what_was_cached_are_counted_apart():
    told = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 5,
        "responseTokenCount": 30,
        "thoughtsTokenCount": 7,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}, {"modality": "TEXT"}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 25}],
    }
    assert heard({"usageMetadata": told}) == [
        [
            Heard(
                "ended",
                "turn_1",
                Usage(
                    input_uncached=53, cache_read=40, audio_in=12, output_text=5, audio_out=25, reasoning=7
                ),
            )
        ]
    ]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"serverContent": 1}', b'"\xff"', b"{}", b'{"goAway": {}}']
)
def test_what_says_nothing_is_nothing(data):
    assert live.Ear()(data) == []


def test_sessions_are_opened_where_each_host_has_them():
    at_google = live.PATHS[0].replace("v1beta", "v1alpha")
    at_vertex = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
    google = to("https://generativelanguage.googleapis.com/v1alpha")
    vertex = to("https://l-aiplatform.googleapis.com/v1/projects/p/locations/l", "vertex")
    setup = {"setup": {"model": "models/x", "tools": []}}
    assert [(live.address(each), json.loads(live.opening(setup, each))) for each in (google, vertex)] == [
        (
            f"https://generativelanguage.googleapis.com{at_google}",
            {"setup": {"model": "models/flash-live", "tools": []}},
        ),
        (
            f"https://l-aiplatform.googleapis.com{at_vertex}",
            {"setup": {"model": "projects/p/locations/l/publishers/google/models/flash-live", "tools": []}},
        ),
    ]


def test_a_setup_names_its_model_and_comes_first():
    names = ("models/a", "a", "models/gem/a", "projects/p/locations/l/publishers/google/models/a")
    read = [live.read_setup(json.dumps({"setup": {"model": name}}).encode())[1] for name in names]
    assert read == ["a", "a", "gem/a", "a"]
    nameless = (b"{}", b'{"setup": 1}', b'{"setup": {}}', b'{"setup": {"model": ""}}')
    for wrong in (*nameless, b'{"setup": {"model": "models/"}}', b"[]"):
        with pytest.raises(InvalidRequest):
            live.read_setup(wrong)
    with pytest.raises(InvalidRequest):
        live.ask(b'{"setup": {"model": "a"}}')
