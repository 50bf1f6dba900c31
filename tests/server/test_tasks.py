"""Rankings, pictures, speech, transcriptions and moderations, by official clients over real sockets."""

import asyncio
import base64
from contextlib import asynccontextmanager

import httpx
import openai
import pytest

from tests.server.kit import Behaviour, Fault, gateway
from turnout.server.deferred import open_deferred
from turnout.testing.emulator import Emulator, dialects, serving
from turnout.testing.emulator.tasks import PICTURE

MODELS = """
models:
  - {model: oai/gpt-image, price: {input: 5, output: 0, image_in: 10, image_out: 40}}
  - {model: oai/flux, capabilities: [image], price: {input: 0, output: 0, per_image: 0.04}}
  - {model: oai/tts, capabilities: [speech], price: {input: 0, output: 0, per_character: 0.000015}}
  - {model: oai/hear, capabilities: [transcription], price: {input: 0, output: 0, per_second: 0.0001}}
  - {model: oai/omni-moderation-latest, capabilities: [moderation], price: {input: 0, output: 0}}
  - {model: co/rerank, capabilities: [rerank], price: {input: 0, output: 0, per_search: 0.002}}
  - {model: vo/rerank, capabilities: [rerank], price: {input: 0.05, output: 0}}
  - {model: bed/amazon.rerank, capabilities: [rerank], price: {input: 0, output: 0, per_search: 0.001}}
  - {model: gem/gemini-image, capabilities: [image], price: {input: 0.3, output: 2.5, image_out: 30}}
  - {model: gem/imagen, capabilities: [image], price: {input: 0, output: 0, per_image: 0.02}}
  - {model: oai/chat, price: {input: 1, output: 2}, capabilities: [tools]}
  - {model: ant/chat, price: {input: 1, output: 2}, capabilities: [tools]}
routes:
  - {name: rank, models: [oai/chat, co/rerank, vo/rerank]}
  - {name: draw, models: [oai/flux, gem/gemini-image]}
"""
GUARDS = """
guards:
  rules:
    - {name: words, guard: {type: words, words: [forbidden]}, mode: block, everywhere: true}
"""
BEDROCK = (
    "auth: sigv4, secret: 'AKIDEXAMPLEEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', region: eu-west-1"
)


def config_text(base, extra="", server=""):
    return f"""
server: {{port: 0{server}}}
journal: {{enabled: false}}
retry: {{base_s: 0.001}}
max_retries: 0
providers:
  oai: {{vendor: openai, base_url: "{base}/v1", secret: k}}
  ant: {{vendor: anthropic, base_url: "{base}/v1", secret: k}}
  co: {{vendor: cohere, base_url: "{base}/v2", secret: k}}
  vo: {{vendor: voyage, base_url: "{base}/v1", secret: k}}
  gem: {{vendor: gemini, base_url: "{base}/v1beta", secret: k}}
  bed: {{base_url: "{base}", codec: bedrock, {BEDROCK}}}
{MODELS}
{extra}
"""


class World:
    """A gateway and the emulator behind it."""

    def __init__(self, running, emulator):
        self.running, self.emulator, self.url = running, emulator, running.url
        self.ai = openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0)
        self.http = httpx.AsyncClient(base_url=running.url)

    async def record(self, response):
        return await self.running.record(response.headers["x-turnout-request-id"])


@pytest.fixture
async def world():
    emulator = Emulator(dialects())
    async with serving(emulator) as base, gateway(config_text(base)) as running:
        found = World(running, emulator)
        async with found.ai, found.http:
            yield found


def _failing(kind, **fields):
    return Behaviour(faults=(Fault(kind=kind, **fields),))


@asynccontextmanager
async def world_of(emulator, extra="", server=""):
    async with (
        serving(emulator) as base,
        gateway(config_text(base, extra, server=server)) as running,
        httpx.AsyncClient(base_url=running.url) as http,
    ):
        yield http


DOCUMENTS = ["cats sleep", "dogs bark at cats", "ruby is a language"]
ASKED = {"query": "which dogs bark", "documents": DOCUMENTS, "top_n": 2}
RANKED = [(1, 2 / 3), (0, 0.0)]


