"""What a request leaves on the path, and the line that is made of it beside the path."""

import json
from datetime import UTC, datetime

import msgspec

from turnout.layers.trace import AccessEvent
from turnout.server.logs.access import LOGGER, MOST_PATH, Access, Served, heard
from turnout.server.logs.line import Line

EVENT = AccessEvent(
    request_id="req_1", at=datetime(2026, 11, 22, tzinfo=UTC), endpoint="chat", dialect="openai_chat",
    route="pool", model="p/one", provider="p", n_attempts=1, n_input=12, n_output=30, cost_nusd=1200,
    total_s=0.02, overhead_s=0.001,
)  # fmt: skip
FAILED = msgspec.structs.replace(
    EVENT, error="timeout", trace_id="0af7", n_fallbacks=2, cache="miss", key_id="k"
)


async def left(event: AccessEvent | None, path: str, status: int, redact=str) -> Served:
    """Return what a request leaves whose answer has 99 bytes."""
    told: list[Served] = []

    async def app(scope: object, receive: object, send) -> None:
        if event is not None:
            heard(event)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 98, "more_body": True})
        await send({"type": "http.response.body", "body": b"x"})

    async def send(message: object) -> None:
        """Take it."""

    await Access(app, told.append, redact)({"type": "http", "method": "POST", "path": path}, None, send)
    (one,) = told
    return msgspec.structs.replace(one, at=1.5, duration_s=0.0123456789)


async def test_a_request_becomes_a_line_when_it_is_written_and_not_before() -> None:
    looked: list[str] = []
    served = await left(EVENT, "/v1/x", 200, lambda path: looked.append(path) or path)
    assert looked == []
    assert served.line() == Line(
        at=1.5, level="info", logger=LOGGER, message="request", request_id="req_1", method="POST",
        path="/v1/x", status=200, duration_s=0.012346, bytes_out=99, route="pool", model="p/one",
        provider="p", attempts=1, tokens_in=12, tokens_out=30, cost_usd=1200 * 1e-9, overhead_s=0.001,
    )  # fmt: skip


async def test_its_json_is_that_of_its_line() -> None:
    asked = ((EVENT, "/v1/x", 200), (FAILED, '/"\n', 504), (EVENT, "/a", 404), (None, "/a", 401))
    for each in asked:
        served = await left(*each, redact=str.upper)
        assert json.loads(served.json()) == json.loads(served.line().json())


async def test_the_path_of_what_is_not_found_is_the_clients_own_text_and_left_out() -> None:
    served = await left(None, "/secret-in-a-path", 404)
    assert served.line() == Line(
        at=1.5, level="info", logger=LOGGER, message="request", method="POST", status=404,
        duration_s=0.012346, bytes_out=99,
    )  # fmt: skip


async def test_what_waits_for_its_line_holds_the_beginning_of_an_address_alone() -> None:
    assert (await left(None, "/" + "x" * 32_000, 200)).path == "/" + "x" * (MOST_PATH - 1)
