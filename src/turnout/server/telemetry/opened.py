"""What observes one process: metrics, spans, the log, and the senders between them and a collector. Floor 6.

Everything here is off unless it is configured, and what is off costs nothing. What is on never makes a
request wait: observers add to numbers and queues, and tasks and threads beside the path do the rest.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from turnout import __version__
from turnout.build import Built
from turnout.config import Config
from turnout.config.log import FileSink, HttpSink, OtlpSink, StderrSink, StdoutSink
from turnout.config.log import Sink as SinkRow
from turnout.config.telemetry import OtlpConfig
from turnout.errors import ConfigError
from turnout.layers.trace import AccessEvent, OnEvent
from turnout.parts import open_transport
from turnout.server.app import Gateway
from turnout.server.families import FAMILIES
from turnout.server.logs.access import Access, App, heard
from turnout.server.logs.intake import Intake, Sink, installed
from turnout.server.logs.line import Told, as_json, as_text
from turnout.server.logs.redact import Redactor, secrets_in
from turnout.server.logs.sinks import Out, RotatedFile, Stream, Threaded
from turnout.server.metrics import Metrics
from turnout.server.telemetry.shipper import Receiver, Shipper
from turnout.transport.base import Transport
from turnout.transport.guard import egress_for
from turnout.types.deployment import Deployment

if TYPE_CHECKING:
    from turnout.server.telemetry.otlp import Encoder

PROTOBUF = "application/x-protobuf"
NDJSON = "application/x-ndjson"
_SPANS_AT_ONCE = 64
"""Requests whose spans are encoded in one go: about 4 ms."""
_LINES_AT_ONCE = 200
Shipping = Shipper[AccessEvent] | Shipper[Told] | Shipper[bytes]


class Telemetry:
    """What observes one process. Must be closed.

    Attributes:
        metrics: The numbers; None = nobody reads them.
        on_event: What is told about ended requests; None = nobody.
    """

    def __init__(self, config: Config, *, scraped: bool, network: Transport | None = None) -> None:
        """Open what is configured.

        Args:
            config: What is configured.
            scraped: Whether a listener shows the numbers to Prometheus.
            network: Carries what is exported; None = a transport of its own, under the rules of `egress`.

        Raises:
            ConfigError: It cannot be used.
        """
        self._config = config
        row = config.telemetry
        self.metrics = Metrics() if scraped or (row.otlp is not None and row.metrics.enabled) else None
        self._deployment: Callable[[str], Deployment | None] = lambda _: None
        self._network = network
        self._encoder: Encoder | None = None
        self._spans: Shipper[AccessEvent] | None = None
        self._numbers: Shipper[bytes] | None = None
        self._shipping: list[tuple[str, Shipping]] = []
        self._threaded: list[Threaded] = []
        self._tasks: list[asyncio.Task[None]] = []
        if row.otlp is not None:
            self._open_otlp(row.otlp)
        self._redact = Redactor(secrets_in(config))
        sinks = [self._sink(f"log.sinks[{at}]", sink) for at, sink in enumerate(config.log.sinks)]
        self._intake = Intake(sinks, self._redact)
        self._put_back = installed(self._intake)
        if self.metrics is not None:
            self.metrics.gauges.append(self.counts)
        self.on_event = self._told()

    def app(self, app: App) -> App:
        """Return an application whose requests are logged, where that is configured."""
        return Access(app, self._intake.put, self._redact) if self._config.log.access else app

    def begin(self, built: Built, gateway: Gateway) -> None:
        """Begin to send: the engine is there."""
        self._deployment = lambda name: built.engine.snapshot.deployments.get(name)  # noqa: PLW0108  replaced
        make = asyncio.get_running_loop().create_task
        self._tasks += [make(shipper.run()) for _, shipper in self._shipping]
        if self.metrics is not None:
            built.engine.fleet.listen(self.metrics.changed)
            built.probes.listen(self.metrics.probed)
            self.metrics.deployment = self._deployment
            gateway.feedback.count = partial(self.metrics.count, "turnout_feedback")
            self._tasks.append(make(self.metrics.beat(built, gateway)))
        if self._numbers is not None:
            self._tasks.append(make(self._export()))

    async def flush(self) -> None:
        """Send what waits for a receiver, now."""
        for _, shipper in self._shipping:
            await shipper.flush()

    async def close(self) -> None:
        """Send what is left, for a short while, and put the log back as it was."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._put_numbers()
        async with asyncio.TaskGroup() as closing:
            for _, shipper in self._shipping:
                closing.create_task(shipper.close())
        if self._network is not None:
            await self._network.close()
        self._put_back()
        for sink in self._threaded:
            await asyncio.to_thread(sink.close)

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """Return what was sent and what was dropped, for the metrics."""
        found: dict[tuple[str, ...], float] = {}

        def add(*key: str, n: int) -> None:
            found[key] = found.get(key, 0) + n

        for signal, shipper in self._shipping:
            add("turnout_telemetry_sent", signal, n=shipper.counts.sent)
            add("turnout_telemetry_dropped", signal, "full", n=shipper.counts.full)
            add("turnout_telemetry_dropped", signal, "failed", n=shipper.counts.failed)
        for sink in self._threaded:
            add("turnout_telemetry_sent", "logs", n=sink.sent)
            add("turnout_telemetry_dropped", "logs", "full", n=sink.full)
            add("turnout_telemetry_dropped", "logs", "failed", n=sink.failed)
        return found

    def _told(self) -> OnEvent | None:
        """Return one observer for all of them."""
        each: list[OnEvent] = []
        if self.metrics is not None:
            each.append(self.metrics.observe)
        if self._spans is not None:
            each.append(self._record)
        if self._config.log.access:
            each.append(heard)
        if len(each) < 2:
            return each[0] if each else None
        observers = tuple(each)

        def all_of_them(event: AccessEvent) -> None:
            for observe in observers:
                observe(event)

        return all_of_them

    def _record(self, event: AccessEvent) -> None:
        if event.trace is not None and self._spans is not None:
            self._spans.put(event)

    async def _export(self) -> None:
        while True:
            await asyncio.sleep(self._config.telemetry.metrics.interval_s)
            self._put_numbers()

    def _put_numbers(self) -> None:
        if self._numbers is not None and self._encoder is not None and self.metrics is not None:
            self._numbers.put(self._encoder.metrics(FAMILIES, self.metrics.tally.own()))

    def _open_otlp(self, row: OtlpConfig) -> None:
        try:
            from turnout.server.telemetry.otlp import Encoder  # noqa: PLC0415  an extra
        except ModuleNotFoundError as error:
            raise ConfigError((f'telemetry.otlp: needs {error.name}: pip install "turnout[otel]"',)) from None
        settings = self._config.telemetry
        resource = {
            "service.name": settings.service,
            "service.version": __version__,
            "service.instance.id": secrets.token_hex(8),
            **settings.attributes,
        }
        encoder = Encoder(resource, __version__, lambda name: self._deployment(name))  # noqa: PLW0108  replaced
        self._encoder = encoder
        if settings.traces.enabled:
            self._spans = Shipper(
                self._transport(),
                _to(row, "traces"),
                encoder.spans,
                most=settings.queue,
                batch=_SPANS_AT_ONCE,
            )
            self._shipping.append(("spans", self._spans))
        if settings.metrics.enabled:
            self._numbers = Shipper(self._transport(), _to(row, "metrics"), b"".join, most=2, batch=1)
            self._shipping.append(("metrics", self._numbers))

    def _transport(self) -> Transport:
        if self._network is None:
            config = self._config
            urls = [sink.url for sink in config.log.sinks if isinstance(sink, HttpSink)]
            urls += [] if config.telemetry.otlp is None else [config.telemetry.otlp.endpoint]
            rules = config.egress
            allowed = egress_for(urls, allow_cidrs=rules.allow_cidrs, allow_http=rules.allow_http)
            self._network = open_transport(config, allowed)
        return self._network

    def _sink(self, path: str, sink: SinkRow) -> Sink:
        most = self._config.log.queue
        match sink:
            case StderrSink():
                return self._thread(Stream(2), most)
            case StdoutSink():
                return self._thread(Stream(1), most)
            case FileSink():
                try:
                    out = RotatedFile(Path(sink.path), int(sink.max_mib * 1024 * 1024), sink.keep)
                except OSError as error:
                    raise ConfigError((f"{path}: {sink.path} cannot be written: {error.strerror}",)) from None
                return self._thread(out, most)
            case HttpSink():
                receiver = Receiver(sink.url, NDJSON, sink.headers, sink.timeout_s)
                return self._ship(Shipper(self._transport(), receiver, _lines, most=most, batch=sink.batch))
            case OtlpSink():
                return self._ship(self._otlp_lines(path, most))

    def _otlp_lines(self, path: str, most: int) -> Shipper[Told]:
        row, encoder = self._config.telemetry.otlp, self._encoder
        if row is None or encoder is None:
            raise ConfigError((f"{path}: otlp needs telemetry.otlp.endpoint",))
        return Shipper(self._transport(), _to(row, "logs"), encoder.logs, most=most, batch=_LINES_AT_ONCE)

    def _ship(self, shipper: Shipper[Told]) -> Shipper[Told]:
        self._shipping.append(("logs", shipper))
        return shipper

    def _thread(self, out: Out, most: int) -> Threaded:
        sink = Threaded(out, as_json if self._config.log.format == "json" else as_text, most)
        self._threaded.append(sink)
        return sink


def _to(row: OtlpConfig, signal: str) -> Receiver:
    return Receiver(f"{row.endpoint.rstrip('/')}/v1/{signal}", PROTOBUF, row.headers, row.timeout_s)


def _lines(lines: Sequence[Told]) -> bytes:
    return b"".join([each.json() + b"\n" for each in lines])
