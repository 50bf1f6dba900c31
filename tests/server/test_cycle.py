"""One connection, bytes in and bytes out: how answers are framed and written."""

import asyncio
import gc

import pytest
import uvicorn
from uvicorn.server import ServerState

from turnout.server.cycle import Cycle, head_block
from turnout.server.protocol import WireLimits, protocol_for, sweep_all

ASKED = b"POST /v1/chat HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nbody"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


class Socket(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 4000)})
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connect(*parts: dict):
    """Return a connection to an application that sends these parts."""

    async def app(scope, receive, send) -> None:
        received.append((scope["method"], scope["path"], scope["query_string"]))
        message = await receive()
        received.append(message["body"])
        for part in parts:
            await send(part)

    received: list = []
    config = uvicorn.Config(app, http=protocol_for(WireLimits()), lifespan="off", ws="none", log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    protocol = config.http_protocol_class(config=config, server_state=state, app_state={})
    socket = Socket()
    protocol.connection_made(socket)
    return protocol, socket, received


async def exchange(data: bytes, *parts: dict) -> Socket:
    """Send bytes to a fresh connection, let its application run, return its socket."""
    protocol, socket, _ = connect(*parts)
    protocol.data_received(data)
    await settle()
    return socket


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def body(data: bytes, *, more: bool = False) -> dict:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_head_and_body_leave_in_one_write() -> None:
    socket = await exchange(ASKED, START, body(b"ok"))
    assert socket.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\nok"]


async def test_a_stream_is_chunked_and_its_end_follows_the_last_piece() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
    socket = await exchange(ASKED, start, body(b"one", more=True), body(b"two"))
    assert socket.written == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"3\r\ntwo\r\n0\r\n\r\n",
    ]


async def test_an_answer_to_head_has_no_body() -> None:
    socket = await exchange(b"HEAD / HTTP/1.1\r\nhost: here\r\n\r\n", START, body(b""))
    assert socket.written == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n"]


@pytest.mark.parametrize(
    "asked", [b"GET / HTTP/1.0\r\n\r\n", ASKED.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost")]
)
async def test_a_client_that_wants_no_more_is_told_and_closed(asked: bytes) -> None:
    socket = await exchange(asked, START, body(b"ok"))
    assert (b"\r\nconnection: close\r\n" in socket.written[0], socket.closed) == (True, True)


async def test_a_connection_serves_one_request_after_the_other() -> None:
    protocol, socket, received = connect(START, body(b"ok"))
    for _ in range(2):
        protocol.data_received(ASKED)
        await settle()
    assert (len(socket.written), socket.closed) == (2, False)
    assert received == [("POST", "/v1/chat", b""), b"body"] * 2


async def test_pipelined_requests_are_answered_in_turn() -> None:
    protocol, socket, received = connect(START, body(b"ok"))
    protocol.data_received(ASKED + ASKED.replace(b"/v1/chat", b"/v1/next?a=%20b"))
    for _ in range(3):
        await settle()
    assert received == [("POST", "/v1/chat", b""), b"body", ("POST", "/v1/next", b"a=%20b"), b"body"]
    assert len(socket.written) == 2


async def test_a_request_target_is_split_and_its_path_unquoted() -> None:
    _, _, received = got = connect(START, body(b"ok"))
    got[0].data_received(b"GET http://here/a%2Fb?c=d HTTP/1.1\r\nhost: here\r\n\r\n")
    await settle()
    assert received[0] == ("GET", "/a/b", b"c=d")


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_it() -> None:
    protocol, socket, received = connect(START, body(b"ok"))
    head, _, rest = ASKED.replace(b"\r\nhost", b"\r\nexpect: 100-continue\r\nhost").partition(b"\r\n\r\n")
    protocol.data_received(head + b"\r\n\r\n")
    await settle()
    assert socket.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    protocol.data_received(rest)
    await settle()
    assert received[1] == b"body"


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"\x7f"])
async def test_a_header_with_a_control_character_is_never_sent(value: bytes) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x", value)]}
    socket = await exchange(ASKED, start, body(b"ok"))
    assert (socket.written, socket.closed) == ([], True)


def test_every_other_byte_may_stand_in_a_header() -> None:
    value = bytes({*range(256)} - {*range(9), *range(10, 32), 127})
    assert head_block([(b"x", value)]) == b"x: " + value + b"\r\n\r\n"


@pytest.mark.parametrize("data", [b"o", b"okay"])
async def test_a_body_of_another_length_than_promised_closes_the_connection(data: bytes) -> None:
    socket = await exchange(ASKED, START, body(data))
    assert socket.closed


@pytest.mark.parametrize("parts", [(body(b"ok"),), (START, START), (START, body(b"ok"), body(b"ok"))])
async def test_an_application_out_of_step_closes_or_fails(parts: tuple[dict, ...]) -> None:
    socket = await exchange(ASKED, *parts)
    assert socket.closed or socket.written[0].startswith(b"HTTP/1.1 500 ")


async def test_nothing_of_what_was_answered_waits_for_the_cyclic_collector() -> None:
    gc.collect()
    before = n_cycles()
    gc.disable()
    try:
        protocol, _, received = connect(START, body(b"ok"))
        for _ in range(3):
            protocol.data_received(ASKED)
            await settle()
        held = n_cycles() - before
        protocol.connection_lost(None)
        del protocol
        left = n_cycles() - before
    finally:
        gc.enable()
    assert (len(received), held, left) == (6, 1, 0)


def n_cycles() -> int:
    return sum(isinstance(each, Cycle) for each in gc.get_objects())


@pytest.mark.parametrize(
    ("asked", "written", "taken"),
    [
        (ASKED, b"HTTP/1.1 200 OK\r\ndate: today\r\nx: y\r\ncontent-length: 2\r\n\r\nok", True),
        (
            ASKED.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost"),
            b"HTTP/1.1 200 OK\r\ndate: today\r\nx: y\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
            True,
        ),
        (b"HEAD / HTTP/1.1\r\nhost: here\r\n\r\n", b"", False),
    ],
)
async def test_a_complete_answer_at_once_is_what_its_parts_would_be(
    asked: bytes, written: bytes, taken: bool
) -> None:
    protocol, socket, _ = connect()
    protocol.data_received(asked)
    protocol.cycle.finish()
    assert protocol.cycle.answer(200, [(b"x", b"y")], b"ok") is taken
    assert b"".join(socket.written) == written
    assert (protocol.cycle.answer(200, [], b""), protocol.cycle.push(b"")) == (False, False)


async def test_the_sweep_closes_a_connection_that_idles_too_long() -> None:
    protocol, socket, _ = connect(START, body(b"ok"))
    protocol.data_received(ASKED)
    await settle()
    now = asyncio.get_running_loop().time()
    sweep_all([protocol], now + protocol.keep_alive_s - 0.1)
    assert not socket.closed
    sweep_all([protocol], now + protocol.keep_alive_s + 1)
    assert socket.closed
