"""A transport that plays a script instead of using the network: the fake at the network's seam. Floor 6.

Each upstream host has a list of `Turn`s; the n-th call to it plays the n-th, and the last one repeats.
Answers are in Anthropic's wire format, whose frames are the strictest of the three.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.transport.base import Authorise
from turnout.transport.guard import Egress
from turnout.types.http import HttpRequest, Timeouts


class Turn(Struct, frozen=True, kw_only=True):
    """What one call meets."""

    words: tuple[str, ...] = ("hello", " world")
    """Text deltas of a stream; joined for a plain answer."""
    head_s: float = 0.0
    """Wait before the head of the answer."""
    gap_s: float = 0.0
    """Wait before each text delta."""
    status: int = 200
    headers: Mapping[str, str] = {}
    error: str = "overloaded_error"
    """Anthropic's word for a status that is not 200."""
    message: str = "scripted"
    raises: TurnoutError | None = None
    """Raised instead of an answer."""
    cut_after: int | None = None
    """The stream ends without its terminal event after so many deltas."""
    model: str = "scripted"
    """What the answer says that it is from."""


class ScriptedTransport:
    """Plays turns.

    Attributes:
        sent: Every request, in order.
        n_open: Responses not closed yet.
        log: (clock reading, host, `send` | `head` | `close`) in order.
    """

    def __init__(self, script: Mapping[str, list[Turn]]) -> None:
        self._script = script
        self._n: dict[str, int] = {}
        self.sent: list[HttpRequest] = []
        self.n_open = 0
        self.log: list[tuple[float, str, str]] = []

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> "ScriptedResponse":
        """Play the next turn of the request's host."""
        host = urlsplit(request.url).hostname or ""
        turns = self._script[host]
        n = self._n[host] = self._n.get(host, 0) + 1
        turn = turns[min(n, len(turns)) - 1]
        self.sent.append(request)
        self.note(host, "send")
        await asyncio.sleep(turn.head_s)
        if turn.raises is not None:
            raise turn.raises
        self.n_open += 1
        self.note(host, "head")
        is_stream = msgspec.json.decode(request.body).get("stream", False)
        return ScriptedResponse(self, host, turn, is_stream=is_stream)

    def calls(self, host: str) -> int:
        """Return how often a host was asked."""
        return self._n.get(host, 0)

    def allow(self, egress: Egress) -> None:
        """Accept any destination: nothing is dialled."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""

    def note(self, host: str, what: str) -> None:
        """Add a line to the log."""
        self.log.append((asyncio.get_running_loop().time(), host, what))


class ScriptedResponse:
    """One scripted answer."""

    def __init__(self, transport: ScriptedTransport, host: str, turn: Turn, *, is_stream: bool) -> None:
        self._transport = transport
        self._host = host
        self._turn = turn
        self.status = turn.status
        kind = "text/event-stream" if is_stream and turn.status == 200 else "application/json"
        self.headers: Mapping[str, str] = {"content-type": kind, **turn.headers}
        self._frames = _frames(turn)
        self._at = 0
        self._is_closed = False

    async def read(self) -> bytes:
        """Return the whole body."""
        turn = self._turn
        if turn.status != 200:
            return msgspec.json.encode(
                {"type": "error", "error": {"type": turn.error, "message": turn.message}}
            )
        await asyncio.sleep(turn.gap_s * len(turn.words))
        content = [{"type": "text", "text": "".join(turn.words)}]
        usage = {"input_tokens": 10, "output_tokens": len(turn.words)}
        return msgspec.json.encode(
            _message(model=turn.model, content=content, stop_reason="end_turn", usage=usage)
        )

    async def chunk(self) -> bytes:
        """Return the next frame."""
        if self._at >= len(self._frames):
            return b""
        frame = self._frames[self._at]
        self._at += 1
        if b"text_delta" in frame:
            await asyncio.sleep(self._turn.gap_s)
        return frame

    def close(self) -> None:
        """Release the answer."""
        if not self._is_closed:
            self._is_closed = True
            self._transport.n_open -= 1
            self._transport.note(self._host, "close")


def _message(**fields: object) -> dict[str, object]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "stop_sequence": None, **fields}


def _frames(turn: Turn) -> list[bytes]:
    usage = {"input_tokens": 10, "output_tokens": 0}
    start = _message(model=turn.model, content=[], stop_reason=None, usage=usage)
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas: list[dict[str, object]] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in turn.words
    ]
    close: list[dict[str, object]] = [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": len(turn.words)},
        },
        {"type": "message_stop"},
    ]
    events: list[dict[str, object]] = [{"type": "message_start", "message": start}, block]
    events += deltas if turn.cut_after is None else deltas[: turn.cut_after]
    events += close if turn.cut_after is None else []
    return [
        f"event: {event['type']}\ndata: {msgspec.json.encode(event).decode()}\n\n".encode()
        for event in events
    ]