@pytest.mark.parametrize(
    ("model", "cost"), [("co/rerank", "0.002"), ("bed/amazon.rerank", "0.001"), ("vo/rerank", None)]
)
async def test_documents_are_ranked_whoever_ranks_them(world, model, cost):
    answer = await world.http.post("/v1/rerank", json={**ASKED, "model": model, "return_documents": True})
    told = answer.json()
    assert [(row["index"], row["relevance_score"]) for row in told["results"]] == RANKED
    assert told["results"][0]["document"] == {"text": DOCUMENTS[1]}
    assert answer.headers["x-turnout-model"] == model
    record = await world.record(answer)
    assert record.endpoint == "rerank"
    assert record.outcome.error is None
    if cost is not None:
        assert answer.headers["x-turnout-cost-usd"] == cost
    else:
        assert record.attempts[0].usage.input_uncached > 0
        assert record.attempts[0].cost_state == "exact"


async def test_a_client_of_voyage_is_answered_in_its_form(world):
    asked = {"query": "dogs", "documents": DOCUMENTS, "top_k": 1, "model": "co/rerank"}
    answer = (await world.http.post("/v1/rerank", json=asked)).json()
    assert answer == {
        "object": "list",
        "data": [{"index": 1, "relevance_score": 1.0}],
        "model": "co/rerank",
        "usage": {"total_tokens": 0},
    }


async def test_a_route_asks_those_that_can_rank_and_falls_back(world):
    world.emulator.add("rerank", behaviour=_failing("overloaded", first=1))
    answer = await world.http.post("/v2/rerank", json={**ASKED, "model": "turnout/rank"})
    assert [row["index"] for row in answer.json()["results"]] == [1, 0]
    assert answer.headers["x-turnout-fallbacks"] == "1"
    record = await world.record(answer)
    assert [(a.model, a.outcome) for a in record.attempts] == [("co/rerank", "failed"), ("vo/rerank", "ok")]
    dropped = {view.id: [d.reason for d in view.filters] for view in record.decision.candidates}
    assert dropped == {"oai/chat": ["no_rerank"], "co/rerank": [], "vo/rerank": []}


async def test_nobody_who_cannot_is_asked(world):
    with pytest.raises(openai.BadRequestError) as caught:
        await world.ai.images.generate(model="oai/chat", prompt="a cat")
    assert caught.value.code == "unsupported_parameter"
    with pytest.raises(openai.BadRequestError):
        await world.ai.chat.completions.create(model="oai/tts", messages=[{"role": "user", "content": "Hi"}])
    assert world.emulator.served == {}


async def test_pictures_are_made_and_counted_by_token(world):
    raw = await world.ai.images.with_raw_response.generate(
        model="oai/gpt-image", prompt="a siamese cat", n=2, size="1024x1024"
    )
    answer = raw.parse()
    assert [base64.b64decode(each.b64_json) for each in answer.data] == [PICTURE, PICTURE]
    assert answer.usage.output_tokens == 2112
    usage = (await world.record(raw)).outcome.usage
    assert (usage.image_out, usage.output_text, usage.images) == (2112, 0, None)


@pytest.mark.parametrize(("model", "cost"), [("oai/flux", "0.08"), ("gem/imagen", "0.04")])
async def test_pictures_sold_by_the_piece_cost_by_the_piece(world, model, cost):
    raw = await world.ai.images.with_raw_response.generate(model=model, prompt="a cat", n=2, size="1024x1024")
    assert [base64.b64decode(each.b64_json) for each in raw.parse().data] == [PICTURE, PICTURE]
    assert raw.headers["x-turnout-cost-usd"] == cost
    assert raw.headers["x-turnout-cost-state"] == "exact"


async def test_a_picture_of_gemini_comes_in_the_form_of_openai(world):
    raw = await world.ai.images.with_raw_response.generate(
        model="gem/gemini-image", prompt="a cat", size="1536x1024", quality="high", response_format="url"
    )
    assert raw.parse().data[0].url == "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert raw.headers["x-turnout-dropped-params"] == "quality"
    assert (await world.record(raw)).outcome.usage.image_out == 1120


@pytest.mark.parametrize("model", ["oai/gpt-image", "gem/gemini-image"])
async def test_pictures_are_streamed(world, model):
    stream = await world.ai.images.generate(model=model, prompt="a cat", stream=True, partial_images=1)
    events = [event async for event in stream]
    assert events[-1].type == "image_generation.completed"
    assert base64.b64decode(events[-1].b64_json) == PICTURE
    records = await world.running.records()
    assert records[-1].outcome.usage.image_out in (1056, 1120)


