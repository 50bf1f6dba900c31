"""Every kind of bytes in every kind of pieces: what ours makes of them is what uvicorn's makes of them.

A fixed seed, and connections without sockets, so that hundreds cost a second; `tests/proofs` runs thousands.
"""

import asyncio
import re
from itertools import pairwise
from random import Random

import uvicorn
from uvicorn.server import ServerState

from tests.server.fronts import AFTER, END, Echo, post
from tests.server.test_cycle import Socket
from turnout.server.http import HEAD
from turnout.server.protocol import WireLimits, protocol_for

WORDS = (
    *(b"content-length: 3", b"content-length: 5", b"Content-Length:3", b"transfer-encoding: chunked"),
    *(b"Transfer-Encoding: Chunked", b"connection: close", b"connection: keep-alive", b"x-a: b", b"x_a: c"),
    *(b"expect: 100-continue", b"host: y", b"authorization: Bearer k", b"content-type: application/json"),
    *(b"upgrade: websocket", b"x-a: b, c", b"accept: */*", b"X-A:\tb"),
)
BODIES = (
    b"",
    b"",
    b"abc",
    b"abcde",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    AFTER,
)
NOISE = (
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\r\n",
    b"\r\n\r\n",
    b"chunked",
    b"0",
    b"1",
    b",",
    b"\x80",
    b";",
)


def made(draw: Random) -> bytes:
    """Return some requests, most of them sound."""
    out = b""
    for _ in range(draw.randint(1, 3)):
        lines = [draw.choice(WORDS) for _ in range(draw.choice((0, 1, 2, 2, 3)))]
        method, body = draw.choice((b"POST", b"POST", b"GET", b"HEAD", b"PUT")), draw.choice(BODIES)
        if draw.random() < 0.6:  # sound framing
            lines = [line for line in lines if b"ength" not in line and b"coding" not in line.lower()]
            chunked = body.endswith(b"0\r\n\r\n")
            lines.append(b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body))
        version = draw.choice((b"1.1", b"1.1", b"1.1", b"1.0"))
        first = method + b" /" + draw.choice((b"a", b"a?b=c", b"a%20b", b"deaf")) + b" HTTP/" + version
        out += b"\r\n".join([first, b"host: x", *lines]) + END + body
    for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
        at = draw.randrange(len(out))
        out = out[:at] + draw.choice(NOISE) + out[at + draw.choice((0, 0, 1)) :]
    return out


def pieces_of(data: bytes, draw: Random) -> list[bytes]:
    places = [draw.randrange(len(data) + 1) for _ in range(draw.choice((0, 1, 3, 20)))]
    cuts = sorted({0, len(data), *places})
    return [data[one:two] for one, two in pairwise(cuts)]


class Kind:
    """Connections of one kind without sockets."""

    def __init__(self, kind: str) -> None:
        http = protocol_for(WireLimits()) if kind == "ours" else "httptools"
        self.app, self._state = Echo(), ServerState
        self.config = uvicorn.Config(self.app, http=http, lifespan="off", ws="none", log_config=None)
        self.config.load()

    async def run(
        self, pieces: list[bytes | tuple[bytes, ...]], *, apart: bool = False
    ) -> tuple[list, list[bytes], bool]:
        """Feed pieces; return what the application saw, the status lines, and whether it was closed.

        With `apart` each piece comes when the one before was answered; those of a tuple follow at once.
        """
        app, state, socket = self.app, self._state(), Socket()
        app.seen = []
        protocol = self.config.http_protocol_class(config=self.config, server_state=state, app_state={})
        protocol.connection_made(socket)
        for piece in pieces:
            if socket.closed:
                break
            for each in piece if isinstance(piece, tuple) else (piece,):
                protocol.data_received(each)
            for _ in range(4 if apart else 1):
                await asyncio.sleep(0)
        for _ in range(12):
            await asyncio.sleep(0)
        seen, closed = app.seen, socket.closed
        protocol.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not state.tasks
        return seen, re.findall(rb"HTTP/1.1 (\d+)", b"".join(socket.written)), closed


def plain(seen: list) -> list:
    """Leave out what only uvicorn passes on: names with an underscore."""
    return [(s.method, s.path, s.query, [h for h in s.headers if "_" not in h[0]], s.body) for s in seen]


async def fuzz(n: int, seed: int) -> tuple[int, int]:
    """Compare; return how many requests were served and how many inputs refused."""
    draw, ours, theirs = Random(seed), Kind("ours"), Kind("uvicorn")
    n_served = n_refused = 0
    for _ in range(n):
        data = made(draw)
        whole = await ours.run([data])
        cut = await ours.run(pieces_of(data, draw))
        assert cut[2] == whole[2], data
        n_both = min(len(cut[0]), len(whole[0]))  # what came before broken bytes may be served or not
        assert cut[0][:n_both] == whole[0][:n_both], data
        assert b"400" in whole[1] or cut[0] == whole[0], data
        seen, answers, _ = await theirs.run(pieces_of(data, draw))
        assert plain(whole[0]) == plain(seen)[: len(whole[0])], data
        if b"400" in answers:  # what uvicorn refuses, ours refuses
            assert whole[2], data
        n_served += len(whole[0])
        n_refused += b"400" in whole[1]
    return n_served, n_refused


