"""Operations: requests read and written, answers read, money in the units of a price."""

import contextlib
import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.codecs import form, ranking
from turnout.codecs.bedrock import Bedrock
from turnout.codecs.cohere import Cohere
from turnout.codecs.gemini.codec import Gemini
from turnout.codecs.openai_chat.codec import OpenAIChat
from turnout.codecs.openai_chat.tasks import EventTap
from turnout.codecs.tasks import OPERATIONS, parse, parse_form
from turnout.errors import (
    ContentFiltered,
    InvalidRequest,
    ProviderBadResponse,
    ProviderRateLimited,
    StreamInterrupted,
    UnsupportedParameter,
)
from turnout.server.multipart import Begin, Data, Multipart
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.http import HttpResponse
from turnout.types.task import Form, FormPart, TaskRequest, billed, reckoned
from turnout.types.usage import Price, Usage, cost

JSON = {"content-type": "application/json"}


def to(name="m", **quirks):
    vendor = Vendor(name="v", base_url="https://v.example/v1", codec="x", quirks=Quirks(**quirks))
    return Deployment(id="d", vendor=vendor, model=Model(id=f"v/{name}"), upstream_model=name)


def asked(path, **body):
    return parse(OPERATIONS[path], json.dumps(body).encode()).request


def sent(encoded):
    return json.loads(encoded.http.body)


RANK = {"query": "q", "documents": ["a", {"text": "b", "id": 7}], "top_n": 1, "model": "x"}


def test_a_ranking_is_written_in_the_words_of_each_format():
    request = asked("/rerank", **RANK, return_documents=True, truncation=True, max_tokens_per_doc=9)
    openai = OpenAIChat().encode_task(request, to(rerank_limit="top_k"))
    cohere = Cohere().encode_task(request, to())
    bedrock = Bedrock().encode_task(request, to("cohere.rerank-v3"))
    assert openai.http.url == "https://v.example/v1/rerank"
    assert sent(openai) == {
        "model": "m",
        "query": "q",
        "documents": ["a", {"text": "b", "id": 7}],
        "top_k": 1,
        "truncation": True,
        "max_tokens_per_doc": 9,
    }
    assert sent(cohere) == {
        "model": "m",
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 1,
        "max_tokens_per_doc": 9,
    }
    assert cohere.dropped == ("truncation",)
    assert bedrock.http.url == "https://v.example/v1/model/cohere.rerank-v3/invoke"
    assert sent(bedrock) == {
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 1,
        "max_tokens_per_doc": 9,
        "api_version": 2,
    }


@pytest.mark.parametrize(
    "rows",
    [
        [{"index": 2, "relevance_score": 0.1}],
        [{"index": 0, "relevance_score": 0.1}, {"index": 0, "relevance_score": 0.2}],
        [{"index": -1, "relevance_score": 0.1}],
        "no rows",
    ],
)
def test_a_ranking_of_what_was_not_sent_is_refused(rows):
    body = json.dumps({"results": rows}).encode()
    with pytest.raises(ProviderBadResponse):
        ranking.decode(body, asked("/rerank", **RANK), to(), "openai_chat")


def test_an_operation_that_a_format_lacks_is_refused():
    for codec in (Cohere(), Bedrock(), Gemini()):
        with pytest.raises(UnsupportedParameter):
            codec.encode_task(asked("/audio/speech", input="x", voice="y", model="m"), to())


def test_a_picture_is_asked_of_gemini_and_of_imagen():
    wanted = {"prompt": "a cat", "size": "1792x1024", "quality": "high"}
    gemini = Gemini().encode_task(asked("/images/generations", **wanted), to("gemini-image"))
    assert gemini.http.url.endswith("/models/gemini-image:generateContent")
    assert sent(gemini) == {
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9"}},
    }
    assert gemini.dropped == ("quality",)
    imagen = Gemini().encode_task(asked("/images/generations", **wanted, n=2), to("imagen-4"))
    assert imagen.http.url.endswith("/models/imagen-4:predict")
    assert sent(imagen) == {
        "instances": [{"prompt": "a cat"}],
        "parameters": {"sampleCount": 2, "aspectRatio": "16:9"},
    }
    with pytest.raises(UnsupportedParameter, match="one picture"):
        Gemini().encode_task(asked("/images/generations", **wanted, n=2), to("gemini-image"))


