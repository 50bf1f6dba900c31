"""Reads what the engine must know from a stream of responses that passes through as bytes. Floor 2.

Theory of operation.

1. Once content has passed, a read is looked at with substring searches and handed on: no delta is parsed.
   Only reads that may hold something to know (`_is_marked`) are cut into frames. A mark cannot hide: inside a
   JSON text its quotes would be escaped, and the start of an escape that could spell a letter is a mark
   itself. A mark that means nothing costs one parse.
2. Frames leave as they came, except that a `turnout` member is taken out of a frame and of its response
   (SECURITY.md S-45), and that a `[DONE]`, which some hosts add and no client of this format knows, is not.
3. Content is a delta, or an item that is whole. Before it a failure is raised, so that another model may be
   asked; after it the frame passes, being what the format has for this, and `error` is set.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Struct

from turnout.codecs.openai_errors import unreadable
from turnout.codecs.openai_responses.errors import error_of
from turnout.codecs.openai_responses.finish import has_calls, has_refusal, read_finish
from turnout.codecs.openai_responses.stream import FAILURES, TERMINAL
from turnout.codecs.openai_responses.usage import read_usage
from turnout.codecs.openai_responses.wire import Answer, read, write
from turnout.codecs.sse import Frame
from turnout.codecs.through import FrameTap

_OPENING = frozenset({"response.created", "response.in_progress", "response.queued"})


class _Seen(Struct, frozen=True):
    """Of a frame, only what the engine needs."""

    type: str = ""
    response: Answer | None = None
    error: object = None
    turnout: object = UNSET


_seen = msgspec.json.Decoder(_Seen).decode


class OpenAIResponsesTap(FrameTap):
    """Pass-through reader of one stream."""

    __slots__ = ()
    _last = "its answer did"

    def _is_marked(self, data: bytes) -> bool:
        return (
            b'"response.completed"' in data
            or b'"response.incomplete"' in data
            or b'"response.failed"' in data
            or b'"response.done"' in data
            or b'"error"' in data
            or b'"turnout"' in data
            or b"[DONE]" in data
            or b"\\u00" in data
        )

    def _pass(self, frame: Frame) -> bytes:
        data = frame.data
        if not data:
            return frame.raw
        if data == b"[DONE]" or self.done:
            return b""
        try:
            seen = _seen(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(error) from error
        self._look(seen, data, frame.event)
        forged = seen.turnout is not UNSET or (
            seen.response is not None and seen.response.turnout is not UNSET
        )
        return _unbranded(seen.type, data) if forged else frame.raw

    def _look(self, seen: _Seen, data: bytes, event: str) -> None:
        kind, answer = seen.type, seen.response
        if kind.endswith(".delta") or kind == "response.output_item.done":
            self.has_content = True
        elif kind in _OPENING and answer is not None:
            self.upstream_id, self.model = self.upstream_id or answer.id, self.model or answer.model
        elif kind in TERMINAL:
            self._finish(answer or Answer())
        elif kind in FAILURES or event == "error" or (not kind and seen.error is not None):
            self._fail(error_of(answer.error if answer is not None else read(data)))
            self.done = kind != "error"

    def _finish(self, answer: Answer) -> None:
        if answer.error is not None:
            self._fail(error_of(answer.error))
        self.done = True
        self.upstream_id, self.model = self.upstream_id or answer.id, self.model or answer.model
        self.usage = None if answer.usage is None else read_usage(answer.usage)
        self.finish, _ = read_finish(answer, calls=has_calls(answer), refused=has_refusal(answer))


def _unbranded(kind: str, data: bytes) -> bytes:
    tree = {key: value for key, value in read(data).items() if key != "turnout"}
    response = tree.get("response")
    if isinstance(response, Mapping):
        tree["response"] = {key: value for key, value in response.items() if key != "turnout"}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), write(tree))
