"""What a request leaves on the path, and the line that is made of it beside the path."""

from datetime import UTC, datetime

from turnout.layers.trace import AccessEvent
from turnout.server.logs.access import LOGGER, MOST_PATH, Access, Served
from turnout.server.logs.line import Line

EVENT = AccessEvent(
    request_id="req_1", at=datetime(2026, 11, 22, tzinfo=UTC), endpoint="chat", dialect="openai_chat",
    route="pool", model="p/one", provider="p", n_attempts=1, n_input=12, n_output=30, cost_nusd=1200,
    total_s=0.02, overhead_s=0.001,
)  # fmt: skip


def test_a_request_becomes_a_line_when_it_is_written_and_not_before() -> None:
    looked: list[str] = []
    served = Served(
        1.5, lambda path: looked.append(path) or path, EVENT, None, "POST", "/v1/x", 200, 0.01, 99
    )
    assert looked == []
    assert served.line() == Line(
        at=1.5, level="info", logger=LOGGER, message="request", request_id="req_1", method="POST",
        path="/v1/x", status=200, duration_s=0.01, bytes_out=99, route="pool", model="p/one", provider="p",
        attempts=1, tokens_in=12, tokens_out=30, cost_usd=1200 * 1e-9, overhead_s=0.001,
    )  # fmt: skip


def test_the_path_of_what_is_not_found_is_the_clients_own_text_and_left_out() -> None:
    served = Served(1.5, str, None, "req_2", "GET", "/secret-in-a-path", 404, 0.01, 9)
    assert served.line() == Line(
        at=1.5, level="info", logger=LOGGER, message="request", request_id="req_2", method="GET", status=404,
        duration_s=0.01, bytes_out=9,
    )  # fmt: skip


async def test_what_waits_for_its_line_holds_the_beginning_of_an_address_alone() -> None:
    told: list[Served] = []

    async def app(scope: object, receive: object, send: object) -> None:
        """Answer nothing."""

    scope = {"type": "http", "method": "GET", "path": "/" + "x" * 32_000}
    await Access(app, told.append, str)(scope, None, None)
    assert [each.path for each in told] == ["/" + "x" * (MOST_PATH - 1)]
