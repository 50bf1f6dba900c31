"""`/v1/files`: what clients upload, look at, fetch and delete. Floor 6.

Theory of operation.

1. A file belongs to the project of the key that uploaded it, or to the key where it has none. To anybody else
   it does not exist: there is no telling it from one that never did.
2. An upload goes to disk as it arrives. It is measured on the way, by what its purpose allows; a purpose that
   comes after the content is held against what was written.
3. Names that clients give are shown and never used: on disk a file is called by its id.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import msgspec

from turnout.config.files import FilesConfig
from turnout.errors import GatewayOverloaded, InvalidRequest, NotFound, RequestTooLarge
from turnout.server.http import JSON_TYPE, Disconnected, RawHeaders, respond
from turnout.server.ids import new_request_id
from turnout.server.inbound import speaks_anthropic
from turnout.server.multipart import Begin, Data, End, Multipart
from turnout.server.paths import SHARED, Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit, no_endpoint, number_in, query_of
from turnout.stores.files import PURPOSES, Draft, File, Files, Purpose, Room
from turnout.stores.files.files import MIB, expiry
from turnout.types.json import Json
from turnout.types.principal import Principal

MOST_LISTED: Final = 10_000
PIECE: Final = 256 * 1024
MOST_AT_ONCE: Final = 4
"""Uploads of one owner: what is under way fills the disk too."""
MOST_FIELD: Final = 1024
MOST_NAME: Final = 512
MOST_MIME: Final = 128
LEAST_AGE_S, MOST_AGE_S = 3_600, 2_592_000
"""What `expires_after` may say, as at OpenAI."""
_FIELDS: Final = frozenset({"purpose", "expires_after[anchor]", "expires_after[seconds]"})
_write = msgspec.json.Encoder().encode


class Shelf:
    """The files of one gateway, and what its configuration says of them."""

    __slots__ = ("config", "files")

    def __init__(self, files: Files, config: Callable[[], FilesConfig]) -> None:
        self.files = files
        self.config = config

    @property
    def room(self) -> Room:
        """What one owner may keep."""
        config = self.config()
        return Room(max_bytes=int(config.max_mib * MIB), max_files=config.max_files)


class Uploads:
    """The endpoints at one gateway.

    Attributes:
        shelf: Where files are kept; None = nowhere.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._open: Counter[str] = Counter()
        self.shelf: Shelf | None = None

    def mount(self, paths: Paths[Visit], theirs: "Endpoints") -> None:
        """Serve the paths to clients of OpenAI's format; `theirs` serve clients of Anthropic's."""
        for (method, path), endpoint in self._endpoints().items():
            paths.add(method, path, _either(endpoint, theirs[method, path]), SHARED)

    def _endpoints(self) -> "Endpoints":
        return {
            ("POST", "/files"): self._upload,
            ("GET", "/files"): self._list,
            ("GET", "/files/"): self._show,
            ("DELETE", "/files/"): self._delete,
        }

    def entered(self, visit: Visit) -> Shelf:
        """Check who asks; return where files are kept. Raises `NotFound` where there are none."""
        self._steps.enter(visit, "files")
        return enabled(self.shelf)

    async def _upload(self, visit: Visit) -> None:
        await self._tell(visit, view(await self.upload(visit, _FIELDS, _made)))

    async def upload(self, visit: Visit, fields: Collection[str], made: "Made") -> File:
        """Take in a file.

        Args:
            visit: The request; who asks is checked here.
            fields: Names that its form may have beside `file`.
            made: Returns what is kept of it. Raises `InvalidRequest`, `RequestTooLarge`.
        """
        shelf = self.entered(visit)
        inbound, config = visit.inbound, shelf.config()
        most = int(max(config.max_file_mib, config.max_batch_mib) * MIB)
        if inbound.content_encoding not in ("", "identity"):
            raise InvalidRequest("an upload is sent without content-encoding", param="content-encoding")
        if inbound.content_length is not None and inbound.content_length > most + MIB:
            raise RequestTooLarge(f"the file is larger than {most // MIB} MiB")
        form = Multipart(inbound.content_type)
        with self._place(owner_of(visit.principal)):
            draft = await asyncio.to_thread(shelf.files.draft)
            try:
                upload = Upload(draft, most, fields)
                await _take(visit, form, upload)
                file = made(upload, visit.principal, config)
                await asyncio.to_thread(draft.finish)
                return await asyncio.to_thread(shelf.files.keep, draft, file, shelf.room)
            finally:
                await asyncio.to_thread(draft.drop)

    @contextmanager
    def _place(self, owner: str) -> Iterator[None]:
        """Take one of the owner's places for uploads. Raises `GatewayOverloaded`."""
        if self._open[owner] >= MOST_AT_ONCE:
            raise GatewayOverloaded(f"{MOST_AT_ONCE} uploads are under way already", retry_after_s=1)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    async def _list(self, visit: Visit) -> None:
        shelf = self.entered(visit)
        query = query_of(visit)
        limit = limit_of(query.get("limit"), MOST_LISTED, MOST_LISTED)
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise InvalidRequest("order: expected asc or desc", param="order")
        found = await asyncio.to_thread(
            shelf.files.page,
            owner_of(visit.principal),
            datetime.now(UTC),
            purpose=query.get("purpose"),
            limit=limit + 1,
            after=query.get("after"),
            newest=order == "desc",
        )
        await self._tell(visit, page([view(each) for each in found], limit))

    async def _show(self, visit: Visit) -> None:
        shelf = self.entered(visit)
        file_id, slash, what = visit.path_rest.partition("/")
        if slash and what != "content":
            raise no_endpoint(visit)
        file = await found_file(shelf, file_id, visit.principal)
        if slash:
            await self._send(visit, shelf, file)
        else:
            await self._tell(visit, view(file))

    async def _send(self, visit: Visit, shelf: Shelf, file: File) -> None:
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-disposition", b'attachment; filename="' + file.id.encode() + b'"'),
            (b"x-content-type-options", b"nosniff"),
            *self._steps.ids(visit.request_id),
        ]
        await send_file(visit, shelf, file, headers)

    async def _delete(self, visit: Visit) -> None:
        shelf = self.entered(visit)
        file_id = visit.path_rest
        if not await asyncio.to_thread(shelf.files.delete, file_id, owner_of(visit.principal)):
            raise missing(file_id)
        await self._tell(visit, {"id": file_id, "object": "file", "deleted": True})

    async def _tell(self, visit: Visit, tree: Json) -> None:
        await respond(visit.send, 200, [JSON_TYPE, *self._steps.ids(visit.request_id)], _write(tree))


