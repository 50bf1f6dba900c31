"""Gemini's live sessions (`BidiGenerateContent`), passed through and paid for like OpenAI's. Floor 6.

Theory of operation (ADR 155).
1. Which model is meant stands in the client's first message, and a message needs a session: the key, the page
   and the configuration are judged by an HTTP answer as ever, the rest after the client's wish was granted.
   What would have been an answer then is a closing frame, whose reason begins with the class of the failure.
2. The upstream is sent the setup within the attempt, and what it says to that is waited for: another model
   may still be tried when it refuses.
3. From there on it is a session like any other (`session.py`).
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from turnout.codecs import live
from turnout.codecs.base import Body
from turnout.config.realtime import RealtimeConfig
from turnout.engine.engine import Engine
from turnout.engine.session import SessionReply
from turnout.errors import GatewayOverloaded, InvalidRequest, TurnoutError, UnsupportedParameter
from turnout.server.paths import GEMINI, Paths
from turnout.server.realtime import MIB, Realtime, asked, request_of
from turnout.server.upgrade import grant
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.ask import Preferences, Wire

if TYPE_CHECKING:
    from turnout.server.session import End
    from turnout.transport.websocket import WebSocket

SETUP_S: Final = 30.0
"""How long a client may take to say its first message."""


class Live:
    """The endpoint at one gateway.

    Args:
        engine: Serves sessions.
        steps: What the gateway does for each of its endpoints.
        realtime: Judges who may open sessions, and counts them.
    """

    def __init__(self, engine: Engine, steps: Steps, realtime: Realtime) -> None:
        self._engine = engine
        self._ids = steps.ids
        self._settings = steps.settings
        self._realtime = realtime

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths, one for each version; Google's client for JavaScript doubles the first slash."""
        for path in live.PATHS:
            paths.add_root(path, self._serve, ("GET",), GEMINI)
            paths.add_root(f"/{path}", self._serve, ("GET",), GEMINI)

    async def _serve(self, visit: Visit) -> None:
        if self._settings().realtime.key_in_query:
            _take_key(visit)
        offer, config = self._realtime.entered(visit)
        if visit.scope["query_string"]:
            raise UnsupportedParameter("a session's address has no query; keys go in x-goog-api-key")
        with self._realtime.place(visit, config):
            drain, limit = asyncio.Event(), int(config.max_message_mib * MIB)
            client = grant(visit.scope, offer, self._ids(visit.request_id), limit, drain.set)
            await self._carry(visit, client, config, drain)

    async def _carry(
        self, visit: Visit, client: "WebSocket", config: RealtimeConfig, drain: asyncio.Event
    ) -> None:
        """Hold a session from its first message to its end. Fails in nothing but being cancelled."""
        from turnout.server.session import End  # noqa: PLC0415  an extra
        from turnout.transport.websocket import GOING_AWAY, Closed  # noqa: PLC0415

        try:
            end = await self._held(visit, client, config, drain)
        except Closed:
            return  # the client left before anything was opened
        except TurnoutError as error:
            end = End.of(error)
        except asyncio.CancelledError:
            client.end(GOING_AWAY, GatewayOverloaded.row.word)
            raise
        visit.error = end.error
        told = end.reason if end.error is None else f"{end.error.row.word}: {end.error.message}"
        client.end(end.code, told)
        await client.closed()

    async def _held(
        self, visit: Visit, client: "WebSocket", config: RealtimeConfig, drain: asyncio.Event
    ) -> "End":
        from turnout.server.session import Session  # noqa: PLC0415  an extra

        try:
            async with asyncio.timeout(SETUP_S):
                first = await client.receive()
        except TimeoutError:
            raise InvalidRequest(f"no setup came within {SETUP_S:g} s", param=live.SETUP) from None
        tree, model = live.read_setup(first.data)
        body = Body(request_of(model, live.WIRE, live.CODEC), Preferences(), Wire(live.WIRE, tree))
        opened = self._engine.open(body.request, asked(visit, body, config))
        visit.exchange = opened.exchange
        async with opened as reply:
            if not isinstance(reply, SessionReply):
                raise UnsupportedParameter("this route's answers are looked at; sessions cannot be")
            refused = partial(self._realtime.refused, visit)
            end = await Session(client, reply, opened.exchange, config, drain, refused).run()
            opened.exchange.outcome_error = None if end.error is None else end.error.row.word
        return end


def _take_key(visit: Visit) -> None:
    """Read the key out of the address, and take it away: nothing after this sees it there."""
    pairs = parse_qsl(visit.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    visit.inbound.keys = (*visit.inbound.keys, *(value for name, value in pairs if name == "key"))
    left = [(name, value) for name, value in pairs if name != "key"]
    visit.scope["query_string"] = urlencode(left).encode()
