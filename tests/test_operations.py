"""The SDK beside conversations and vectors: rankings, pictures, sound and moderations."""

import pytest

from tests.server.test_tasks import DOCUMENTS, RANKED, config_text
from turnout import AsyncClient, Client, InvalidRequest
from turnout.config import parse_config
from turnout.testing.emulator import Emulator, dialects, serving
from turnout.testing.emulator.serve import serving_in_thread
from turnout.testing.emulator.tasks import PICTURE
from turnout.types.task import Ranked


async def test_operations_are_performed_in_process():
    async with serving(Emulator(dialects())) as base, AsyncClient(config(base)) as client:
        ranking = await client.rerank("which dogs bark", DOCUMENTS, model="turnout/rank", top_n=2)
        pictures = await client.images("a cat", model="oai/flux", n=2)
        addresses = await client.images("a cat", model="gem/gemini-image", response_format="url")
        speech = await client.speech("Hello", model="oai/tts", voice="ash")
        transcript = await client.transcribe(b"x" * 10, model="oai/hear", response_format="text")
        judged = await client.moderate(["fine", "I kill you"])
        with pytest.raises(InvalidRequest, match="voice"):
            await client.speech("Hello", model="oai/tts", voice="")
    assert ranking.results == tuple(Ranked(*row) for row in RANKED)
    assert (ranking.model, ranking.cost_nusd, ranking.cost_state) == ("co/rerank", 2_000_000, "exact")
    assert (pictures.images, pictures.urls) == ((PICTURE, PICTURE), ())
    assert addresses.urls[0].startswith("data:image/png;base64,")
    assert (speech.body, speech.content_type) == (b"ID3" + b"Hello" * 16, "audio/mpeg")
    assert (transcript.text, transcript.cost_state) == ("10 bytes of audio.mp3", "estimated")
    assert judged.flagged == (False, True)


def test_the_synchronous_client_performs_them_too(tmp_path):
    sound = tmp_path / "said.wav"
    sound.write_bytes(b"x" * 10)
    with serving_in_thread(Emulator(dialects())) as base, Client(config(base)) as client:
        assert client.rerank("dogs", DOCUMENTS, model="vo/rerank").results[0].index == 1
        assert client.images("a cat", model="gem/imagen").images == (PICTURE,)
        assert client.speech("Hi", model="oai/tts", voice="ash").usage.characters == 2
        assert client.transcribe(sound, model="oai/hear").text == "10 bytes of said.wav"
        assert client.moderate("fine").flagged == (False,)


def config(base):
    return parse_config(config_text(base), env={})
