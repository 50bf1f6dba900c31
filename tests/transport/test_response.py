"""Limits of an answer, at the ticks of a clock the test holds; parsing, split at every byte."""

import asyncio
from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import ProviderBadResponse, ProviderUnreachable, TimeoutIdle, TimeoutTotal, TimeoutTtft
from turnout.transport.connection import Connection
from turnout.transport.headers import HeaderMap
from turnout.transport.response import PooledResponse, ResponseLimits
from turnout.types.http import Timeouts


class Socket(asyncio.Transport):
    """Swallows what is written; remembers how it was treated."""

    def __init__(self):
        super().__init__()
        self.left = 0
        self.done = []

    def write(self, data):
        self.left += len(data)

    def writelines(self, pieces):
        self.left += sum(map(len, pieces))

    def get_write_buffer_size(self):
        return self.left

    def abort(self):
        self.done.append("abort")

    def close(self):
        self.done.append("close")

    def pause_reading(self):
        self.done.append("pause")

    def resume_reading(self):
        self.done.append("resume")


class Owner:
    """Takes connections back."""

    def __init__(self):
        self.done = []

    def release(self, connection):
        self.done.append("release")

    def lost(self, connection):
        self.done.append("lost")


def exchange(timeouts=Timeouts(), *, body=b"", head_only=False, **limits):  # noqa: B008 - frozen
    bounds = ResponseLimits(**limits)
    connection = Connection("api.example.com:443", bounds, 0.0)
    connection.owner = Owner()
    socket = Socket()
    connection.connection_made(socket)
    response = PooledResponse(connection, bounds, timeouts, set(), 0.0)
    connection.start(response, b"POST / HTTP/1.1\r\n\r\n", body, head_only=head_only)
    return connection, response, socket


def closed(_data):
    raise RuntimeError("the handler is closed")


ANSWER = (
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nX-Req: 1\r\nx-req: 2\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 9\r\n\r\n"
)


@given(st.lists(st.integers(1, len(ANSWER) - 1), max_size=12))
def test_any_split_of_an_answer_is_the_same_answer(cuts):
    connection, response, _ = exchange()
    owner = connection.owner
    edges = [0, *sorted(set(cuts)), len(ANSWER)]
    for start, end in pairwise(edges):
        connection.data_received(ANSWER[start:end])
    assert (response.status, b"".join(response.parts), response.line) == (200, b"hello world", None)
    assert dict(response.headers) == {"x-req": "1, 2", "transfer-encoding": "chunked"}
    assert owner.done == ["release"]


def test_a_reused_connection_carries_nothing_over():
    connection, _, _ = exchange()
    connection.data_received(ANSWER)
    again = PooledResponse(connection, ResponseLimits(), Timeouts(), set(), 0.0)
    connection.start(again, b"", b"", head_only=False)
    connection.data_received(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")
    assert (again.status, again.parts, dict(again.headers)) == (201, [b"ok"], {"content-length": "2"})
    assert again.encoding == b""


def test_bytes_nobody_asked_for_close_the_connection():
    connection, _, socket = exchange()
    owner = connection.owner
    connection.data_received(ANSWER)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert (socket.done, owner.done) == (["abort"], ["release", "lost"])


def test_a_second_answer_in_the_same_read_is_never_parsed():
    connection, response, socket = exchange()
    owner = connection.owner
    connection.data_received(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nevil"
    )
    assert (response.status, response.parts) == (200, [b"ok"])
    assert (socket.done, owner.done) == (["close"], ["lost"])


def test_a_connection_that_says_close_is_not_reused():
    connection, response, socket = exchange()
    owner = connection.owner
    connection.data_received(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    assert (response.parts, socket.done, owner.done) == ([b"ok"], ["close"], ["lost"])


def test_an_answer_before_the_request_is_sent_does_not_free_the_connection():
    connection, response, socket = exchange(body=b"x" * 100_000)
    connection.data_received(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    assert (response.status, socket.done) == (413, ["abort"])


def test_a_socket_that_closed_in_this_turn_is_stale():
    connection, _, socket = exchange()
    connection.data_received(ANSWER)
    socket.write = closed
    response = PooledResponse(connection, ResponseLimits(), Timeouts(), set(), 0.0)
    connection.start(response, b"POST / HTTP/1.1\r\n\r\n", b"", head_only=False)
    with asyncio.Runner() as runner:
        runner.run(response.head(runner.get_loop()))
    assert isinstance(response.error, ProviderUnreachable)
    assert (response.stale, connection.gone, socket.done) == (True, True, ["abort"])


def test_tiny_chunks_do_not_cost_an_object_each():
    connection, response, _ = exchange()
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 5000)
    assert response.parts == [b"ab" * 5000]


def test_reading_stops_at_the_buffer_and_goes_on_when_it_is_taken():
    connection, response, socket = exchange(buffer_bytes=1000)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n" + b"x" * 1500)
    assert socket.done == ["pause"]
    assert asyncio.run(response.chunk()) == b"x" * 1500
    assert socket.done == ["pause", "resume"]
    connection.data_received(b"x" * 1500)
    assert socket.done == ["pause", "resume"], "complete: nothing more to hold back"
    assert asyncio.run(response.read()) == b"x" * 1500


def test_a_connection_goes_back_to_the_pool_reading():
    connection, _, socket = exchange(buffer_bytes=10)
    owner = connection.owner
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n" + b"x" * 20)
    connection.data_received(b"x" * 10)
    assert (socket.done, owner.done) == (["pause", "resume"], ["release"])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 20_000,
        b"HTTP/1.1 099 Odd\r\n\r\n",
    ],
    ids=["long header", "many headers", "interim flood", "chunk extension", "trailers", "status below 100"],
)
@pytest.mark.parametrize("step", [1 << 20, 1000])
def test_framing_is_bounded(data, step):
    connection, response, socket = exchange()
    for start in range(0, len(data), step):
        if not connection.gone:
            connection.data_received(data[start : start + step])
    assert isinstance(response.error, ProviderBadResponse)
    assert socket.done == ["abort"]


