"""Cohere's and Ollama's own formats, for their clients. Floor 6.

Cohere: `/v2/chat` and `/v2/embed`; `/v2/rerank` is an operation (`tasks.py`). Ollama: `/api/chat`,
`/api/generate`, `/api/embed`, and what its clients ask before they begin. They are dialects as any other: an
upstream of the same format gets a request as it came, and any other a translation.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

import msgspec

from turnout.codecs.base import Dialect, Embeds
from turnout.server.http import JSON_TYPE, respond
from turnout.server.listing import Listing
from turnout.server.paths import COHERE, GENERATE, OLLAMA, Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit

Endpoint = Callable[[Visit], Awaitable[None]]


class Natives:
    """The endpoints at one gateway."""

    def __init__(self, steps: Steps, dialects: Mapping[str, Dialect], listing: Listing) -> None:
        self._steps = steps
        self._dialects = dialects
        self._listing = listing

    def mount(self, paths: Paths[Visit]) -> frozenset[Endpoint]:
        """Serve the paths; return the endpoints that ask models."""
        asks: set[Endpoint] = set()
        for name, path in ((COHERE, "/chat"), (OLLAMA, "/chat"), (GENERATE, "/generate")):
            chat = self._chat(name)
            paths.add("POST", path, chat, name)
            asks.add(chat)
        for name in (COHERE, OLLAMA):
            embed = self._embed(name)
            paths.add("POST", "/embed", embed, name)
            asks.add(embed)
        paths.add("GET", "/tags", self._tags, OLLAMA)
        paths.add("GET", "/version", self._version, OLLAMA)
        return frozenset(asks)

    def _chat(self, name: str) -> Endpoint:
        dialect, steps = self._dialects[name], self._steps

        async def serve(visit: Visit) -> None:
            steps.enter(visit, "chat")
            raw = await steps.body(visit)
            await steps.serve(visit, raw, dialect.parse(raw), name)

        return serve

    def _embed(self, name: str) -> Endpoint:
        dialect, steps = self._dialects[name], self._steps
        assert isinstance(dialect, Embeds)

        async def serve(visit: Visit) -> None:
            steps.enter(visit, "embeddings")
            raw = await steps.body(visit)
            await steps.embed(visit, raw, dialect.parse_embed(raw), name)

        return serve

    async def _tags(self, visit: Visit) -> None:
        self._steps.enter(visit, "models")
        await self._tell(visit, self._listing.models(visit.principal, OLLAMA))

    async def _version(self, visit: Visit) -> None:
        self._steps.enter(visit, "models")
        await self._tell(visit, msgspec.json.encode({"version": version("turnout")}))

    async def _tell(self, visit: Visit, body: bytes) -> None:
        await respond(visit.send, 200, [JSON_TYPE, *self._steps.ids(visit.request_id)], body)