Endpoint = Callable[[Visit], Awaitable[None]]
Endpoints = Mapping[tuple[str, str], Endpoint]
"""Method and path, one that ends in `/` a prefix -> what serves it."""


def _either(ours: Endpoint, theirs: Endpoint) -> Endpoint:
    """Return what serves clients of both formats at one path; those of Anthropic's send its version."""

    async def serve(visit: Visit) -> None:
        await (theirs if speaks_anthropic(visit.inbound) else ours)(visit)

    return serve


class Upload:
    """One upload as it comes in."""

    def __init__(self, draft: Draft, most: int, fields: Collection[str]) -> None:
        self.more = True
        self._draft = draft
        self._most = most
        self._known = fields
        self._name: str | None = None
        """What the client calls the file; None = none came yet."""
        self.mime = ""
        """Type that it names."""
        self._part: Begin | None = None
        self._fields: dict[str, bytes] = {}

    async def take(self, form: Multipart, data: bytes) -> None:
        """Take in a piece of the body."""
        for piece in form.feed(data):
            match piece:
                case Begin():
                    self._begin(piece)
                case End():
                    self._part = None
                case Data():
                    await self._keep(piece.data)

    def _begin(self, part: Begin) -> None:
        self._part = part
        if part.name == "file":
            if self._name is not None:
                raise InvalidRequest("one file is uploaded at a time", param="file")
            self._name = (part.filename or "file")[:MOST_NAME]
            self.mime = part.content_type.partition(";")[0].strip().lower()[:MOST_MIME]
        elif part.name not in self._known:
            raise InvalidRequest(f"{part.name[:64]!r} is not known", param=part.name[:64])
        else:
            self._fields[part.name] = b""

    async def _keep(self, data: bytes) -> None:
        assert self._part is not None
        if self._part.name != "file":
            known = self._fields[self._part.name] + data
            if len(known) > MOST_FIELD:
                raise InvalidRequest(f"{self._part.name}: too long", param=self._part.name)
            self._fields[self._part.name] = known
            return
        if self._draft.n_bytes + len(data) > self._most:
            raise RequestTooLarge(f"the file is larger than {self._most // MIB} MiB")
        await asyncio.to_thread(self._draft.write, data)

    def file(self, who: Principal, config: FilesConfig, purpose: Purpose, age_s: float | None) -> File:
        """Return what was uploaded. Raises `InvalidRequest`, `RequestTooLarge`."""
        if self._name is None:
            raise InvalidRequest("no file was sent", param="file")
        most = config.max_batch_mib if purpose == "batch" else config.max_file_mib
        if self._draft.n_bytes > most * MIB:
            raise RequestTooLarge(f"a file for {purpose} may have {most:g} MiB at most")
        now = datetime.now(UTC)
        return File(
            id=f"file-{new_request_id().removeprefix('req_')}",
            owner=owner_of(who),
            purpose=purpose,
            name=self._name,
            n_bytes=self._draft.n_bytes,
            created_at=now,
            expires_at=expiry(now, age_s),
            organisation=who.organisation,
            customer=who.customer,
            mime=self.mime,
        )

    def text(self, name: str) -> str:
        """Return a field; "" = not sent. Raises `InvalidRequest`."""
        try:
            return self._fields.get(name, b"").decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name}: not UTF-8", param=name) from None


