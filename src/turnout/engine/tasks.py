"""Replies of operations beside conversations and vectors, and what a plan means for them. Floor 4."""

from collections.abc import AsyncIterator, Awaitable, Callable

from turnout import plan as plans
from turnout.codecs.base import Codec, Encoded, Performs, TaskTap
from turnout.engine.exchange import Call
from turnout.engine.reply import Reply
from turnout.errors import ProviderBadResponse, TurnoutError, UnsupportedParameter
from turnout.transport.base import Response
from turnout.types.chat import ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.event import Event
from turnout.types.http import HttpResponse
from turnout.types.task import TaskRequest, TaskResponse

MAX_COLLECTED = 64 * 1024 * 1024
"""Bytes of a stream that is read to its end at once."""


class _Bytes(Reply):
    """An answer that is neither a conversation nor vectors."""

    __slots__ = ()

    async def response(self) -> ChatResponse:
        """Refuse: it is no conversation."""
        raise TypeError("the reply of an operation has task(), not response()")

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: it is no conversation."""
        raise TypeError("the reply of an operation has task(), not events()")


class TaskReply(_Bytes):
    """A complete answer."""

    __slots__ = ("_response",)

    def __init__(self, deployment: Deployment, response: TaskResponse) -> None:
        super().__init__(deployment)
        self._response = response
        self.usage = response.usage
        self.upstream_id = response.upstream_id
        self.finish = "stop"
        self.done = True

    async def task(self) -> TaskResponse:
        """Return the answer."""
        return self._response


class TaskStream(_Bytes):
    """An answer that passes in pieces while a tap reads along."""

    __slots__ = ("_content_type", "_held", "_response", "_tap")

    def __init__(
        self, deployment: Deployment, response: Response, tap: TaskTap, held: bytes, content_type: str
    ) -> None:
        super().__init__(deployment)
        self._response = response
        self._tap = tap
        self._held = held
        self._content_type = content_type

    @property
    def ended(self) -> bool:
        """Whether the last event, or the last byte, is among what was handed out."""
        return self._tap.done

    @property
    def content_type(self) -> str:
        """The upstream's own."""
        return self._content_type

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the upstream's bytes; the ones that committed come first."""
        return self

    def __aiter__(self) -> "TaskStream":
        return self

    async def __anext__(self) -> bytes:
        if self._held:
            held, self._held = self._held, b""
            self._see()
            return held
        while not self.done:
            try:
                data = await self._response.chunk()
                out = self._tap.feed(data) if data else self._tap.end()
            except TurnoutError as error:
                self.failure = error
                raise
            self.done = not data
            self._see()
            if out:
                return out
        raise StopAsyncIteration

    def _see(self) -> None:
        self.usage = self._tap.usage
        if self._tap.done:
            self.finish = "stop"

    async def task(self) -> TaskResponse:
        """Read to the end. Raises `ProviderBadResponse` for more than can be held."""
        body = bytearray()
        async for piece in self:
            body += piece
            if len(body) > MAX_COLLECTED:
                raise ProviderBadResponse(f"the answer is longer than {MAX_COLLECTED} bytes")
        return TaskResponse(body=bytes(body), content_type=self._content_type)


async def perform(
    codec: Codec,
    request: TaskRequest,
    call: Call,
    send: Callable[[Encoded], Awaitable[Response]],
    check_time: Callable[[], None],
) -> Reply:
    """Make the call and wait for its answer, or for the first piece of one that passes as it comes."""
    deployment, original = call.deployment, call.exchange.original
    if not isinstance(codec, Performs):
        raise UnsupportedParameter(f"{deployment.model.id} has no {request.path}", param="model")
    response = await send(codec.encode_task(request, deployment))
    if response.status // 100 != 2:
        raise codec.error(HttpResponse(response.status, response.headers, await response.read()))
    content_type = response.headers.get("content-type", "")
    tap = codec.task_tap(content_type, request)
    if tap is None:
        http = HttpResponse(response.status, response.headers, await response.read())
        asked = original if isinstance(original, TaskRequest) else request
        return TaskReply(deployment, codec.decode_task(http, asked, deployment))
    held = b""
    while not held:
        data = await response.chunk()
        held = tap.feed(data) if data else tap.end()
        check_time()
        if not data and not held:
            raise ProviderBadResponse("the upstream's answer ended without content")
    return TaskStream(deployment, response, tap, held, content_type)


def one_by_one(plan: plans.Plan) -> plans.Plan:
    """Return a plan without what reads answers: whoever it names is asked in turn, until one answers.

    Cascades and votes compare what models wrote; there is nothing of the kind in vectors or pictures.
    """
    if not any(isinstance(node, plans.Cascade | plans.Fanout) for node in plans.walk(plan)):
        return plan
    return plans.Sequence(tuple(plans.Try(name) for name in dict.fromkeys(plans.deployments(plan))))
