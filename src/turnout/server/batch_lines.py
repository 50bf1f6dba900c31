"""Lines of batches: read and checked on the way in, written in the client's shape on the way out. Floor 6.

OpenAI: one object a line with `custom_id`, `method`, `url` and `body`; answers with `response` or `error`.
Anthropic: `requests[]` with `custom_id` and `params`; answers with a `result` of one of four types.
Gemini: `requests[]` with `request` and `metadata`; answers with `response` or `error`, in order.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import strict
from turnout.errors import InvalidRequest
from turnout.stores.files import Defect, Form, Line, Result, Stored

MOST_DEFECTS: Final = 50
"""Told of one file."""
MOST_LINE: Final = 32 * 1024 * 1024
MOST_ID: Final = 512
_ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class _Line(Struct, frozen=True, kw_only=True):
    custom_id: str
    method: str
    url: str
    body: dict[str, object]


class _Bodies(Struct, frozen=True):
    body: Raw


class _Request(Struct, frozen=True):
    custom_id: str
    params: Raw


class _Requests(Struct, frozen=True):
    requests: tuple[_Request, ...]


class _Failure(Struct, frozen=True):
    error: Raw = Raw(b"{}")


_NO_METADATA: Final = "{}"
_read_failure = msgspec.json.Decoder(_Failure).decode
_write = msgspec.json.Encoder().encode
_read_body = msgspec.json.Decoder(_Bodies).decode
_read_requests = msgspec.json.Decoder(_Requests).decode


def read_file(path: Path, endpoint: str, most: int) -> tuple[list[Line], list[Defect]]:
    """Read the lines of an input file; with any defect the batch is not run.

    Args:
        path: Where the file lies.
        endpoint: What every line must ask.
        most: Lines that are accepted.

    Raises:
        OSError: The file cannot be read.
    """
    lines: list[Line] = []
    defects: list[Defect] = []
    seen: set[str] = set()
    with path.open("rb") as source:
        for at, raw in enumerate(iter(lambda: source.readline(MOST_LINE + 1), b""), start=1):
            if not raw.strip():
                continue
            found = _read_line(raw, at, endpoint)
            if isinstance(found, Defect):
                defects.append(found)
            elif found.custom_id in seen:
                told = f"custom_id {found.custom_id[:64]!r} is that of another line"
                defects.append(Defect("duplicate_custom_id", told, at, "custom_id"))
            elif len(lines) >= most:
                defects.append(Defect("too_many_tasks", f"a batch may have {most} lines", at))
            else:
                seen.add(found.custom_id)
                lines.append(msgspec.structs.replace(found, n=len(lines) + 1))
            if len(defects) >= MOST_DEFECTS or (defects and defects[-1].code == "too_many_tasks"):
                break
    if not lines and not defects:
        defects.append(Defect("empty_file", "the input file has no lines"))
    return lines, defects


def _read_line(raw: bytes, at: int, endpoint: str) -> Line | Defect:
    if len(raw) > MOST_LINE:
        return Defect("request_too_large", f"a line may have {MOST_LINE // 2**20} MiB", at)
    try:
        line = strict.convert(strict.parse(raw.strip()), _Line)
    except InvalidRequest as error:
        code = "invalid_json_line" if error.param is None else "invalid_request"
        return Defect(code, error.message, at, error.param)
    if not 0 < len(line.custom_id) <= MOST_ID:
        return Defect("invalid_custom_id", f"expected 1–{MOST_ID} characters", at, "custom_id")
    if line.method != "POST":
        return Defect("invalid_method", "expected POST", at, "method")
    if line.url != endpoint:
        return Defect("mismatched_endpoint", f"expected {endpoint}, as the batch says", at, "url")
    return Line(at, line.custom_id, bytes(_read_body(raw).body))


def read_requests(raw: bytes, most: int) -> list[Line]:
    """Read the requests of a message batch. Raises `InvalidRequest` with the place of the first defect."""
    strict.parse(raw)
    try:
        requests = _read_requests(raw).requests
    except msgspec.MsgspecError as error:
        raise InvalidRequest(str(error), param="requests") from error
    if not 0 < len(requests) <= most:
        raise InvalidRequest(f"requests: expected 1–{most}", param="requests")
    seen: set[str] = set()
    for at, request in enumerate(requests):
        if _ANTHROPIC_ID.fullmatch(request.custom_id) is None:
            place = f"requests.{at}.custom_id"
            raise InvalidRequest(f"{place}: expected 1–64 of A–Z, a–z, 0–9, '-', '_'", param=place)
        if request.custom_id in seen:
            raise InvalidRequest(f"requests: custom_id {request.custom_id!r} is used twice", param="requests")
        seen.add(request.custom_id)
    return [Line(at, each.custom_id, bytes(each.params)) for at, each in enumerate(requests, start=1)]


Write = Callable[[str, Stored], bytes]
"""Batch id and line -> the line of the file that the client gets."""


def _flat(body: bytes) -> Raw:
    """Return an answer on one line: providers indent theirs, and in JSON a line break is never text."""
    return Raw(body.translate(None, b"\r\n"))


def write_openai(batch_id: str, line: Stored) -> bytes:
    """Write a line of an output or an error file."""
    result = line.result
    answered = result.status > 0
    tree: dict[str, object] = {
        "id": f"batch_req_{batch_id.removeprefix('batch_')}{line.n:06d}",
        "custom_id": line.custom_id,
        "response": {
            "status_code": result.status,
            "request_id": result.request_id,
            "body": _flat(result.body),
        }
        if answered
        else None,
        "error": None if answered else {"code": result.code, "message": result.message},
    }
    return _write(tree) + b"\n"


def write_anthropic(_batch_id: str, line: Stored) -> bytes:
    """Write a line of the results."""
    result = line.result
    tree: dict[str, object] = {"type": result.kind}
    if result.kind == "succeeded":
        tree["message"] = _flat(result.body)
    elif result.kind == "errored":
        unanswered = {"type": "error", "error": {"type": "api_error", "message": result.message}}
        tree["error"] = _flat(result.body) if result.body else unanswered
    return _write({"custom_id": line.custom_id, "result": tree}) + b"\n"


def write_gemini(_batch_id: str, line: Stored) -> bytes:
    """Write a line of a job's answers."""
    result = line.result
    tree: dict[str, object] = {}
    if line.custom_id != _NO_METADATA:
        tree["metadata"] = Raw(line.custom_id.encode())
    if result.kind == "succeeded":
        tree["response"] = _flat(result.body)
    elif result.kind == "errored" and result.body:
        tree["error"] = _flat(bytes(_read_failure(result.body).error))
    else:
        code = 1 if result.kind == "canceled" else 4 if result.kind == "expired" else 13
        tree["error"] = {"code": code, "message": result.message}
    return _write(tree) + b"\n"


WRITERS: Final[Mapping[Form, Write]] = {
    "openai": write_openai,
    "anthropic": write_anthropic,
    "gemini": write_gemini,
}


def is_output(form: Form, result: Result) -> bool:
    """Tell whether a line stands in the output file; the rest stands in the error file."""
    return form != "openai" or result.kind == "succeeded"


def chunked(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Join lines into pieces of about a size."""
    held: list[bytes] = []
    n = 0
    for line in lines:
        held.append(line)
        n += len(line)
        if n >= size:
            yield b"".join(held)
            held, n = [], 0
    if held:
        yield b"".join(held)