def test_an_answer_without_a_picture_was_filtered():
    body = {"candidates": [{"content": {"parts": [{"text": "I may not."}]}, "finishReason": "STOP"}]}
    with pytest.raises(ContentFiltered):
        Gemini().decode_task(
            HttpResponse(200, JSON, json.dumps(body).encode()),
            asked("/images/generations", prompt="x"),
            to("gemini-image"),
        )


def test_speech_in_json_becomes_sound():
    body = json.dumps({"audio_data": "SUQz"}).encode()
    request = asked("/audio/speech", input="x", voice="y", response_format="wav")
    found = OpenAIChat().decode_task(HttpResponse(200, JSON, body), request, to())
    assert (found.body, found.content_type) == (b"ID3", "audio/wav")


def test_a_content_type_that_a_browser_would_run_is_told_as_bytes():
    request = TaskRequest(kind="transcription", path="/audio/transcriptions", model="m")
    html = HttpResponse(200, {"content-type": "text/html"}, b"<script>")
    assert OpenAIChat().decode_task(html, request, to()).content_type == "application/octet-stream"


STREAM = (
    b'data: {"type":"transcript.text.delta","delta":"Hi"}\n\n'
    b'event: image_generation.completed\r\ndata: {"type":"image_generation.completed","turnout":1,'
    b'"usage":{"input_tokens":5,"output_tokens":9,"output_tokens_details":{"image_tokens":9}}}\r\n\r\n'
    b"data: [DONE]\n\n"
)


def test_a_stream_passes_alike_however_it_is_cut():
    def read(cuts):
        tap = EventTap()
        out, at = b"", 0
        for cut in (*sorted(cuts), len(STREAM)):
            out += tap.feed(STREAM[at:cut])
            at = cut
        return out + tap.end(), tap.usage, tap.done

    whole = read(())
    rng = Random(1)
    assert all(read(rng.sample(range(len(STREAM)), 5)) == whole for _ in range(50))
    assert b"turnout" not in whole[0]
    assert whole[1:] == (Usage(input_uncached=5, output_text=0, image_out=9), True)


def test_a_stream_that_fails_at_once_is_a_failure_and_one_cut_short_another():
    with pytest.raises(ProviderRateLimited):
        EventTap().feed(b'data: {"error":{"message":"slow","code":"rate_limit_exceeded"}}\n\n')
    tap = EventTap()
    tap.feed(STREAM[:60])
    with pytest.raises(StreamInterrupted):
        tap.end()


def read_back(body, boundary):
    parser = Multipart(f'multipart/form-data; boundary="{boundary.decode()}"')
    parts, rng = [], Random(len(body))
    at = 0
    while at < len(body):
        step = rng.randint(1, 40)
        for piece in parser.feed(body[at : at + step]):
            if isinstance(piece, Begin):
                parts.append([piece.name, b"", piece.filename, piece.content_type])
            elif isinstance(piece, Data):
                parts[-1][1] += piece.data
        at += step
    parser.end()
    return tuple(FormPart(*part) for part in parts)


NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
PARTS = st.builds(
    FormPart,
    NAMES,
    st.binary(max_size=200),
    st.none() | NAMES,
    st.sampled_from(["", "audio/mpeg", "text/plain; charset=utf-8"]),
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=6))
def test_a_form_comes_back_as_it_was_written(parts):
    given_form = Form(b"turnout-0123456789abcdef", tuple(parts))
    assert read_back(form.write(given_form), given_form.boundary) == given_form.parts


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 160))
def test_garbage_in_a_form_is_refused_and_nothing_else(noise, at):
    body = form.write(Form(b"B", (FormPart("a", b"1"), FormPart("file", b"xyz", "f", "audio/mpeg"))))
    with contextlib.suppress(InvalidRequest):
        read_back(body[:at] + noise + body[at:], b"B")


