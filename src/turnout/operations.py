"""Rankings, pictures, speech, transcriptions, moderations and feedback in process. Floor 6.

What the gateway's endpoints of these do, without the server: parameters are named as in OpenAI's API and
checked by the same reader as a request that arrives at the gateway.
"""

import asyncio
from abc import abstractmethod
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import msgspec
from msgspec import Struct

from turnout.engine.engine import Opened
from turnout.engine.exchange import Exchange
from turnout.errors import InvalidRequest
from turnout.layers.base import total
from turnout.server.ids import new_boundary, new_request_id
from turnout.types.ask import Ask
from turnout.types.feedback import FeedbackParams, Signal
from turnout.types.json import Json
from turnout.types.record import CostState
from turnout.types.task import Form, FormPart, Ranked, TaskRequest
from turnout.types.usage import NanoUsd, Usage

if TYPE_CHECKING:
    from turnout.build import Built
    from turnout.server.hearing import Heard


class Performed(Struct, frozen=True, kw_only=True):
    """A complete answer as the gateway would have sent it, with who gave it and what it took."""

    request_id: str
    model: str
    """`provider/model` that answered."""
    body: bytes
    content_type: str
    usage: Usage | None
    """Of the call that answered, in the units of its price."""
    cost_nusd: NanoUsd | None
    """Over all attempts; None = a price is not known."""
    cost_state: CostState

    def json(self) -> Any:
        """Return the body, read."""
        return msgspec.json.decode(self.body)


class Ranking(Performed, frozen=True, kw_only=True):
    """Documents in the order of their relevance."""

    @property
    def results(self) -> tuple[Ranked, ...]:
        """Places in the request with their scores, the best first."""
        return tuple(msgspec.convert(self.json()["results"], list[Ranked]))


