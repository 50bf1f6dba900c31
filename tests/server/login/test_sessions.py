"""Sessions begun with a key, and what a gateway without keys lets the machine itself do."""

import httpx
import pytest

from tests.server.admin.kit import desked
from tests.server.kit import gateway
from turnout.config.oidc import OidcConfig, RoleMapConfig
from turnout.govern.keys import revoke
from turnout.govern.pepper import peppers_of
from turnout.govern.rules import CLI
from turnout.server.admin.opening import open_admin
from turnout.server.desk import Room
from turnout.server.login import claims, cookies, pending
from turnout.types.secret import Secret


async def test_a_key_that_administers_begins_a_session_which_ends_with_it(tmp_path) -> None:
    async with desked(tmp_path) as found, httpx.AsyncClient(base_url=found.rig.url) as http:
        for role, status in (("call", 403), ("scrape", 403), ("admin", 200)):
            reply = await http.post("/auth/session", json={"key": found.keys[role]})
            assert reply.status_code == status, role
        assert reply.json() == {"object": "session", "role": "admin", "organisation": "own"}
        me = (await http.get("/auth/me")).json()
        assert (me["id"], me["user"], me["role"], me["provider"]) == (found.ids["admin"], None, "admin", None)
        assert (await http.get("/admin/v1/keys")).status_code == 200
        made = await http.post("/admin/v1/tokens", json={}, headers={"x-turnout-csrf": me["csrf"]})
        assert made.status_code == 409
        assert (await http.get("/auth/login")).status_code == 404
        acts = [entry.act for entry in await found.office.desk.audit("own")]
        assert acts[-1].action == "login"
        await revoke(found.office, CLI, found.ids["admin"])
        await found.room.refresh()
        assert (await http.get("/auth/me")).status_code == 401
        assert (await http.get("/auth/ways")).json() == {
            "object": "ways",
            "provider": None,
            "key": True,
            "known": True,
        }


async def test_whoever_guesses_keys_at_sign_in_is_told_to_wait_and_other_sites_sign_nobody_in(
    tmp_path,
) -> None:
    async with desked(tmp_path) as found, httpx.AsyncClient(base_url=found.rig.url) as http:
        key = {"key": found.keys["owner"]}
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await http.post("/auth/session", json=key, headers=headers)).status_code == 403
        form = {"content-type": "text/plain"}
        assert (await http.post("/auth/session", content=b"{}", headers=form)).status_code == 400
        statuses = [(await http.post("/auth/session", json={"key": f"x{n}"})).status_code for n in range(21)]
        assert statuses == [401] * 20 + [429]
        assert (await http.post("/auth/session", json=key)).status_code == 200


async def test_without_keys_pages_of_the_gateway_itself_may_write_and_others_may_not(tmp_path) -> None:
    text = f"server: {{port: 0}}\njournal: {{enabled: false}}\ndesk: {{path: '{tmp_path}/d.db'}}\n"
    async with gateway(text) as rig:
        room = Room(rig.built, rig.gateway.follow)
        await room.start()
        await open_admin(rig.built, rig.gateway, room)
        try:
            async with httpx.AsyncClient(base_url=rig.url) as http:
                me = (await http.get("/auth/me")).json()
                assert (me["id"], me["role"], me["csrf"]) == ("local", "owner", None)
                found = [
                    (
                        await http.post("/admin/v1/organisations", json={"id": name}, headers=headers)
                    ).status_code
                    for name, headers in (
                        ("a", {"origin": rig.url, "sec-fetch-site": "same-origin"}),
                        ("b", {"origin": "http://127.0.0.1:1"}),
                        ("c", {"origin": "null"}),
                        ("d", {"host": "rebound.example"}),
                        ("e", {"sec-fetch-site": "same-site"}),
                    )
                ]
            assert found == [201, 403, 403, 403, 403]
        finally:
            await room.close()


def test_over_tls_a_cookie_is_bound_to_the_host() -> None:
    name, value = cookies.write(cookies.SESSION, "x", secure=True, max_age_s=60)
    assert (name, value) == (
        b"set-cookie",
        b"__Host-turnout-session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure",
    )
    scope = {"headers": [(b"cookie", b"turnout-session=planted; __Host-turnout-session=x")]}
    assert cookies.read(scope, cookies.SESSION, secure=True) == "x"
    twice = {"headers": [(b"cookie", b"turnout-session=a"), (b"cookie", b"turnout-session=b")]}
    assert cookies.read(twice, cookies.SESSION, secure=False) == ""


def test_a_sign_in_under_way_ends_by_itself_and_survives_a_new_pepper() -> None:
    one, two = Secret("0123456789abcdef" * 4), Secret("fedcba9876543210" * 4)
    begun = pending.begin(b"x" * 32, 1000.5, "/a")
    sealed = pending.seal(begun, peppers_of([one]))
    assert pending.unseal(sealed, peppers_of([two, one]), 1600) == begun
    assert pending.unseal(sealed, peppers_of([two, one]), 1601) is None
    assert pending.unseal(sealed, peppers_of([two]), 1001) is None
    assert pending.unseal("ä", peppers_of([one]), 1001) is None
    assert len({begun.state, begun.nonce, begun.verifier, begun.challenge, begun.secret}) == 5


@pytest.mark.parametrize(
    ("claim", "said", "role"),
    [
        ("groups", {"groups": ["x", "y"]}, "viewer"),
        ("realm_access.roles", {"realm_access": {"roles": ["y"]}}, "viewer"),
        ("https://x.example/role", {"https://x.example/role": "y"}, "viewer"),
        ("admin", {"admin": "Y"}, None),
        ("groups", {"groups": {"y": True}}, None),
        ("groups", {}, None),
    ],
)
def test_a_claim_gives_a_role_by_its_name_or_by_a_path_into_one(claim, said, role) -> None:
    config = OidcConfig(
        issuer="https://op.example",
        client_id="c",
        redirect_url="https://gw.example/auth/callback",
        roles=(RoleMapConfig(claim=claim, value="y", role="viewer"),),
    )
    found = claims.identity_of({"sub": "1", "email": "A@x.y", **said}, config)
    assert (found.role, found.email) == (role, "")
