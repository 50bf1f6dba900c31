"""Carries the calls of guards to their addresses: one transport, each with its own credential. Floor 5."""

from typing import cast
from urllib.parse import urlsplit

from turnout.compile.guards import provider_of
from turnout.config import Config
from turnout.engine.snapshot import Snapshot
from turnout.guards.base import Calling, Post
from turnout.layers.guard import Send
from turnout.transport.base import Authorise, Transport
from turnout.types.deployment import Auth, Credential
from turnout.types.http import HttpRequest, HttpResponse, Timeouts


def guard_urls(snapshot: Snapshot) -> list[str]:
    """Return the addresses that guards ask: they may be dialled."""
    return [post.guard.url for post in snapshot.guards.posts if isinstance(post.guard, Calling)]


def guard_sender(config: Config, snapshot: Snapshot, transport: Transport) -> Send:
    """Return what carries the calls of guards."""
    credentials = _credentials(config, snapshot)

    async def send(post: Post, request: HttpRequest) -> HttpResponse:
        guard = cast("Calling", post.guard)  # the layer sends for no other
        limit = guard.timeout_s
        timeouts = Timeouts(connect_s=limit, first_byte_s=limit, idle_s=limit, total_s=limit)
        response = await transport.send(request, timeouts, credentials.get(post.name))
        try:
            return HttpResponse(response.status, response.headers, await response.read())
        finally:
            response.close()

    return send


def _credentials(config: Config, snapshot: Snapshot) -> dict[str, Authorise]:
    from turnout.transport.credentials import authorise_for  # noqa: PLC0415

    found: dict[str, Authorise] = {}
    guards = {post.name: post.guard for post in snapshot.guards.posts}
    for row in config.guards.rules:
        guard: object = guards.get(row.name)
        if not isinstance(guard, Calling):
            continue
        served = provider_of(row, snapshot.deployments)
        credential = Credential(row.name, row.secret) if served is None else served.credential
        auth: Auth = "bearer" if served is None else served.vendor.auth
        if credential is not None and credential.secret is not None:
            found[row.name] = authorise_for(auth, credential, (urlsplit(guard.url).hostname or "",))
    return found
