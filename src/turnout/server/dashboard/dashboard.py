"""The dashboard's files: one page and its modules, read from the package. Floor 6.

Theory of operation.

1. The files hold no data and no secret: everything that is shown comes from `/admin/v1`, under the reader's
   own session. They are therefore served to everybody, as a login page would be.
2. A file is read once, packed once, and named by the digest of what it holds: a browser asks whether it
   changed and mostly hears that it did not.
3. Nothing is loaded from elsewhere and no script stands in a page: the policy says so to the browser, which
   then runs nothing that anybody managed to write into one (SECURITY.md section 6).
"""

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct

from turnout.errors import NotFound
from turnout.server.http import RawHeaders, respond
from turnout.server.paths import OPENAI, Paths
from turnout.server.visit import Visit

BASE: Final = "/ui/"
_TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FIXED: Final[RawHeaders] = [
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
    (b"vary", b"accept-encoding, accept"),
]


class Asset(Struct, frozen=True):
    """One file, ready to be sent."""

    kind: bytes
    """Its content type."""
    tag: bytes
    plain: bytes
    packed: bytes
    """The same under gzip."""


def read_assets(root: Traversable) -> dict[str, Asset]:
    """Return the files below a folder, by their path in it."""
    found: dict[str, Asset] = {}
    for each in root.iterdir():
        if each.is_dir():
            found.update({f"{each.name}/{name}": asset for name, asset in read_assets(each).items()})
            continue
        kind = _TYPES.get(each.name.rpartition(".")[2])
        if kind is not None:
            plain = each.read_bytes()
            tag = b'"' + hashlib.blake2b(plain, digest_size=12).hexdigest().encode() + b'"'
            found[each.name] = Asset(kind, tag, plain, gzip.compress(plain, mtime=0))
    return found


class Dashboard:
    """Serves the files.

    Args:
        otherwise: What serves `/` to a client that does not read HTML.
    """

    def __init__(self, otherwise: Callable[[Visit], Awaitable[None]]) -> None:
        self._otherwise = otherwise
        self._assets: dict[str, Asset] | None = None

    def mount(self, paths: Sequence[Paths[Visit]]) -> None:
        """Serve `/` and what is under `/ui/`."""
        for each in paths:
            each.add_root("/", self._front)
            each.add_under(BASE, self._file, OPENAI, ("GET", "HEAD"))

    async def _front(self, visit: Visit) -> None:
        accepts = [value for name, value in visit.scope["headers"] if name == b"accept"]
        if any(b"text/html" in value for value in accepts):
            await self._send(visit, "index.html")
        else:
            await self._otherwise(visit)

    async def _file(self, visit: Visit) -> None:
        await self._send(visit, visit.path_rest)

    async def _send(self, visit: Visit, name: str) -> None:
        if self._assets is None:
            self._assets = read_assets(files("turnout.server.dashboard") / "static")
        asset = self._assets.get(name)
        if asset is None:
            raise NotFound(f"no such file: {name[:200]}")
        given = dict(visit.scope["headers"])
        headers: RawHeaders = [(b"content-type", asset.kind), (b"etag", asset.tag), *_FIXED]
        if asset.tag in given.get(b"if-none-match", b""):
            await respond(visit.send, 304, headers, b"")
            return
        body = asset.plain
        if b"gzip" in given.get(b"accept-encoding", b""):
            body = asset.packed
            headers.append((b"content-encoding", b"gzip"))
        head = visit.scope["method"] == "HEAD"
        await respond(visit.send, 200, headers, b"" if head else body)
