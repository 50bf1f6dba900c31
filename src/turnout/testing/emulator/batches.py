"""Emulated batch endpoints: OpenAI's files and batches, Anthropic's message batches, Gemini's jobs. Floor 6.

A batch is answered when it is made, and says that it is done after `polls` looks at it.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from turnout.server.http import JSON_TYPE, RawHeaders, Send, respond
from turnout.server.multipart import Begin, Data, Multipart
from turnout.testing.emulator.faults import EMULATED

Answers = Callable[[str, bytes], tuple[int, bytes]]
"""Path and body of a call -> status and body of the answer."""
FILES, BATCHES, MESSAGES = "/v1/files", "/v1/batches", "/v1/messages/batches"
JOBS, JOB_VERB = "/v1beta/batches", ":batchGenerateContent"
CREATED: Final = 1_700_000_000


class _Line(Struct, frozen=True, kw_only=True):
    custom_id: str
    url: str = "/v1/messages"
    body: Raw = Raw(b"{}")
    params: Raw = Raw(b"{}")


class _Asked(Struct, frozen=True, kw_only=True):
    input_file_id: str = ""
    endpoint: str = ""
    metadata: dict[str, str] | None = None
    requests: tuple[_Line, ...] = ()


class Held(Struct):
    """One emulated batch."""

    id: str
    is_messages: bool
    n: int
    output: bytes
    n_polls: int = 0
    cancelled: bool = False
    metadata: dict[str, str] | None = None


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(_Asked).decode
_read_line = msgspec.json.Decoder(_Line).decode


class EmulatedBatches:
    """The batch endpoints of one emulator.

    Attributes:
        polls: Looks after which a batch is done.
        down: Whether they refuse everything.
        held: Batches by id.
    """

    def __init__(self, answers: Answers) -> None:
        self.polls = 1
        self.down = False
        self.held: dict[str, Held] = {}
        self._answers = answers
        self._files: dict[str, bytes] = {}

    def at(self, path: str) -> bool:
        """Tell whether a path is one of these endpoints'."""
        return path.startswith((FILES, BATCHES, MESSAGES, JOBS)) or path.endswith(JOB_VERB)

    async def serve(self, scope: tuple[str, str, str], body: bytes, send: Send) -> None:
        """Serve a call: method, path, content type; body."""
        method, path, content_type = scope
        if self.down:
            await _tell(send, 503, _write({"error": {"message": "emulated: no batches now"}}))
            return
        if path.startswith(JOBS) or path.endswith(JOB_VERB):
            await self._job(send, method, path, body)
            return
        for start, serve in ((FILES, self._file), (MESSAGES, self._batch), (BATCHES, self._batch)):
            if path.startswith(start):
                rest = path[len(start) :].strip("/")
                await serve(send, (method, rest, content_type, start == MESSAGES), body)
                return

    async def _file(self, send: Send, what: tuple[str, str, str, bool], body: bytes) -> None:
        method, rest, content_type, _ = what
        if method == "POST":
            file_id = f"file-emu{len(self._files)}"
            self._files[file_id] = _upload(content_type, body)
            await _tell(send, 200, _write({"id": file_id, "object": "file", "purpose": "batch"}))
            return
        content = self._files.get(rest.partition("/")[0])
        if content is None:
            await _tell(send, 404, _write({"error": {"message": "no such file"}}))
        elif method == "DELETE":
            del self._files[rest]
            await _tell(send, 200, _write({"id": rest, "object": "file", "deleted": True}))
        else:
            await _tell(send, 200, content)

    async def _batch(self, send: Send, what: tuple[str, str, str, bool], body: bytes) -> None:
        method, rest, _, is_messages = what
        batch_id, _, verb = rest.partition("/")
        if method == "POST" and not rest:
            held = self._made(_read(body), is_messages=is_messages)
            self.held[held.id] = held
            await _tell(send, 200, self._shown(held))
            return
        if method == "GET" and not rest:
            shown = [Raw(self._shown(each)) for each in self.held.values() if each.is_messages is is_messages]
            await _tell(send, 200, _write({"data": shown, "has_more": False}))
            return
        found = self.held.get(batch_id)
        if found is None:
            await _tell(send, 404, _write({"error": {"message": "no such batch"}}))
            return
        if verb == "cancel":
            found.cancelled = True
        elif verb == "results":
            await _tell(send, 200, found.output)
            return
        else:
            found.n_polls += 1
        await _tell(send, 200, self._shown(found))

    async def _job(self, send: Send, method: str, path: str, body: bytes) -> None:
        """Serve a call of Gemini's."""
        if path.endswith(JOB_VERB):
            batch = msgspec.json.decode(body)["batch"]
            url = path.removesuffix(JOB_VERB) + ":generateContent"
            lines = [self._inlined(url, each) for each in batch["inputConfig"]["requests"]["requests"]]
            name = f"job_emu{len(self.held)}"
            marks = {"displayName": batch.get("displayName", "")}
            self.held[name] = Held(name, False, len(lines), b"[" + b",".join(lines) + b"]", metadata=marks)
            await _tell(send, 200, _shown_job(self.held[name], done=False))
            return
        job_id, _, verb = path.removeprefix(JOBS).strip("/").partition(":")
        if not job_id:
            shown = [Raw(_shown_job(each, done=False)) for each in self.held.values()]
            await _tell(send, 200, _write({"operations": shown}))
            return
        found = self.held.get(job_id)
        if found is None:
            await _tell(send, 404, _write({"error": {"message": "no such job"}}))
            return
        found.cancelled |= verb == "cancel"
        found.n_polls += not verb
        done = found.cancelled or found.n_polls >= self.polls
        await _tell(send, 200, b"{}" if verb else _shown_job(found, done=done))

    def _inlined(self, url: str, entry: dict[str, object]) -> bytes:
        status, body = self._answers(url, _write(entry["request"]))
        answer = {"response": Raw(body)} if status == 200 else msgspec.json.decode(body)
        return _write({**answer, "metadata": entry.get("metadata", {})})

    def _made(self, asked: _Asked, *, is_messages: bool) -> Held:
        batch_id = f"{'msgbatch' if is_messages else 'batch'}_emu{len(self.held)}"
        if is_messages:
            lines = [self._message(line) for line in asked.requests]
            return Held(batch_id, is_messages=True, n=len(lines), output=b"".join(lines))
        raws = [raw for raw in self._files[asked.input_file_id].splitlines() if raw]
        found = [self._response(_read_line(raw)) for raw in raws]
        good = b"".join(line for status, line in found if status == 200)
        bad = b"".join(line for status, line in found if status != 200)
        self._files[f"{batch_id}-output"], self._files[f"{batch_id}-error"] = good, bad
        return Held(batch_id, is_messages=False, n=len(raws), output=good, metadata=asked.metadata)

    def _response(self, line: _Line) -> tuple[int, bytes]:
        status, body = self._answers(line.url, bytes(line.body))
        response = {"status_code": status, "request_id": "emu", "body": Raw(body)}
        tree = {"id": "batch_req_emu", "custom_id": line.custom_id, "response": response, "error": None}
        return status, _write(tree) + b"\n"

    def _message(self, line: _Line) -> bytes:
        status, body = self._answers(line.url, bytes(line.params))
        result = (
            {"type": "succeeded", "message": Raw(body)}
            if status == 200
            else {"type": "errored", "error": Raw(body)}
        )
        return _write({"custom_id": line.custom_id, "result": result}) + b"\n"

    def _shown(self, held: Held) -> bytes:
        done = held.cancelled or held.n_polls >= self.polls
        if held.is_messages:
            status = "ended" if done else "in_progress"
            counts = {"processing": 0 if done else held.n}
            return _write(
                {
                    "id": held.id,
                    "type": "message_batch",
                    "processing_status": status,
                    "request_counts": counts,
                }
            )
        status = "cancelled" if held.cancelled else "completed" if done else "in_progress"
        files = {"output_file_id": f"{held.id}-output", "error_file_id": f"{held.id}-error"} if done else {}
        return _write(
            {
                "id": held.id,
                "object": "batch",
                "status": status,
                "created_at": CREATED,
                "metadata": held.metadata,
                **files,
            }
        )


def _shown_job(held: Held, *, done: bool) -> bytes:
    name = f"batches/{held.id}"
    word = "CANCELLED" if held.cancelled else "SUCCEEDED" if done else "RUNNING"
    told: dict[str, object] = {
        "name": name,
        "metadata": {"name": name, "state": f"BATCH_STATE_{word}", **(held.metadata or {})},
    }
    if done:
        answers = {"inlinedResponses": {"inlinedResponses": Raw(held.output)}}
        told |= {"done": True, "response": answers}
    return _write(told)


def _upload(content_type: str, body: bytes) -> bytes:
    found: dict[str, bytes] = {}
    name = ""
    for piece in Multipart(content_type).feed(body):
        match piece:
            case Begin():
                name = piece.name
            case Data():
                found[name] = found.get(name, b"") + piece.data
            case _:
                pass
    return found["file"]


async def _tell(send: Send, status: int, body: bytes) -> None:
    headers: RawHeaders = [JSON_TYPE, EMULATED]
    await respond(send, status, headers, body)
