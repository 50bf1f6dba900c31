"""An OTLP/HTTP collector on loopback that parses the official protobufs."""

import asyncio
from contextlib import asynccontextmanager

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Keeps what it was sent."""

    def __init__(self):
        self.traces, self.metrics, self.logs, self.lines, self.heads = [], [], [], [], []
        self.statuses = []
        """Answers to give before 200, in order."""
        self.came = asyncio.Event()
        self.url = ""

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().splitlines()
                length = next(
                    int(line.partition(":")[2]) for line in lines if line.startswith("content-length")
                )
                body = await reader.readexactly(length)
                status = self.statuses.pop(0) if self.statuses else 200
                self.heads.append(head.decode())
                if status == 200:
                    self.take(lines[0].split()[1], body)
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def take(self, path, body):
        if path == "/v1/traces":
            parsed = ExportTraceServiceRequest.FromString(body)
            self.traces += [s for r in parsed.resource_spans for x in r.scope_spans for s in x.spans]
        elif path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif path == "/v1/logs":
            parsed = ExportLogsServiceRequest.FromString(body)
            self.logs += [s for r in parsed.resource_logs for x in r.scope_logs for s in x.log_records]
        else:
            self.lines += body.splitlines()
        self.came.set()

    async def until(self, claim):
        async with asyncio.timeout(10):
            while not claim():
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def collecting():
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield collector
        server.close()


def plain(attributes):
    """Attributes as a dictionary."""
    return {each.key: value_of(each.value) for each in attributes}


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)