Made = Callable[[Upload, Principal, FilesConfig], File]


async def _take(visit: Visit, form: Multipart, upload: Upload) -> None:
    """Take in a whole body."""
    while upload.more:
        message = await visit.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        upload.more = bool(message.get("more_body"))
        await upload.take(form, message.get("body", b""))
    form.end()


def _made(upload: Upload, who: Principal, config: FilesConfig) -> File:
    """Return a file in the words of OpenAI's form."""
    purpose = _purpose(upload.text("purpose"))
    anchor, seconds = upload.text("expires_after[anchor]"), upload.text("expires_after[seconds]")
    age_s = age_of(anchor, int(seconds) if seconds.isascii() and seconds.isdigit() else seconds or None)
    return upload.file(who, config, purpose, age_s or (config.keep_s if purpose == "batch" else None))


def age_of(anchor: str, seconds: object) -> float | None:
    """Return the age that `expires_after` names; None = it was not sent. Raises `InvalidRequest`."""
    if not anchor and seconds is None:
        return None
    if anchor != "created_at":
        raise InvalidRequest("expires_after.anchor: expected created_at", param="expires_after.anchor")
    if not isinstance(seconds, int) or not LEAST_AGE_S <= seconds <= MOST_AGE_S:
        raise InvalidRequest(
            f"expires_after.seconds: expected {LEAST_AGE_S}–{MOST_AGE_S}", param="expires_after.seconds"
        )
    return float(seconds)


def owner_of(who: Principal) -> str:
    """Return to whom a file or a batch of this caller belongs: its project, or the key where it has none."""
    if who.project is not None:
        return f"project:{who.organisation or ''}:{who.project}"
    return f"key:{who.key_id or ''}"


def enabled(shelf: Shelf | None) -> Shelf:
    """Return where files are kept. Raises `NotFound`, saying what to configure."""
    if shelf is None:
        raise NotFound("files are off at this gateway; its operator can set files.path")
    return shelf


async def found_file(shelf: Shelf, file_id: str, who: Principal) -> File:
    """Return a file of the caller. Raises `NotFound`."""
    file = await asyncio.to_thread(shelf.files.get, file_id, owner_of(who), datetime.now(UTC))
    if file is None:
        raise missing(file_id)
    return file


def missing(file_id: str) -> NotFound:
    """Return the failure for a file that is not there, or another's."""
    return NotFound(f"No such File object: {file_id[:128]}", param="id")


async def send_file(visit: Visit, shelf: Shelf, file: File, headers: RawHeaders) -> None:
    """Send the content of a file piece by piece. Raises `NotFound` when it has just been deleted."""
    try:
        source = await asyncio.to_thread(shelf.files.path(file.id).open, "rb")
    except FileNotFoundError:
        raise missing(file.id) from None
    with source:
        start: RawHeaders = [*headers, (b"content-length", b"%d" % file.n_bytes)]
        await visit.send({"type": "http.response.start", "status": 200, "headers": start})
        left = file.n_bytes
        while left > 0 and (data := await asyncio.to_thread(source.read, min(left, PIECE))):
            left -= len(data)
            await visit.send({"type": "http.response.body", "body": data, "more_body": left > 0})
        if not file.n_bytes:
            await visit.send({"type": "http.response.body", "body": b""})


def view(file: File) -> dict[str, Json]:
    """Return a file as its owner sees it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.n_bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": None if file.expires_at is None else int(file.expires_at.timestamp()),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def page(found: list[dict[str, Json]], limit: int) -> dict[str, Json]:
    """Return a page of a list of which one more than the limit was looked for."""
    shown = found[:limit]
    return {
        "object": "list",
        "data": list(shown),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }


def limit_of(text: str | None, default: int, most: int) -> int:
    """Read `limit`. Raises `InvalidRequest`."""
    if text is None:
        return default
    limit = number_in(text, 1, most)
    if limit is None:
        raise InvalidRequest(f"limit: expected 1–{most}", param="limit")
    return limit


def _purpose(text: str) -> Purpose:
    if text not in PURPOSES:
        known = ", ".join(sorted(PURPOSES))
        raise InvalidRequest(f"purpose: expected one of {known}", param="purpose")
    purpose: Purpose = msgspec.convert(text, Purpose)
    return purpose