@pytest.mark.parametrize("model", ["oai/gpt-image", "gem/gemini-image"])
async def test_a_picture_is_edited_from_a_form(world, model):
    answer = await world.ai.images.edit(
        model=model, prompt="green", image=[("a.png", PICTURE, "image/png"), ("b.png", PICTURE, "image/png")]
    )
    assert base64.b64decode(answer.data[0].b64_json) == PICTURE


async def test_a_picture_is_varied(world):
    answer = await world.ai.images.create_variation(model="oai/flux", image=("a.png", PICTURE, "image/png"))
    assert base64.b64decode(answer.data[0].b64_json) == PICTURE


async def test_speech_passes_as_bytes_and_costs_by_the_character(world):
    text = "Ruby is a language. " * 50
    async with world.ai.audio.speech.with_streaming_response.create(
        model="oai/tts", voice="ash", input=text, response_format="mp3"
    ) as response:
        sound = b"".join([piece async for piece in response.iter_bytes()])
        headers = response.headers
    assert sound == b"ID3" + text.encode() * 16
    assert headers["content-type"] == "audio/mpeg"
    assert "content-length" not in headers
    record = await world.running.record(headers["x-turnout-request-id"])
    assert record.outcome.usage.characters == 1000
    assert record.outcome.cost_nusd == 15_000_000
    assert record.outcome.cost_state == "exact"


async def test_speech_passes_as_events_with_their_usage(world):
    async with world.http.stream(
        "POST",
        "/v1/audio/speech",
        json={"model": "oai/tts", "voice": "ash", "input": "Hello", "stream_format": "sse"},
    ) as response:
        text = (await response.aread()).decode()
    assert text.count("speech.audio.delta") == 2
    assert text.rstrip().endswith("}")
    record = await world.running.record(response.headers["x-turnout-request-id"])
    assert record.outcome.usage.audio_out == 2


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("json", "2000 bytes of a.mp3"),
        ("text", "2000 bytes of a.mp3"),
        ("srt", "1\n00:00:00,000 --> 00:00:04,000\n2000 bytes of a.mp3\n\n"),
        ("vtt", "WEBVTT\n\n00:00.000 --> 00:04.000\n2000 bytes of a.mp3\n\n"),
        ("verbose_json", "2000 bytes of a.mp3"),
    ],
)
async def test_sound_is_transcribed_in_every_form(world, form, said):
    raw = await world.ai.audio.transcriptions.with_raw_response.create(
        model="oai/hear", file=("a.mp3", b"x" * 2000, "audio/mpeg"), response_format=form
    )
    answer = raw.parse()
    assert (answer if isinstance(answer, str) else answer.text) == said
    record = await world.record(raw)
    told = form in ("json", "verbose_json")
    assert record.endpoint == "audio"
    assert record.outcome.usage.audio_s == (4 if told else 1)
    assert record.outcome.cost_state == ("exact" if told else "estimated")


async def test_a_transcription_is_streamed_and_a_translation_is_not(world):
    sound = ("a.mp3", b"x" * 2000, "audio/mpeg")
    stream = await world.ai.audio.transcriptions.create(model="oai/hear", file=sound, stream=True)
    events = [event async for event in stream]
    assert "".join(e.delta for e in events[:-1]).strip() == events[-1].text == "2000 bytes of a.mp3"
    told = await world.ai.audio.translations.create(model="oai/hear", file=sound)
    assert told.text == "2000 bytes of a.mp3"


async def test_texts_are_judged_by_the_model_openai_takes_by_default(world):
    raw = await world.ai.moderations.with_raw_response.create(input=["how are you", "I kill you"])
    assert [each.flagged for each in raw.parse().results] == [False, True]
    assert raw.headers["x-turnout-model"] == "oai/omni-moderation-latest"
    assert (await world.record(raw)).outcome.cost_nusd == 0


