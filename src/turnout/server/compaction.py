"""`/v1/responses/compact`: a conversation made short, by the provider or here. Floor 6.

Theory of operation (ADR 152).

1. Where an upstream of the request has the endpoint itself, the request is an operation like any other: it
   passes as it came, and so does the answer, whose item only that provider can read.
2. Nobody can look into that item, so it is not asked for where guards apply.
3. Elsewhere it is refused, or, by configuration, a model is asked for notes in an ordinary request: routed,
   guarded, paid for and recorded. What it writes comes back in the same shape, readable for every upstream.
"""

from collections.abc import Awaitable, Callable
from time import time
from typing import Final

import msgspec

from turnout.codecs.base import Body, Dialect
from turnout.codecs.openai_responses import compaction
from turnout.codecs.openai_responses.seal import is_sealed
from turnout.config.responses import ResponsesConfig
from turnout.engine.engine import Engine
from turnout.errors import InvalidModelOutput, InvalidRequest, UnsupportedParameter
from turnout.server.answer import Answer, Whole
from turnout.server.asking import make_ask
from turnout.server.kept import input_items
from turnout.server.paths import RESPONSES
from turnout.server.tasks import collected
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.ask import Preferences
from turnout.types.deployment import Deployment
from turnout.types.json import Json

HERE: Final = "compacted_here"
"""Warning: the gateway, and no provider, made the conversation short."""
_OFF: Final = (
    "no model of this request makes conversations short itself; the gateway's operator can set "
    "responses.compact to own"
)
_OPAQUE: Final = "input holds an item of the kind compaction that only its provider can read"
Read = Callable[[Visit, bytes], Awaitable[tuple[bytes, Body]]]


class Compaction:
    """The endpoint at one gateway.

    Args:
        steps: What the gateway does for each of its endpoints.
        engine: Serves requests.
        dialect: Reads and writes the format.
        read: Reads a request, with everything in its place that it names by id.
    """

    def __init__(self, steps: Steps, engine: Engine, dialect: Dialect, read: Read) -> None:
        self._steps = steps
        self._engine = engine
        self._dialect = dialect
        self._read = read
        self._answer = Answer(engine, dialect, keep_alive_s=0.0)

    async def serve(self, visit: Visit) -> None:
        """Make a conversation short."""
        steps = self._steps
        steps.enter(visit, "chat")
        came = await steps.body(visit)
        raw, body = await self._read(visit, compaction.whole(came))
        if "background" in body.ours:
            raise InvalidRequest("a conversation is made short at once", param="turnout.background")
        config = steps.settings().responses
        if await self._is_native(visit, raw, body, config):
            task = compaction.as_task(body, raw)
            await steps.once(
                visit,
                came,
                compaction.PATH,
                lambda: collected(self._answer, steps.open(visit, task, RESPONSES)),
            )
        else:
            await steps.once(visit, came, compaction.PATH, lambda: self._made(visit, body, config))

    async def _is_native(self, visit: Visit, raw: bytes, body: Body, config: ResponsesConfig) -> bool:
        """Tell whether a provider is asked. Raises what a decision raises; `UnsupportedParameter`."""
        engine, task = self._engine, compaction.as_task(body, raw)
        ask = make_ask(visit.request_id, visit.inbound, task, visit.principal, RESPONSES)
        try:
            decision = engine.select(task.request, await engine.sensed(task.request, ask))
        except UnsupportedParameter:
            if config.compact == "own":
                return False
            raise UnsupportedParameter(_OFF, param="model") from None
        if config.compact == "native":
            return True
        known = engine.snapshot.deployments
        is_guarded = bool(engine.snapshot.guards.of(decision.route, ask))
        return not is_guarded and all(_is_told(known[name]) for name in decision.chosen)

    async def _made(self, visit: Visit, body: Body, config: ResponsesConfig) -> Whole:
        """Have a model make it short. Raises `UnsupportedParameter`, `InvalidModelOutput`."""
        items = input_items(body.wire.body)
        if any(item.get("type") == "compaction" and not is_sealed(_sealed(item)) for item in items):
            raise UnsupportedParameter(_OPAQUE, param="input")
        model = config.compact_with or body.request.model
        asked = self._dialect.parse(compaction.as_question(model, body.request.messages))
        prefer = body.prefer if config.compact_with is None else Preferences()
        question = msgspec.structs.replace(body, request=asked.request, wire=asked.wire, prefer=prefer)
        opened = self._steps.open(visit, question, RESPONSES)
        opened.exchange.warnings.append(HERE)
        whole = await self._answer.whole(opened)
        answer: dict[str, Json] = msgspec.json.decode(whole.body)
        notes = compaction.notes_in(answer)
        if not notes:
            raise InvalidModelOutput("the model that was to make the conversation short wrote nothing whole")
        rest = visit.request_id.removeprefix("req_")
        given: list[Json] = msgspec.to_builtins(items)
        written = compaction.write(rest, int(time()), given, notes, answer.get("usage"))
        return Whole(whole.headers, written)


def _is_told(deployment: Deployment) -> bool:
    """Tell whether a host is known to have the endpoint; others are asked only where nobody else would."""
    told = deployment.vendor.tasks or frozenset()
    return "compaction" in told or "compaction" in (deployment.model.capabilities or ())


def _sealed(item: dict[str, object]) -> object:
    return item.get("encrypted_content")
