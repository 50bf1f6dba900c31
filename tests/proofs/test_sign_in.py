"""Two replicas over one PostgreSQL: a sign-in spans them, and what ends at one ends at both."""

from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from tests.proofs.test_drills import database
from tests.server.kit import gateway
from tests.server.login.provider import provider
from turnout.govern import users
from turnout.govern.rules import CLI
from turnout.server.admin.opening import open_admin
from turnout.server.desk import Room

__all__ = ["database"]

PEPPER = "0123456789abcdef" * 4
N_PEOPLE = 40


@asynccontextmanager
async def replica(url, issuer):
    text = f"""
server: {{port: 0}}
journal: {{enabled: false}}
ledger: {{store: memory}}
desk: {{store: '{url}', pepper: {PEPPER}}}
admin:
  oidc:
    issuer: '{issuer}'
    client_id: turnout
    client_secret: client-secret-0123456789
    redirect_url: http://127.0.0.1:4000/auth/callback
    roles: [{{claim: groups, value: router-admins, role: admin}}]
"""
    async with gateway(text) as rig:
        room = Room(rig.built, rig.gateway.follow)
        await room.start()
        await open_admin(rig.built, rig.gateway, room)
        try:
            yield rig, room
        finally:
            await rig.gateway.plane.close()
            await room.close()


async def begun(http, base, sub="ada"):
    """Begin at a replica and sign in at the provider; return the path that the browser is sent back to."""
    reply = await http.get(f"{base}/auth/login")
    async with httpx.AsyncClient() as other:
        back = await other.post(reply.headers["location"], data={"sub": sub})
    return back.headers["location"].removeprefix("http://127.0.0.1:4000")


@pytest.mark.timeout(120)
async def test_a_sign_in_spans_replicas_and_a_sign_out_reaches_them_all_at_once(database) -> None:
    with provider() as (issuer, _):
        async with AsyncExitStack() as stack:
            (one, room), (two, _) = [
                await stack.enter_async_context(replica(database.url, issuer)) for _ in range(2)
            ]
            for n in range(N_PEOPLE):
                # Cookies are of a host, whatever the port: one browser before two replicas.
                async with httpx.AsyncClient() as http:
                    back = await begun(http, one.url)
                    assert (await http.get(f"{two.url}{back}")).status_code == 200
                    me = [(await http.get(f"{each.url}/auth/me")).json() for each in (one, two)]
                    assert me[0] == me[1]
                    assert me[0]["role"] == "admin"
                    if n % 2:
                        csrf = {"x-turnout-csrf": me[0]["csrf"]}
                        assert (await http.post(f"{one.url}/auth/logout", headers=csrf)).status_code == 200
                    else:
                        await users.sign_out(room.office, CLI, me[0]["user"])
                    kept = http.cookies.get("turnout-session") or "gone"
                    http.cookies.set("turnout-session", kept)
                    left = [(await http.get(f"{each.url}/auth/me")).status_code for each in (one, two)]
                    assert left == [401, 401]
            people = [user async for _, user in users.everybody(room.office)]
            assert [user.subject for user in people] == ["ada"]
            assert people[0].generation == 1 + N_PEOPLE // 2