async def test_a_stream_that_breaks_is_an_error_event_and_broken_bytes_break_the_connection(world):
    world.emulator.add("gpt-image", behaviour=_failing("cut", after_chunks=1))
    world.emulator.add("tts", behaviour=_failing("wrong_length", after_chunks=1))
    stream = await world.ai.images.generate(model="oai/gpt-image", prompt="a cat", stream=True)
    with pytest.raises(openai.APIError, match="ended without its last event"):
        [event async for event in stream]
    with pytest.raises(httpx.RemoteProtocolError):
        await world.http.post(
            "/v1/audio/speech", json={"model": "oai/tts", "voice": "ash", "input": "Hello " * 100}
        )
    words = [record.outcome.error for record in await world.running.records()]
    assert words == ["stream_interrupted", "stream_interrupted"]


@pytest.mark.parametrize(
    ("path", "send", "param"),
    [
        ("/v1/rerank", {"json": {"model": "co/rerank", "query": "x"}}, "documents"),
        ("/v1/rerank", {"json": {**ASKED, "top_k": 1, "model": "co/rerank"}}, "top_k"),
        ("/v1/rerank", {"json": {**ASKED, "model": "co/rerank", "api_base": "x"}}, "api_base"),
        ("/v1/images/generations", {"json": {"prompt": "x", "n": 11}}, "n"),
        ("/v1/audio/speech", {"json": {"input": "x"}}, "voice"),
        ("/v1/audio/transcriptions", {"json": {"model": "oai/hear"}}, "content-type"),
        ("/v1/audio/transcriptions", {"data": {"model": "oai/hear"}, "files": {"other": b"x"}}, "file"),
        ("/v1/audio/transcriptions", {"data": {"model": ["a", "b"]}, "files": {"file": b"x"}}, "model"),
        ("/v1/audio/transcriptions", {"data": {"api_key": "x"}, "files": {"file": b"x"}}, "api_key"),
        ("/v1/images/edits", {"data": {"n": "many", "prompt": "x"}, "files": {"image": b"x"}}, "n"),
        ("/v1/moderations", {"json": {}}, "input"),
    ],
)
async def test_what_is_wrong_is_named(world, path, send, param):
    answer = await world.http.post(path, **send)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_an_upload_is_refused_as_soon_as_it_is_too_long():
    emulator = Emulator(dialects())
    text = ", max_body_mib: 0.01"
    async with world_of(emulator, server=text) as http:
        for body in (b"x" * 20_000, _pieces(20_000)):
            kind = {"content-type": "multipart/form-data; boundary=B"}
            head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            content = head + body if isinstance(body, bytes) else _after(head, body)
            answer = await http.post("/v1/audio/transcriptions", content=content, headers=kind)
            assert answer.status_code == 413
            assert answer.json()["error"]["code"] == "request_too_large"
    assert emulator.served == {}


async def _after(head, pieces):
    yield head
    async for piece in pieces:
        yield piece


async def _pieces(size):
    for _ in range(size // 1000):
        yield b"x" * 1000


async def test_a_key_a_guard_and_a_repeated_call_are_heeded():
    emulator = Emulator(dialects())
    async with world_of(emulator, GUARDS) as http:
        for path, body in (
            ("/v1/images/generations", {"model": "oai/flux", "prompt": "a forbidden cat"}),
            ("/v1/audio/speech", {"model": "oai/tts", "voice": "a", "input": "forbidden"}),
            ("/v1/rerank", {"model": "co/rerank", "query": "x", "documents": ["forbidden"]}),
            ("/v1/moderations", {"input": [{"type": "text", "text": "forbidden"}]}),
        ):
            answer = await http.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "guard_blocked")
        assert emulator.served == {}
        sound = {"file": ("a.mp3", b"x" * 50, "audio/mpeg")}
        again = [
            await http.post(
                "/v1/audio/transcriptions",
                data={"model": "oai/hear"},
                files=sound,
                headers={"idempotency-key": "one"},
            )
            for _ in range(2)
        ]
        assert [each.json()["text"] for each in again] == ["50 bytes of a.mp3"] * 2
        assert emulator.served["hear"].calls == 1


