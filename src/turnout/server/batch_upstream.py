"""Batch endpoints of providers: how a batch is made, looked at, fetched and called off. Floor 6.

Three shapes: OpenAI's files and batches, Anthropic's message batches, Gemini's jobs. Sources: the API
references of the three (seen 2026-11). Addresses are the provider's own, from the configuration; what an
answer names as an address is never followed.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from secrets import token_hex
from typing import ClassVar, Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from turnout.server.till import Till
from turnout.transport.base import Authorise, Response
from turnout.types.deployment import Deployment
from turnout.types.http import Headers, HttpRequest

T = TypeVar("T")
WINDOW_S: Final = 86_400.0
"""Time in which a provider promises to be done."""
MOST_LINE: Final = 32 * 1024 * 1024
MOST_BODY: Final = 200 * 1024 * 1024
"""Of a batch that is handed over."""
MOST_INLINE: Final = 20 * 1000 * 1000
"""Of one whose requests Google takes in the body (Gemini API, Batch, seen 2026-11)."""
URLS: Final[Mapping[str, str]] = {"openai_chat": "/v1/chat/completions", "openai_responses": "/v1/responses"}
JSON: Final = ((b"content-type", b"application/json"),)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Failed(Exception):  # noqa: N818  an answer of the provider's, not a defect of ours
    """The provider will not do the batch."""


class Sending(Struct, frozen=True):
    """A batch to be made."""

    mark: str
    """Our own name of it, by which it can be found again."""
    lines: Sequence[tuple[int, bytes]]
    """Number and body."""
    headers: Headers
    """Of the format, which belong to every line."""


class Answered(Struct, frozen=True):
    """One line that the provider answered."""

    n: int
    status: int
    body: bytes


class _Named(Struct, frozen=True):
    id: str = ""


class _Batch(Struct, frozen=True):
    id: str = ""
    status: str = ""
    processing_status: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: dict[str, str] | None = None


class _List(Struct, frozen=True):
    data: tuple[_Batch, ...] = ()


class _Response(Struct, frozen=True):
    status_code: int = 0
    body: Raw = Raw(b"{}")


class _Result(Struct, frozen=True):
    type: str = ""
    message: Raw = Raw(b"{}")
    error: Raw = Raw(b"{}")


class _Line(Struct, frozen=True):
    custom_id: str = ""
    response: _Response | None = None
    result: _Result | None = None


class _Inlined(Struct, frozen=True):
    response: Raw = Raw()
    error: Raw = Raw()
    metadata: dict[str, str] = {}


class _InlinedList(Struct, frozen=True, rename="camel"):
    inlined_responses: tuple[_Inlined, ...] = ()


class _Output(Struct, frozen=True, rename="camel"):
    inlined_responses: _InlinedList = _InlinedList()


class _Job(Struct, frozen=True, rename="camel"):
    display_name: str = ""
    state: str = ""
    output: _Output | None = None


class _Operation(Struct, frozen=True):
    name: str = ""
    done: bool = False
    metadata: _Job = _Job()
    response: _Output | None = None


class _Operations(Struct, frozen=True):
    operations: tuple[_Operation, ...] = ()


_write = msgspec.json.Encoder().encode
_read_operation = msgspec.json.Decoder(_Operation).decode
_read_operations = msgspec.json.Decoder(_Operations).decode
_read_named = msgspec.json.Decoder(_Named).decode
_read_batch = msgspec.json.Decoder(_Batch).decode
_read_list = msgspec.json.Decoder(_List).decode
_read_line = msgspec.json.Decoder(_Line).decode


class Own(ABC):
    """One provider's own batch endpoint, under one credential."""

    one_model: ClassVar[bool] = False
    """Whether all lines of a batch must ask the same model."""

    def __init__(self, till: Till, to: Deployment, authorise: Authorise | None) -> None:
        self._till = till
        self._to = to
        self._authorise = authorise

    @abstractmethod
    async def create(self, sending: Sending) -> tuple[str, str]:
        """Make a batch; return the provider's names of its input file ("" = none) and of itself.

        Raises `Failed` when it is refused, `TurnoutError` when nobody is reached.
        """

    @abstractmethod
    async def find(self, mark: str) -> str | None:
        """Return the provider's name of a batch of ours; None = there is no telling."""

    @abstractmethod
    async def done(self, batch_id: str) -> tuple[str, ...] | None:
        """Return where the answers are; None = it is under way. Raises `Failed` when it came to nothing."""

    @abstractmethod
    def answers(self, batch_id: str, done: tuple[str, ...]) -> AsyncIterator[Answered]:
        """Yield the lines that were answered, in any order."""

    @abstractmethod
    async def cancel(self, batch_id: str) -> None:
        """Call a batch off."""

    async def forget(self, input_file: str) -> None:  # noqa: B027  not every shape uploads
        """Delete what was uploaded."""

    async def _send(self, method: str, path: str, body: bytes = b"", headers: Headers = ()) -> Response:
        fixed = tuple((k.lower().encode(), v.encode()) for k, v in self._to.vendor.quirks.extra_headers)
        http = HttpRequest(method, self._to.url + path, (*fixed, *headers), body)
        return await self._till.send(self._to, http, self._authorise, self._to.timeouts)

    async def _ask(self, method: str, path: str, body: bytes = b"", headers: Headers = ()) -> bytes:
        """Return a whole answer. Raises `Failed` for a refusal, `TurnoutError` for what may pass."""
        response = await self._send(method, path, body, headers)
        try:
            found = await response.read()
        finally:
            response.close()
        if response.status // 100 != 2:
            raise Failed(f"{method} {path}: HTTP {response.status}")
        return found

    async def _lines(self, path: str, headers: Headers = ()) -> AsyncIterator[_Line]:
        """Yield the lines of a file as they come."""
        response = await self._send("GET", path, headers=headers)
        try:
            if response.status // 100 != 2:
                raise Failed(f"GET {path}: HTTP {response.status}")
            held = b""
            while data := await response.chunk():
                *whole, held = (held + data).split(b"\n")
                if len(held) > MOST_LINE:
                    raise Failed(f"GET {path}: a line is too long")
                for raw in whole:
                    if raw.strip():
                        yield _decoded(_read_line, raw)
            if held.strip():
                yield _decoded(_read_line, held)
        finally:
            response.close()


