"""The section `log`: what the process says, in which form, and where it goes. Floor 5."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.types.secret import Secret


class StderrSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stderr"):
    """Standard error of the process."""


class StdoutSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stdout"):
    """Standard output of the process."""


class FileSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="file"):
    """A file that the processes of a machine share; it is rotated."""

    path: str
    max_mib: Annotated[float, Meta(gt=0, le=1024 * 1024)] = 64
    """A file that would grow beyond is put aside."""
    keep: Annotated[int, Meta(ge=0, le=1000)] = 5
    """Files put aside that are kept: `path.1` is the newest."""


class HttpSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="http"):
    """A server that takes lines of JSON with POST; the rules of `egress` hold for it."""

    url: str
    headers: Mapping[str, Secret] = {}
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """Lines of one request."""
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 10


class OtlpSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="otlp"):
    """The collector of `telemetry.otlp`."""


Sink = StderrSink | StdoutSink | FileSink | HttpSink | OtlpSink


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process log. Keys, prompts and answers never enter it, at any level."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    """Of standard error, standard output and files; HTTP and OTLP have a form of their own."""
    access: bool = False
    """One line per request at the gateway."""
    sinks: tuple[Sink, ...] = (StderrSink(),)
    queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Lines that may wait for a sink; those beyond are dropped and counted."""
