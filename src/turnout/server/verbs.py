"""Endpoints that a verb in the address chooses, and those that count tokens. Floor 6.

Gemini's addresses are `models/{model}:{verb}`; the AI SDK of Vercel leaves `models/` out of names that hold
a slash. Tokens are counted as they are for a decision, for the model that the request would go to, or by its
provider where that is configured (`counting.py`); `x-turnout-count` says which: `estimate` or `exact`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from turnout.codecs import strict
from turnout.codecs.base import Addressed, Body, Carries, Dialect, EmbedBody, EmbedsByAddress, TaskBody
from turnout.engine.engine import Engine, Opened
from turnout.errors import NotFound
from turnout.server.answer import Whole
from turnout.server.asking import make_ask
from turnout.server.counting import Counters
from turnout.server.http import JSON_TYPE, RawHeaders, respond
from turnout.server.inbound import speaks_anthropic
from turnout.server.paths import ANTHROPIC, GEMINI, OPENAI
from turnout.server.settings import ServerSettings
from turnout.server.visit import Visit, while_there
from turnout.types.chat import NOTHING
from turnout.types.json import Json

_STREAMS: Final = {"generateContent": False, "streamGenerateContent": True}
"""Verb -> whether it streams."""
_ALONE: Final = {"embedContent": True, "batchEmbedContents": False}
"""Verb -> whether it is of the form for one text."""
_COUNT: Final = "countTokens"
_GOOGLES: Final = frozenset({b"x-goog-api-client", b"x-goog-api-key"})
"""Headers that Google's clients send."""
_ESTIMATE: Final = (b"x-turnout-count", b"estimate")
_EXACT: Final = (b"x-turnout-count", b"exact")


class Steps(NamedTuple):
    """What the gateway does for each of its endpoints."""

    enter: Callable[[Visit, str], None]
    body: Callable[[Visit], Awaitable[bytes]]
    serve: Callable[[Visit, bytes, Body, str], Awaitable[None]]
    embed: Callable[[Visit, bytes, EmbedBody, str], Awaitable[None]]
    ids: Callable[[str], RawHeaders]
    open: Callable[[Visit, Body | EmbedBody | TaskBody, str], Opened]
    once: Callable[[Visit, bytes, str, Callable[[], Awaitable[Whole]]], Awaitable[None]]
    """Answers in one piece, from memory where an idempotency key was seen before."""
    settings: Callable[[], ServerSettings]


class Verbs:
    """The endpoints, over the gateway's engine and dialects."""

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect], steps: Steps) -> None:
        self.engine = engine
        self._messages = dialects[ANTHROPIC]
        self._gemini = dialects[GEMINI]
        self._steps = steps
        self.counters: Counters | None = None
        """What asks providers to count; None = nobody is asked."""

    async def call(self, visit: Visit) -> None:
        """Serve a call of Gemini's format."""
        name, _, verb = visit.path_rest.rpartition(":")
        model, steps = name.removeprefix("models/"), self._steps
        if not model or verb not in (*_STREAMS, *_ALONE, _COUNT):
            raise NotFound(f"no such endpoint: POST {visit.scope['path'][:200]}")
        steps.enter(visit, "embeddings" if verb in _ALONE else "chat")
        raw = await steps.body(visit)
        if verb in _ALONE:
            assert isinstance(self._gemini, EmbedsByAddress)
            vectors = self._gemini.parse_embed_call(raw, model=model, alone=_ALONE[verb])
            await steps.embed(visit, raw, vectors, GEMINI)
            return
        assert isinstance(self._gemini, Addressed)
        if verb == _COUNT:
            asked = self._gemini.parse_call(whole_request(raw), model=model, stream=False)
            await self._tell(visit, "totalTokens", await self._count(visit, asked, GEMINI))
            return
        body = self._gemini.parse_call(raw, model=model, stream=_STREAMS[verb])
        await steps.serve(visit, raw, body, GEMINI)

    async def count(self, visit: Visit) -> None:
        """Serve `/v1/messages/count_tokens`."""
        self._steps.enter(visit, "chat")
        tree = strict.parse(await self._steps.body(visit))
        asked = self._messages.parse(msgspec.json.encode({**tree, "max_tokens": 1}))
        if visit.inbound.dialect_headers and isinstance(self._messages, Carries):
            asked = self._messages.carry(asked, visit.inbound.dialect_headers)
        await self._tell(visit, "input_tokens", await self._count(visit, asked, ANTHROPIC))

    async def count_input(self, visit: Visit, body: Body, dialect: str) -> None:
        """Tell the input tokens of a request that was read, as `/v1/responses/input_tokens` does."""
        count = await self._count(visit, body, dialect)
        await self._tell(visit, "input_tokens", count, {"object": "response.input_tokens"})

    async def _count(self, visit: Visit, body: Body, dialect: str) -> "Count":
        """Return the input tokens as the model that would be asked counts them."""
        ask = make_ask(visit.request_id, visit.inbound, body, visit.principal, dialect)
        ask = await self.engine.sensed(body.request, ask)
        decision = self.engine.select(body.request, ask)
        if self.counters is not None:
            told = await while_there(visit, self.counters.count(visit, body, ask, decision))
            if told is not None:
                return Count(told, is_exact=True)
        chosen = next((each for each in decision.candidates if each.id in decision.chosen), None)
        counted = None if chosen is None else chosen.n_tokens_in
        return Count(decision.input.n_tokens if counted is None else counted, is_exact=False)

    async def _tell(
        self, visit: Visit, name: str, count: "Count", more: Mapping[str, Json] = NOTHING
    ) -> None:
        headers = [JSON_TYPE, _EXACT if count.is_exact else _ESTIMATE, *self._steps.ids(visit.request_id)]
        await respond(visit.send, 200, headers, msgspec.json.encode({**more, name: count.n_tokens}))


class Count(NamedTuple):
    """A number of tokens, and who counted."""

    n_tokens: int
    is_exact: bool
    """The provider itself counted."""


def shown(visit: Visit) -> str:
    """Return the dialect of a client that asks for models, at paths that several dialects share."""
    if speaks_anthropic(visit.inbound):
        return ANTHROPIC
    google = any(name in _GOOGLES for name, _ in visit.scope["headers"])
    return GEMINI if google or visit.scope["path"].startswith("/v1beta/") else OPENAI


def whole_request(raw: bytes) -> bytes:
    """Return what `:countTokens` asks about: the contents alone, or the whole request in a member."""
    tree = strict.parse(raw)
    whole = tree.get("generateContentRequest")
    return (
        raw
        if not isinstance(whole, Mapping)
        else msgspec.json.encode({k: v for k, v in whole.items() if k != "model"})
    )