def test_the_first_byte_is_waited_for_from_the_last_byte_sent():
    _, response, socket = exchange(Timeouts(first_byte_s=1.0, total_s=None), body=b"x" * 100_000)
    for now, left in ((0.0, 100_000), (0.9, 50_000), (1.8, 10), (2.7, 0)):
        socket.left = left
        response.check(now)
        assert response.error is None
    response.check(3.6)
    assert response.error is None
    response.check(3.8)
    assert isinstance(response.error, TimeoutTtft)
    assert socket.done == ["abort"]


def test_a_head_that_drips_does_not_reset_the_limit():
    connection, response, _ = exchange(Timeouts(first_byte_s=1.0, total_s=None))
    for tick in range(12):
        connection.data_received(b"HTTP/1.1 200 OK\r\n"[tick : tick + 1])
        response.check(tick * 0.1)
    assert isinstance(response.error, TimeoutTtft)


async def test_idle_counts_from_the_last_arrival_while_somebody_waits():
    connection, response, _ = exchange(Timeouts(idle_s=1.0, total_s=None), unread_s=5.0)
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    response.check(0.0)
    response.check(3.0)
    assert response.error is None, "not read for a while is not silence"
    assert await response.chunk() == b"a"
    waiting = asyncio.ensure_future(response.chunk())
    await asyncio.sleep(0)
    response.check(4.0)
    response.check(4.9)
    connection.data_received(b"1\r\nb\r\n")
    response.check(5.0)
    assert await waiting == b"b"
    waiting = asyncio.ensure_future(response.chunk())
    await asyncio.sleep(0)
    response.check(5.1)
    response.check(6.0)
    assert response.error is None
    response.check(6.1)
    with pytest.raises(TimeoutIdle, match="silent for 1 s"):
        await waiting


async def test_what_arrives_goes_straight_only_while_it_is_waited_for_and_taken():
    connection, response, _ = exchange(Timeouts(idle_s=1.0, total_s=None))
    taken = []

    def straight(data):
        if data == b"c":
            return False
        taken.append(data)
        return True

    response.straight = straight
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    read = [await response.chunk()]  # it was there before anybody waited
    waiting = asyncio.ensure_future(response.chunk())
    await asyncio.sleep(0)
    response.check(0.0)
    connection.data_received(b"1\r\nb\r\n")
    response.check(1.0)  # what went straight is an arrival, too
    connection.data_received(b"1\r\nc\r\n")
    read.append(await waiting)
    connection.data_received(b"0\r\n\r\n")
    assert (read, taken, response.taken, response.error) == ([b"a", b"c"], [b"b"], 3, None)
    assert response.straight is None, "it would keep its reader"


async def test_what_goes_straight_lets_a_connection_that_was_held_back_read_on():
    connection, response, socket = exchange(Timeouts(total_s=None), buffer_bytes=10)
    taken = []
    response.straight = lambda data: not taken.append(data)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n")
    waiting = asyncio.ensure_future(response.chunk())
    await asyncio.sleep(0)
    connection.data_received(b"x" * 20)
    assert (taken, socket.done) == ([b"x" * 20], ["pause", "resume"])
    connection.data_received(b"y" * 20)
    assert await waiting == b"y" * 20


def test_an_answer_nobody_reads_has_a_limit():
    connection, response, socket = exchange(Timeouts(idle_s=1.0, total_s=None), unread_s=5.0)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    response.check(0.0)
    response.check(4.9)
    assert response.error is None
    response.check(5.0)
    assert isinstance(response.error, TimeoutIdle)
    assert socket.done == ["abort"]


def test_the_total_holds_however_fast_the_stream_is():
    connection, response, _ = exchange(Timeouts(total_s=1.0))
    connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for tick in range(10):
        connection.data_received(b"1\r\na\r\n")
        response.check(tick * 0.1)
    assert response.error is None
    response.check(1.0)
    assert isinstance(response.error, TimeoutTotal)


def test_no_limit_means_none():
    _, response, _ = exchange(Timeouts(None, None, None, None), unread_s=1e9)
    response.check(0.0)
    response.check(1e6)
    assert response.error is None


def test_headers_are_decoded_when_first_looked_at():
    headers = HeaderMap([(b"X-A", b"1"), (b"x-b", b" \xe9 "), (b"x-a", b"2")])
    assert dict(headers) == {"x-a": "1, 2", "x-b": "é"}
    assert (headers["x-a"], headers.get("X-A"), len(headers), "x-b" in headers) == ("1, 2", None, 2, True)
    assert headers.raw[0] == (b"X-A", b"1")
    assert repr(headers) == "HeaderMap(['x-a', 'x-b'])", "names only: a value may be a secret"


def test_the_parser_is_strict_about_line_ends():
    """What the connection relies on: llhttp refuses what another parser could read differently."""
    for data in (
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1 \r\na\r\n",
    ):
        connection, response, _ = exchange()
        connection.data_received(data)
        assert isinstance(response.error, ProviderBadResponse), data
    assert issubclass(httptools.HttpParserCallbackError, httptools.HttpParserError)