async def test_no_bytes_in_no_pieces_mean_to_us_what_they_do_not_mean_to_uvicorn() -> None:
    n_served, n_refused = await fuzz(600, 20261122)
    assert (n_served > 300, n_refused > 100) == (True, True)


def alike(draw: Random) -> list[bytes]:
    """Return requests that begin alike: other bodies, other digits, and now and then something broken."""
    lines = [draw.choice(WORDS) for _ in range(draw.choice((0, 1, 2)))]
    lines = [each for each in lines if b"ength" not in each and b"coding" not in each.lower()]
    lines.insert(draw.randrange(len(lines) + 1), draw.choice((b"content-length: @", b"Content-Length:@")))
    first = b"POST /" + draw.choice((b"a", b"a?b=c", b"a%20b", b"deaf")) + b" HTTP/1.1"
    head = b"\r\n".join([first, b"host: x", *lines]) + END
    out = []
    for _ in range(6):
        body = draw.choice(BODIES) + b"x" * draw.choice((0, 0, 1, 200))
        digits = (
            b"%d" % len(body) if draw.random() < 0.85 else draw.choice((b"", b"1", b"0" + b"%d" % len(body)))
        )
        data = head.replace(b"@", digits) + body
        if draw.random() < 0.15:
            at = draw.randrange(len(data))
            data = data[:at] + draw.choice(NOISE) + data[at + draw.choice((0, 0, 1)) :]
        if draw.random() < 0.1:
            data += draw.choice((AFTER, b"G", b"\r\n"))
        out += [data] if draw.random() < 0.9 else pieces_of(data, draw)
    return out


async def compare_alike(n: int, seed: int) -> int:
    """Compare what is told again by its bytes with what a parser tells; return how many were served."""
    draw, ours, theirs = Random(seed), Kind("ours"), Kind("uvicorn")
    n_served = 0
    for _ in range(n):
        pieces = alike(draw)
        seen, _, closed = await ours.run(pieces, apart=True)
        expected, answers, _ = await theirs.run(pieces, apart=True)
        assert plain(seen) == plain(expected)[: len(seen)], pieces
        assert closed or len(seen) == len(expected), pieces
        assert closed or b"400" not in answers, pieces
        n_served += len(seen)
    return n_served


async def test_a_request_that_begins_as_the_one_before_means_the_same_to_uvicorn() -> None:
    assert await compare_alike(200, 20261122) > 500


async def test_what_the_parser_stands_in_the_middle_of_is_never_taken_for_a_request() -> None:
    first = post(b"content-length: 3", body=b"abc")
    early = post(b"content-length: %d" % len(first), path=b"/deaf")
    cut = b"POST /b HTTP/1.1\r\nx-a: "
    unlike = {}
    for name, pieces in {
        "the body of a request that was answered early": [(first, early), first, first],
        "a head cut off behind another request": [(first, first + cut), first, first],
        "a head cut off while another request is served": [(first, cut), first, first],
        "a head whose end looks like one": [first + cut, first, first, first],
    }.items():
        ours = await Kind("ours").run(pieces, apart=True)
        theirs = await Kind("uvicorn").run(pieces, apart=True)
        if (ours[0], len(ours[1])) != (theirs[0], len(theirs[1])):
            unlike[name] = [each.path for each in ours[0]], [each.path for each in theirs[0]]
    assert unlike == {}


async def test_the_parser_is_asked_again_when_anything_but_the_length_differs() -> None:
    told = []

    class Telling(Echo):
        async def __call__(self, scope, receive, send) -> None:
            told.append((HEAD in scope["extensions"], dict(scope["headers"])[b"content-length"]))
            await super().__call__(scope, receive, send)

    ours = Kind("ours")
    ours.app = ours.config.loaded_app = Telling()
    first, longer = post(b"content-length: 3", body=b"abc"), post(b"content-length: 10", body=b"abcdefghij")
    other = post(b"content-length: 3", b"x-a: b", body=b"abc")
    await ours.run([first, longer, first, other, first, longer[:-1], longer[-1:], first], apart=True)
    assert told == [
        (False, b"3"),
        (True, b"10"),
        (True, b"3"),
        (False, b"3"),
        (False, b"3"),
        (False, b"10"),
        (False, b"3"),
    ]
    assert [each.n_body for each in ours.app.seen] == [3, 10, 3, 3, 3, 10, 3]