HEARING = """
guards:
  rules:
    - {name: words, guard: {type: words, words: [bytes, secret]}, mode: MODE, stages: [out], everywhere: true}
"""


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "vtt", "events"])
async def test_what_was_heard_is_checked_in_every_form(form):
    emulator = Emulator(dialects())
    asked = {"model": "oai/hear", **({"stream": "true"} if form == "events" else {"response_format": form})}
    sound = {"file": ("a.mp3", b"x" * 50, "audio/mpeg")}

    async def hear(http):
        return await http.post("/v1/audio/transcriptions", data=asked, files=sound)

    async with world_of(emulator, HEARING.replace("MODE", "redact")) as http:
        told = await hear(http)
        spoken = {"model": "oai/tts", "voice": "a", "input": "secret"}
        sounds = await http.post("/v1/audio/speech", json=spoken)
    assert (told.status_code, sounds.status_code) == (200, 200)
    if form != "events":
        assert told.headers["x-turnout-guards"] == "words=redact"
    assert "50 <WORD> of a.mp3" in told.text
    assert "bytes" not in told.text
    async with world_of(emulator, HEARING.replace("MODE", "block")) as http:
        told = await hear(http)
    assert "guard_blocked" in told.text
    assert "bytes of" not in told.text


async def test_operations_of_a_host_that_is_spoken_to_in_responses():
    emulator = Emulator(dialects())
    async with (
        serving(emulator) as base,
        gateway(
            config_text(base).replace("{vendor: openai,", "{vendor: openai, codec: openai_responses,")
        ) as running,
        httpx.AsyncClient(base_url=running.url) as http,
    ):
        sound = {"file": ("a.mp3", b"x" * 50, "audio/mpeg")}
        heard = await http.post("/v1/audio/transcriptions", data={"model": "oai/hear"}, files=sound)
        drawn = await http.post("/v1/images/generations", json={"model": "oai/flux", "prompt": "a cat"})
        judged = await http.post("/v1/moderations", json={"input": "x"})
        vectors = await http.post("/v1/embeddings", json={"model": "oai/chat", "input": "x"})
        asked = {"model": "oai/chat", "messages": [{"role": "user", "content": "Hi"}]}
        said = await http.post("/v1/chat/completions", json=asked)
    assert heard.json()["text"] == "50 bytes of a.mp3"
    assert len(drawn.json()["data"]) == 1
    assert len(judged.json()["results"]) == 1
    assert (vectors.status_code, said.status_code) == (200, 200)


async def test_an_operation_can_wait_for_its_hour(tmp_path):
    emulator = Emulator(dialects())
    extra = f"background: {{path: {tmp_path / 'jobs.db'}, lease_s: 1}}"
    async with serving(emulator) as base, gateway(config_text(base, extra)) as running:
        deferred = open_deferred(running.built, running.gateway)
        async with httpx.AsyncClient(base_url=running.url) as http:
            body = {**ASKED, "model": "co/rerank", "turnout": {"background": {"deadline": 60}}}
            job = await http.post("/v1/rerank", json=body)
            assert (job.status_code, job.json()["state"]) == (202, "queued")
            answer = await http.get(f"/v1/background/{job.json()['id']}/answer")
            while answer.status_code == 404:
                await asyncio.sleep(0.01)
                answer = await http.get(f"/v1/background/{job.json()['id']}/answer")
            assert [row["index"] for row in answer.json()["results"]] == [1, 0]
            spoken = {"model": "oai/tts", "voice": "a", "input": "x", "turnout": {"background": {}}}
            refused = await http.post("/v1/audio/speech", json=spoken)
            assert refused.json()["error"]["param"] == "turnout.background"
        await deferred.close()


async def test_budgets_hold_in_the_unit_of_the_price_and_refuse_what_has_none():
    extra = """
budgets: [{id: spring, level: model, usd: 0.05}]
ledger: {store: memory}
"""
    emulator = Emulator(dialects())
    unpriced = "  - {model: oai/moderate, capabilities: [moderation]}\n"
    edited = MODELS.replace("routes:", unpriced + "routes:")
    async with (
        serving(emulator) as base,
        gateway(config_text(base, extra).replace(MODELS, edited)) as running,
        httpx.AsyncClient(base_url=running.url) as http,
    ):
        drawn = {"model": "oai/flux", "prompt": "a cat"}
        codes = [(await http.post("/v1/images/generations", json=drawn)).status_code for _ in range(2)]
        judged = await http.post("/v1/moderations", json={"model": "oai/moderate", "input": "x"})
        listed = (await http.get("/v1/models/oai/flux")).json()["turnout"]["features"]
    assert codes == [200, 402]
    assert judged.json()["error"]["code"] == "price_unknown"
    assert listed == ["image"]
    assert emulator.served["flux"].calls == 1
