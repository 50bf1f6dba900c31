"""One end of a WebSocket, byte by byte: the socket is a script, everything else is real."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from turnout.transport.websocket import QUEUED_BYTES, Closed, Message, WebSocket


class Scripted(asyncio.Transport):
    """A socket that notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.reads, self.closed = b"", True, False

    def write(self, data) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def end(max_message: int = 1_000_000) -> tuple[WebSocket, Scripted]:
    socket, transport = WebSocket("server", max_message), Scripted()
    socket.connection_made(transport)
    return socket, transport


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


MESSAGES = st.lists(st.text(max_size=300).map(str.encode), min_size=1, max_size=5)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(MESSAGES, st.data())
def test_messages_come_whole_however_their_bytes_are_cut(texts, data):
    async def run() -> list[Message]:
        socket, _ = end()
        wire = b""
        for text in texts:
            at = data.draw(st.integers(0, len(text)))
            wire += frame(Opcode.TEXT, text[:at], fin=False) + frame(Opcode.PING, b"p")
            wire += frame(Opcode.CONT, text[at:])
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
        for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            socket.data_received(wire[start:stop])
        return [await socket.receive() for _ in texts]

    assert asyncio.run(run()) == [Message(text) for text in texts]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_garbage_ends_the_connection_and_raises_nothing_else(pieces):
    async def run() -> None:
        socket, transport = end(1000)
        for piece in pieces:
            if not transport.closed:
                socket.data_received(piece)
        socket.eof_received()
        socket.connection_lost(None)
        with pytest.raises(Closed):
            await emptied(socket)

    async def emptied(socket: WebSocket) -> None:
        while True:
            assert len((await socket.receive()).data) <= 1000

    asyncio.run(run())


async def test_who_takes_nothing_stops_the_reading_and_who_takes_lets_it_go_on():
    socket, transport = end()
    piece = frame(Opcode.TEXT, b"x" * 50_000)
    while transport.reads:
        socket.data_received(piece)
    held = socket._n_queued
    assert QUEUED_BYTES < held <= QUEUED_BYTES + 50_000
    await socket.receive()
    assert transport.reads


async def test_a_sender_waits_for_room_and_a_last_word_does_not():
    socket, transport = end()
    socket.pause_writing()
    waiting = asyncio.ensure_future(socket.send(Message(b"later")))
    await asyncio.sleep(0)
    assert not transport.sent
    socket.tell(Message(b"now"))
    socket.resume_writing()
    await waiting
    assert transport.sent == b"\x81\x03now\x81\x05later"
    socket.end(1001, "é" * 100)
    assert transport.sent[12:16] == b"\x88\x7c\x03\xe9"
    with pytest.raises(Closed):
        await socket.send(Message(b"never"))
    socket.connection_lost(None)
    await socket.closed()