def test_a_form_goes_on_with_its_own_parts_and_the_models_name():
    given_form = Form(
        b"B", (FormPart("model", b"mine"), FormPart("file", b"\x00\r\n--", "a.mp3", "audio/mpeg"))
    )
    request = parse_form(OPERATIONS["/audio/transcriptions"], given_form).request
    http = OpenAIChat().encode_task(request, to("whisper")).http
    assert dict(http.headers)[b"content-type"] == b'multipart/form-data; boundary="B"'
    assert read_back(http.body, b"B") == (FormPart("model", b"whisper"), given_form.parts[1])


def test_a_host_with_one_model_for_a_form_is_told_no_model_and_gets_the_file_last():
    parts = (
        FormPart("file", b"sound", "a.mp3", "audio/mpeg"),
        FormPart("model", b"x"),
        FormPart("language", b"en"),
        FormPart("prompt", b"names"),
    )
    quirks = {
        "paths": {"/audio/transcriptions": "/stt"},
        "modelless": {"/audio/transcriptions": frozenset({"language"})},
    }

    def encoded(**fields):
        request = TaskRequest(
            kind="transcription", path="/audio/transcriptions", model="x", form=Form(b"b", parts), **fields
        )
        return OpenAIChat().encode_task(request, to(**quirks))

    written = encoded()
    assert (written.http.url, written.dropped) == ("https://v.example/v1/stt", ("prompt",))
    assert written.http.body == form.write(Form(b"b", (parts[2], parts[0])))
    with pytest.raises(UnsupportedParameter):
        encoded(response_format="srt")


def test_the_object_turnout_stands_in_a_form_as_json_and_goes_no_further():
    parts = (FormPart("turnout", b'{"route": "ears"}'), FormPart("file", b"x", "a.mp3"))
    body = parse_form(OPERATIONS["/audio/transcriptions"], Form(b"B", parts))
    assert (body.route, body.request.form) == ("ears", Form(b"B", parts[1:]))


HEARD = TaskRequest(kind="transcription", path="/audio/transcriptions", model="m", n_bytes=80_000)
PER_SECOND = Price(input=0, output=0, per_second=100_000_000)
PER_TOKEN = Price(input=5_000_000, output=20_000_000)


def test_what_is_told_is_billed_and_what_is_not_is_reckoned_and_marked():
    assert billed(HEARD, Usage(audio_s=4), PER_SECOND) == (Usage(audio_s=4), False)
    assert billed(HEARD, Usage(), PER_SECOND) == (Usage(audio_s=10), True)
    assert billed(HEARD, Usage(input_uncached=1, audio_in=9), PER_TOKEN)[1] is False
    assert billed(HEARD, Usage(), PER_TOKEN)[1] is True
    assert billed(HEARD, Usage(), Price(input=0, output=0)) == (Usage(), False)


KINDS = (
    asked("/rerank", **{**RANK, "documents": ["x"] * 101}),
    asked("/images/generations", prompt="a cat", n=3),
    asked("/audio/speech", input="Hello", voice="a"),
    asked("/moderations", input=["a", {"type": "text", "text": "b"}]),
    HEARD,
)
PRICES = (
    PER_TOKEN,
    PER_SECOND,
    Price(input=0, output=0, per_image=40_000_000_000),
    Price(input=0, output=0, per_search=2_000_000_000),
    Price(input=0, output=0, per_character=15_000_000),
)


def test_a_call_never_costs_more_than_was_set_aside_for_it():
    for request in KINDS:
        for price in PRICES:
            aside = cost(reckoned(request, price), price)
            assert cost(billed(request, Usage(), price)[0], price) <= aside
    assert [reckoned(KINDS[at], PRICES[by]) for at, by in ((0, 3), (1, 2), (2, 4), (4, 1))] == [
        Usage(search_units=2),
        Usage(images=3, input_uncached=2),
        Usage(characters=5),
        Usage(audio_s=10),
    ]