class OpenAiBatches(Own):
    """Files and batches as OpenAI has them."""

    async def create(self, sending: Sending) -> tuple[str, str]:
        """Upload the lines, then make a batch of them."""
        url = URLS[self._to.vendor.codec]
        lines = (
            {"custom_id": str(n), "method": "POST", "url": url, "body": Raw(body)}
            for n, body in sending.lines
        )
        content = b"".join(_write(line) + b"\n" for line in lines)
        if len(content) > MOST_BODY:
            raise Failed("it is too large")
        boundary, form = _form(sending.mark, content)
        kind = ((b"content-type", b"multipart/form-data; boundary=" + boundary),)
        file_id = _name(_decoded(_read_named, await self._ask("POST", "/files", form, kind)).id)
        asked = {
            "input_file_id": file_id,
            "endpoint": url,
            "completion_window": "24h",
            "metadata": {"turnout_batch": sending.mark},
        }
        made = _decoded(_read_named, await self._ask("POST", "/batches", _write(asked), JSON))
        return file_id, _name(made.id)

    async def find(self, mark: str) -> str | None:
        """Look for the mark among the latest batches."""
        found = _decoded(_read_list, await self._ask("GET", "/batches?limit=100")).data
        named = [each.id for each in found if (each.metadata or {}).get("turnout_batch") == mark]
        return _name(named[0]) if named else None

    async def done(self, batch_id: str) -> tuple[str, ...] | None:
        """Return the names of the files of answers and of failures."""
        batch = _decoded(_read_batch, await self._ask("GET", f"/batches/{batch_id}"))
        if batch.status == "failed":
            raise Failed("the provider refused the batch")
        if batch.status not in ("completed", "expired", "cancelled"):
            return None
        return tuple(_name(each) for each in (batch.output_file_id, batch.error_file_id) if each)

    async def answers(self, batch_id: str, done: tuple[str, ...]) -> AsyncIterator[Answered]:
        """Read both files."""
        for file_id in done:
            async for line in self._lines(f"/files/{file_id}/content"):
                response = line.response
                if response is not None and response.status_code and line.custom_id.isdigit():
                    yield Answered(int(line.custom_id), response.status_code, bytes(response.body))

    async def cancel(self, batch_id: str) -> None:
        """Call a batch off."""
        await self._ask("POST", f"/batches/{batch_id}/cancel", b"", JSON)

    async def forget(self, input_file: str) -> None:
        """Delete what was uploaded; one that stays goes when the provider says."""
        if input_file:
            response = await self._send("DELETE", f"/files/{input_file}")
            response.close()


