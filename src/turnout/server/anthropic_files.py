"""`/v1/files` in Anthropic's shape, over the same files as OpenAI's. Floor 6.

What one of the two uploaded the other can see: a file is its project's, whatever client it came by. Unlike at
Anthropic, what was uploaded can be downloaded, and a list goes by either of its two ways of paging.
Source: Anthropic API reference, Files (seen 2026-11); recordings. WIRE.md 3.8.
"""

import asyncio
import mimetypes
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from turnout.config.files import FilesConfig
from turnout.errors import InvalidRequest
from turnout.server.http import JSON_TYPE, respond
from turnout.server.paths import ANTHROPIC, Paths
from turnout.server.uploads import (
    Endpoint,
    Endpoints,
    Shelf,
    Upload,
    Uploads,
    found_file,
    limit_of,
    missing,
    owner_of,
    send_file,
)
from turnout.server.verbs import Steps
from turnout.server.visit import Visit, no_endpoint, number_in
from turnout.stores.files import File
from turnout.types.json import Json
from turnout.types.principal import Principal

MOST_LISTED: Final = 1_000
MOST_NAMED: Final = 100
"""Ids that a list may be asked for."""
LEAST_AGE_S, MOST_AGE_S = 3_600, 7_776_000
UNKNOWN: Final = "application/octet-stream"
_AGE: Final = "expires_in_seconds"
_PAGE: Final = "page_"
_ROOT: Final = "/anthropic/v1/files"
_write = msgspec.json.Encoder().encode


class AnthropicFiles:
    """The endpoints at one gateway.

    Args:
        steps: What the gateway does for each of its endpoints.
        uploads: Where files are taken in.
    """

    def __init__(self, steps: Steps, uploads: Uploads) -> None:
        self._steps = steps
        self._uploads = uploads
        self.endpoints: Endpoints = {
            ("POST", "/files"): self._upload,
            ("GET", "/files"): self._list,
            ("GET", "/files/"): self._show,
            ("DELETE", "/files/"): self._delete,
        }

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths that are Anthropic's alone; at the others `Uploads` asks who speaks."""
        found: Mapping[tuple[str, str], Endpoint] = self.endpoints
        for method in ("POST", "GET"):
            paths.add_root(_ROOT, found[method, "/files"], (method,), ANTHROPIC)
        for method in ("GET", "DELETE"):
            paths.add_under(f"{_ROOT}/", found[method, "/files/"], ANTHROPIC, (method,))

    async def _upload(self, visit: Visit) -> None:
        file = await self._uploads.upload(visit, {_AGE, "purpose"}, _made)
        await self._tell(visit, view(file))

    async def _list(self, visit: Visit) -> None:
        shelf = self._uploads.entered(visit)
        pairs = parse_qsl(visit.scope["query_string"].decode("latin-1"))
        named = [value for name, value in pairs if name in ("ids", "ids[]")]
        if named:
            files = await _named(shelf, visit.principal, named)
            await self._tell(visit, _listed(files, more=False))
            return
        query = dict(pairs)
        limit = limit_of(query.get("limit"), 20, MOST_LISTED)
        before = query.get("before_id")
        page = query.get("page")
        if page is not None and not page.startswith(_PAGE):
            raise InvalidRequest("page: not one of this list", param="page")
        after = query.get("after_id") if page is None else page.removeprefix(_PAGE)
        found = await asyncio.to_thread(
            shelf.files.page,
            owner_of(visit.principal),
            datetime.now(UTC),
            limit=limit + 1,
            after=after if before is None else before,
            newest=before is None,
        )
        shown = found[:limit] if before is None else found[:limit][::-1]
        await self._tell(visit, _listed(shown, more=len(found) > limit))

    async def _show(self, visit: Visit) -> None:
        shelf = self._uploads.entered(visit)
        file_id, slash, what = visit.path_rest.partition("/")
        if slash and what != "content":
            raise no_endpoint(visit)
        file = await found_file(shelf, file_id, visit.principal)
        if not slash:
            await self._tell(visit, view(file))
            return
        headers = [
            (b"content-type", UNKNOWN.encode()),
            (b"x-content-type-options", b"nosniff"),
            *self._steps.ids(visit.request_id),
        ]
        await send_file(visit, shelf, file, headers)

    async def _delete(self, visit: Visit) -> None:
        shelf = self._uploads.entered(visit)
        file_id = visit.path_rest
        if not await asyncio.to_thread(shelf.files.delete, file_id, owner_of(visit.principal)):
            raise missing(file_id)
        await self._tell(visit, {"id": file_id, "type": "file_deleted"})

    async def _tell(self, visit: Visit, tree: Mapping[str, Json]) -> None:
        headers = [JSON_TYPE, *self._steps.ids(visit.request_id), (b"request-id", visit.request_id.encode())]
        await respond(visit.send, 200, headers, _write(tree))


async def _named(shelf: Shelf, who: Principal, ids: list[str]) -> list[File]:
    """Return the files of some ids; those that are nobody's, or another's, are left out."""
    if len(dict.fromkeys(ids)) > MOST_NAMED:
        raise InvalidRequest(f"ids: at most {MOST_NAMED}", param="ids")
    now = datetime.now(UTC)

    def find() -> list[File]:
        found = (shelf.files.get(each, owner_of(who), now) for each in dict.fromkeys(ids))
        return [file for file in found if file is not None]

    return await asyncio.to_thread(find)


def _made(upload: Upload, who: Principal, config: FilesConfig) -> File:
    told = upload.text(_AGE)
    age_s: float | None = None
    if told:
        age_s = number_in(told, LEAST_AGE_S, MOST_AGE_S)
        if age_s is None:
            raise InvalidRequest(f"{_AGE}: expected {LEAST_AGE_S}–{MOST_AGE_S}", param=_AGE)
    return upload.file(who, config, "user_data", age_s)


def _listed(files: list[File], *, more: bool) -> dict[str, Json]:
    return {
        "data": [view(each) for each in files],
        "has_more": more,
        "first_id": files[0].id if files else None,
        "last_id": files[-1].id if files else None,
        "next_page": f"{_PAGE}{files[-1].id}" if files and more else None,
    }


def mime_of(file: File) -> str:
    """Return the type of a file: what its client named, else what its name says."""
    if file.mime and file.mime != UNKNOWN:
        return file.mime
    return mimetypes.guess_type(file.name)[0] or UNKNOWN


def view(file: File) -> dict[str, Json]:
    """Return a file as its owner sees it."""
    return {
        "id": file.id,
        "type": "file",
        "filename": file.name,
        "mime_type": mime_of(file),
        "size_bytes": file.n_bytes,
        "created_at": _at(file.created_at),
        "expires_at": None if file.expires_at is None else _at(file.expires_at),
        "downloadable": True,
    }


def _at(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
