"""The paths of administration: the admin API, sign-in, and imported scores. Floor 6.

They are served at a listener of their own where one is configured, and then nowhere else (S-102).
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from turnout.errors import NotFound, TurnoutError
from turnout.server.admin.admin import Admin
from turnout.server.admin.call import failure_body
from turnout.server.admin.permits import BASE
from turnout.server.http import Receive, Scope, Send
from turnout.server.login.auth import Auth
from turnout.server.paths import OPENAI, Paths
from turnout.server.scores import ScoresFile, check_admin, check_type, takes_scores
from turnout.server.visit import Visit
from turnout.types.principal import Principal

ADMIN_SIDE: Final = "turnout.admin"
"""In the scope of what came in at the listener of administration."""
_METHODS: Final = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE")
"""The admin API itself says which of them a path has."""
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Lent(NamedTuple):
    """What the gateway does for administration."""

    enter: Callable[[Visit, str], None]
    read: Callable[[Visit], Awaitable[bytes]]
    ok: Callable[[Visit, bytes], Awaitable[None]]
    scores: Callable[[], ScoresFile | None]
    identify: Callable[[str, str], Principal]
    """Returns whose key a text is, called from an address. Raises `Unauthenticated`, `RateLimited`."""
    named: Callable[[str], Principal]
    """Returns who a key's id stands for. Raises `Unauthenticated`."""


class Plane:
    """Administration at one gateway.

    Attributes:
        admin: The admin API; None until it is opened.
        auth: Sign-in; None until it is opened.
        paths: What is served at a listener of its own.
    """

    def __init__(self, lent: Lent) -> None:
        self.lent = lent
        self.admin: Admin | None = None
        self.auth: Auth | None = None
        self.paths: Paths[Visit] = Paths()
        self.mount(self.paths)

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve administration among these paths too."""
        paths.add_root("/admin/benchmarks", self._take_scores, ("POST",))
        paths.add_under("/admin/v1/", self._administer, OPENAI, _METHODS)
        paths.add_under("/auth/", self._sign_in, OPENAI, ("GET", "POST"))

    async def close(self) -> None:
        """Let go of what sign-in holds."""
        if self.auth is not None:
            await self.auth.close()

    async def _administer(self, visit: Visit) -> None:
        if self.admin is None:
            raise NotFound("no administration is served here")
        await self.admin.visit(visit, self.lent.enter, self.lent.read)

    async def _sign_in(self, visit: Visit) -> None:
        if self.auth is None:
            raise NotFound("no administration is served here")
        await self.auth.visit(visit)

    async def _take_scores(self, visit: Visit) -> None:
        self.lent.enter(visit, "admin")
        check_admin(visit.principal, visit.address)
        check_type(visit.inbound.content_type)
        scores = takes_scores(self.lent.scores())
        await self.lent.ok(visit, scores.take(await self.lent.read(visit)))


def told(path: str, error: TurnoutError) -> bytes:
    """Return how the admin API writes a failure of a request to it that it never saw; b"" for other paths."""
    return failure_body(error) if path.startswith(BASE + "/") else b""


def admin_side(app: App) -> App:
    """Return an application that serves the paths of administration alone."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ADMIN_SIDE] = True
        await app(scope, receive, send)

    return serve
