"""CPU per call of our HTTP client, next to httpx and the floor below which no client can go.

Run: `python benchmarks/transport.py [calls]`. A tiny server runs in a child process; CPU is the process time
of this process only, so the server's cost is not in it. Rounds alternate; the table shows medians.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe

import uvloop

from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.types.http import HttpRequest, Timeouts

ROUNDS = 5
BODY = b'{"model":"gpt","messages":[{"role":"user","content":"' + b"x" * 1200 + b'"}]}'
ANSWER = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"' + b"y" * 1100 + b'"}}],"usage":{}}'
HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
PLAIN = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 17 Nov 2025 10:00:00 GMT\r\nserver: bench\r\n"
    b"content-type: application/json\r\nx-request-id: req_0123456789\r\n"
    b"x-ratelimit-remaining-requests: 99\r\nx-ratelimit-remaining-tokens: 9999\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
N_CHUNKS = 100
FRAME = b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":"word"}}]}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(FRAME), FRAME)


class Upstream(asyncio.Protocol):
    """Answers every request the same way, looking only for its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        if not self.held.endswith(BODY):
            return
        stream = self.held.startswith(b"POST /stream")
        self.held = b""
        if stream:
            self.transport.write(STREAM_HEAD)  # type: ignore[attr-defined]
            self.drip(N_CHUNKS)
        else:
            self.transport.write(PLAIN)  # type: ignore[attr-defined]

    def drip(self, n_left: int) -> None:
        if n_left:
            self.transport.write(CHUNK)  # type: ignore[attr-defined]
            asyncio.get_running_loop().call_later(0.0005, self.drip, n_left - 1)
        else:
            self.transport.write(b"0\r\n\r\n")  # type: ignore[attr-defined]


def serve(pipe: Pipe) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def ours(base: str, n_calls: int, n_tasks: int) -> float:
    transport = HttpTransport(egress_for([base]))
    request, timeouts = HttpRequest("POST", base + "/plain", HEADERS, BODY), Timeouts()

    async def call() -> None:
        response = await transport.send(request, timeouts)
        assert len(await response.read()) == len(ANSWER)
        response.close()

    spent = await measure(call, n_calls, n_tasks)
    await transport.close()
    return spent


async def ours_stream(base: str, n_calls: int, n_tasks: int) -> float:
    transport = HttpTransport(egress_for([base]))
    request, timeouts = HttpRequest("POST", base + "/stream", HEADERS, BODY), Timeouts()

    async def call() -> None:
        response = await transport.send(request, timeouts)
        size = 0
        while data := await response.chunk():
            size += len(data)
        assert size == N_CHUNKS * len(FRAME)
        response.close()

    spent = await measure(call, max(1, n_calls // N_CHUNKS), n_tasks)
    await transport.close()
    return spent / N_CHUNKS


async def httpx_plain(base: str, n_calls: int, n_tasks: int) -> float:
    import httpx  # noqa: PLC0415 - measured, not used

    headers = [(name.decode(), value.decode()) for name, value in HEADERS]
    async with httpx.AsyncClient(trust_env=False) as client:

        async def call() -> None:
            response = await client.post(base + "/plain", headers=headers, content=BODY)
            assert len(response.content) == len(ANSWER)

        return await measure(call, max(1, n_calls // 10), n_tasks)


async def library(base: str, n_calls: int, n_tasks: int) -> float:
    from turnout.transport.library import LibraryTransport  # noqa: PLC0415 - an extra

    transport = LibraryTransport(egress_for([base]))
    request, timeouts = HttpRequest("POST", base + "/plain", HEADERS, BODY), Timeouts()

    async def call() -> None:
        response = await transport.send(request, timeouts)
        assert len(await response.read()) == len(ANSWER)
        response.close()

    spent = await measure(call, max(1, n_calls // 10), n_tasks)
    await transport.close()
    return spent


class Echo(asyncio.Protocol):
    """The least a client can do: one write, one read, one future; nothing is parsed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.waiter: asyncio.Future[None] | None = None
        self.size = 0

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if self.size == len(PLAIN) and self.waiter is not None:
            self.size = 0
            self.waiter.set_result(None)


async def floor(base: str, n_calls: int, n_tasks: int) -> float:
    loop = asyncio.get_running_loop()
    port = int(base.rpartition(":")[2])
    idle = [(await loop.create_connection(Echo, "127.0.0.1", port))[1] for _ in range(n_tasks)]
    payload = b"POST /plain HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)

    async def call() -> None:
        connection = idle.pop()
        connection.waiter = loop.create_future()
        connection.transport.write(payload)  # type: ignore[attr-defined]
        await connection.waiter
        idle.append(connection)

    return await measure(call, n_calls, n_tasks)


async def measure(call: Callable[[], Awaitable[None]], n_calls: int, n_tasks: int) -> float:
    """Return CPU microseconds per call."""

    async def worker(n: int) -> None:
        for _ in range(n):
            await call()

    await worker(20)
    start = time.process_time()
    share = max(1, n_calls // n_tasks)
    await asyncio.gather(*(worker(share) for _ in range(n_tasks)))
    return (time.process_time() - start) * 1e6 / (share * n_tasks)


CASES = (
    ("floor: write, read, wake; nothing parsed", floor),
    ("turnout HttpTransport, plain call", ours),
    ("turnout HttpTransport, per streamed chunk", ours_stream),
    ("turnout LibraryTransport, plain call", library),
    ("httpx, plain call", httpx_plain),
)


def main() -> None:
    n_calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{here.recv()}"
    print(f"{'CPU µs per call, median of ' + str(ROUNDS):44s} {'1 at a time':>12s} {'32 at once':>12s}")
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, case in CASES:
            for n_tasks in (1, 32):
                spent = uvloop.run(case(base, n_calls // ROUNDS, n_tasks))
                found.setdefault((name, n_tasks), []).append(spent)
    for name, _ in CASES:
        row = [statistics.median(found[name, n_tasks]) for n_tasks in (1, 32)]
        print(f"{name:44s} {row[0]:12.1f} {row[1]:12.1f}")
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