class AnthropicBatches(Own):
    """Message batches as Anthropic has them."""

    _VERSION = (b"anthropic-version", b"2023-06-01")

    async def create(self, sending: Sending) -> tuple[str, str]:
        """Make a batch."""
        requests = [{"custom_id": str(n), "params": Raw(body)} for n, body in sending.lines]
        content = _write({"requests": requests})
        if len(content) > MOST_BODY:
            raise Failed("it is too large")
        headers = dict([self._VERSION, *sending.headers])
        made = await self._ask("POST", "/messages/batches", content, (*JSON, *headers.items()))
        return "", _name(_decoded(_read_named, made).id)

    async def find(self, mark: str) -> str | None:
        """There is nothing in a batch by which it could be told from others."""
        return None

    async def done(self, batch_id: str) -> tuple[str, ...] | None:
        """Tell whether it has ended."""
        found = await self._ask("GET", f"/messages/batches/{batch_id}", headers=(self._VERSION,))
        return () if _decoded(_read_batch, found).processing_status == "ended" else None

    async def answers(self, batch_id: str, done: tuple[str, ...]) -> AsyncIterator[Answered]:
        """Read the results."""
        async for line in self._lines(f"/messages/batches/{batch_id}/results", (self._VERSION,)):
            result = line.result
            if result is None or not line.custom_id.isdigit():
                continue
            if result.type == "succeeded":
                yield Answered(int(line.custom_id), 200, bytes(result.message))
            elif result.type == "errored":
                yield Answered(int(line.custom_id), 400, bytes(result.error))

    async def cancel(self, batch_id: str) -> None:
        """Call a batch off."""
        path = f"/messages/batches/{batch_id}/cancel"
        await self._ask("POST", path, b"", (*JSON, self._VERSION))


class GeminiBatches(Own):
    """Batch jobs as Google has them, with requests and answers in the job itself."""

    one_model = True

    async def create(self, sending: Sending) -> tuple[str, str]:
        """Make a job."""
        requests = [{"request": Raw(body), "metadata": {"key": str(n)}} for n, body in sending.lines]
        config = {"requests": {"requests": requests}}
        content = _write({"batch": {"displayName": sending.mark, "inputConfig": config}})
        if len(content) > MOST_INLINE:
            raise Failed("it is too large")
        made = await self._ask("POST", f"/models/{self._model}:batchGenerateContent", content, JSON)
        return "", _job(_decoded(_read_operation, made))

    async def find(self, mark: str) -> str | None:
        """Look for the mark among the latest jobs."""
        found = _decoded(_read_operations, await self._ask("GET", "/batches?pageSize=100")).operations
        return next((_job(each) for each in found if each.metadata.display_name == mark), None)

    async def done(self, batch_id: str) -> tuple[str, ...] | None:
        """Tell whether it has ended."""
        job = _decoded(_read_operation, await self._ask("GET", f"/batches/{batch_id}"))
        if job.metadata.state == "BATCH_STATE_FAILED":
            raise Failed("the provider refused the batch")
        return () if job.done else None

    async def answers(self, batch_id: str, done: tuple[str, ...]) -> AsyncIterator[Answered]:
        """Read what stands in the job."""
        job = _decoded(_read_operation, await self._ask("GET", f"/batches/{batch_id}"))
        held = job.response if job.response is not None else job.metadata.output
        for each in held.inlined_responses.inlined_responses if held is not None else ():
            key = each.metadata.get("key", "")
            if not key.isdigit():
                continue
            if each.response:
                yield Answered(int(key), 200, bytes(each.response))
            elif each.error:
                yield Answered(int(key), 400, _write({"error": each.error}))

    async def cancel(self, batch_id: str) -> None:
        """Call a job off."""
        await self._ask("POST", f"/batches/{batch_id}:cancel", b"", JSON)

    @property
    def _model(self) -> str:
        return quote(self._to.upstream_model.removeprefix("models/"), safe="")


def _job(operation: _Operation) -> str:
    return _name(operation.name.removeprefix("batches/"))


OWN: Final[Mapping[str, type[Own]]] = {
    "openai": OpenAiBatches,
    "anthropic": AnthropicBatches,
    "gemini": GeminiBatches,
}
"""Shape of a batch endpoint -> who speaks to it."""


def _decoded(decode: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Failed("its answer cannot be read") from error


def _name(text: str) -> str:
    """Return a provider's name of something, which becomes part of a path. Raises `Failed`."""
    if _NAME.fullmatch(text) is None:
        raise Failed("the provider gave it no usable name")
    return text


def _form(mark: str, content: bytes) -> tuple[bytes, bytes]:
    boundary = token_hex(24).encode()
    head = b"--%b\r\nContent-Disposition: form-data; name=" % boundary
    parts = (
        head + b'"purpose"\r\n\r\nbatch\r\n',
        head
        + b'"file"; filename="%b.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n' % mark.encode()
        + content
        + b"\r\n",
        b"--%b--\r\n" % boundary,
    )
    return boundary, b"".join(parts)