class Pictures(Performed, frozen=True, kw_only=True):
    """Pictures."""

    @property
    def images(self) -> tuple[bytes, ...]:
        """Those that came as bytes."""
        return tuple(b64decode(row["b64_json"]) for row in self.json()["data"] if row.get("b64_json"))

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of those that did not."""
        return tuple(row["url"] for row in self.json()["data"] if row.get("url"))


class Speech(Performed, frozen=True, kw_only=True):
    """Spoken text: the body is the sound."""


class Transcript(Performed, frozen=True, kw_only=True):
    """Text that was heard."""

    @property
    def text(self) -> str:
        """What was said; in a form of subtitles, the subtitles."""
        if self.content_type.startswith("application/json"):
            return str(self.json()["text"])
        return self.body.decode("utf-8", "replace")


class Moderation(Performed, frozen=True, kw_only=True):
    """What was found wrong."""

    @property
    def flagged(self) -> tuple[bool, ...]:
        """For each text, whether something was."""
        return tuple(bool(row["flagged"]) for row in self.json()["results"])


P = TypeVar("P", bound=Performed)


class RankParams(TypedDict, total=False):
    """Optional parameters of a ranking."""

    top_n: int
    max_tokens_per_doc: int
    turnout: Mapping[str, Any]


class PictureParams(TypedDict, total=False):
    """Optional parameters of pictures."""

    n: int
    size: str
    quality: str
    style: str
    background: str
    output_format: str
    response_format: str
    user: str
    turnout: Mapping[str, Any]


class SpeechParams(TypedDict, total=False):
    """Optional parameters of speech."""

    response_format: str
    speed: float
    instructions: str
    turnout: Mapping[str, Any]


class TranscriptParams(TypedDict, total=False):
    """Optional parameters of a transcription."""

    language: str
    prompt: str
    response_format: str
    temperature: float


class Operations:
    """What a client does beside conversations and vectors."""

    async def feedback(
        self, request_id: str, signal: Signal, value: Json = None, **more: Unpack[FeedbackParams]
    ) -> "Heard":
        """Say how the answer to a request was; the same word again replaces the one before.

        Args:
            request_id: Of the answer, as in `Answer.request_id`.
            signal: thumb, score, correction, preference, outcome or label.
            value: up or down; a number from 0 to 1; this, other or tie; whether the task was done; a label.
            **more: `scale` of a score, `comment`, `source`, `weight`, `other` of a preference.

        Raises:
            TurnoutError: There is no such request, or the value is no such signal's.
        """
        from turnout.server.hearing import hear_own  # noqa: PLC0415  brings the stores of feedback

        return await hear_own(
            self._entered(), {"request_id": request_id, "signal": signal, "value": value, **more}
        )

    async def rerank(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        *,
        model: str,
        **params: Unpack[RankParams],
    ) -> Ranking:
        """Rank documents by their relevance to a query. Raises `TurnoutError`."""
        members = {"model": model, "query": query, "documents": list(documents), **params}
        return await self._perform(Ranking, "/rerank", members)

    async def images(self, prompt: str, *, model: str, **params: Unpack[PictureParams]) -> Pictures:
        """Make pictures of a description. Raises `TurnoutError`."""
        return await self._perform(
            Pictures, "/images/generations", {"model": model, "prompt": prompt, **params}
        )

    async def speech(self, text: str, *, model: str, voice: str, **params: Unpack[SpeechParams]) -> Speech:
        """Speak a text. Raises `TurnoutError`."""
        members = {"model": model, "input": text, "voice": voice, **params}
        return await self._perform(Speech, "/audio/speech", members)

    async def transcribe(
        self,
        sound: bytes | Path,
        *,
        model: str,
        filename: str | None = None,
        **params: Unpack[TranscriptParams],
    ) -> Transcript:
        """Write down what is said. Raises `TurnoutError`.

        Args:
            sound: A recording, or the file that holds one.
            model: Route, alias or model.
            filename: Tells the provider the format by its ending; default: the file's own, else `audio.mp3`.
            **params: As in OpenAI's API.
        """
        data = await asyncio.to_thread(sound.read_bytes) if isinstance(sound, Path) else sound
        name = filename or (sound.name if isinstance(sound, Path) else "audio.mp3")
        fields = {"model": model, **params}
        parts = [FormPart(key, str(value).encode()) for key, value in fields.items()]
        given = Form(new_boundary(), (*parts, FormPart("file", data, name, "application/octet-stream")))
        return await self._perform(Transcript, "/audio/transcriptions", given)

    async def moderate(
        self, texts: str | Sequence[str], *, model: str = "omni-moderation-latest"
    ) -> Moderation:
        """Judge texts. Raises `TurnoutError`."""
        given = texts if isinstance(texts, str) else list(texts)
        return await self._perform(Moderation, "/moderations", {"model": model, "input": given})

    @abstractmethod
    def _entered(self) -> "Built":
        """Return what a client runs. Raises RuntimeError before it is entered."""

    @abstractmethod
    def _open_request(self, request: TaskRequest, ask: Ask) -> Opened:
        """Open a request at the engine."""

    async def _perform(self, kind: type[P], path: str, given: Mapping[str, Any] | Form) -> P:
        from turnout.codecs.tasks import OPERATIONS, parse, parse_form  # noqa: PLC0415  with the first call

        operation = OPERATIONS[path]
        if isinstance(given, Form):
            body = parse_form(operation, given)
        else:
            try:
                body = parse(operation, msgspec.json.encode(given))
            except TypeError as error:
                raise InvalidRequest(f"parameters hold what JSON cannot say: {error}") from None
        ask = Ask(
            request_id=new_request_id(),
            endpoint=body.endpoint,
            prefer=body.prefer,
            session=body.session,
            tags=body.tags,
            metadata=body.metadata,
            end_user=body.request.user,
            timeout_s=body.timeout_s,
            retries=body.retries,
            warnings=body.warnings,
        )
        opened = self._open_request(body.request, ask)
        async with opened as reply:
            found = await reply.task()
        cost, state = cost_of(opened.exchange)
        return kind(
            request_id=ask.request_id,
            model=reply.deployment.model.id,
            body=found.body,
            content_type=found.content_type,
            usage=opened.exchange.attempts[-1].usage,
            cost_nusd=cost,
            cost_state=state,
        )


def cost_of(exchange: Exchange) -> tuple[NanoUsd | None, CostState]:
    """Return what a request cost over all its attempts, and how sure that is."""
    if exchange.outcome is not None:
        return exchange.outcome.cost_nusd, exchange.outcome.cost_state
    # Not over yet, or without a journal, which is what concludes a request.
    _, cost_nusd, state = total(exchange.attempts)
    return cost_nusd, state
