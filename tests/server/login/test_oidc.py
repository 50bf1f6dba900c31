"""Sign-in through a real provider: the happy path, and everything that must not work."""

import hashlib
import logging
import time
from base64 import urlsafe_b64encode
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.server.admin.kit import desked
from tests.server.login.provider import PEOPLE, provider, rsa, shared
from turnout.govern import users
from turnout.govern.office import utc_now
from turnout.govern.rules import CLI
from turnout.server.login import pending

SECRET = "client-secret-0123456789"
BACK = "http://127.0.0.1:4000"


@pytest.fixture(scope="module")
def op():
    with provider() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway(op, tmp_path_factory):
    issuer, _ = op
    admin = (
        f", oidc: {{issuer: '{issuer}', client_id: turnout, client_secret: {SECRET}, "
        f"redirect_url: '{BACK}/auth/callback', "
        "roles: [{claim: groups, value: router-admins, role: admin, organisation: own}]}"
    )
    async with desked(tmp_path_factory.mktemp("oidc"), admin=admin) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(shared_gateway, op):
    """The gateway with nobody known yet, and its provider as it is."""
    op[1].straighten()
    shared_gateway.office.now = utc_now
    async for row, _ in users.everybody(shared_gateway.office):
        await users.remove(shared_gateway.office, CLI, row.id)
    shared_gateway.rig.gateway.plane.auth._provider = None
    return shared_gateway


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Browser:
    """Follows sign-in by hand, with a cookie jar of its own."""

    def __init__(self, gateway) -> None:
        self.http = httpx.AsyncClient(base_url=gateway.rig.url)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc) -> None:
        await self.http.aclose()

    async def to_provider(self, sub, goes_on="/"):
        """Begin, sign in at the provider, and return where it sends the browser back to."""
        reply = await self.http.get("/auth/login", params={"next": goes_on})
        assert reply.status_code == 302, reply.text
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(reply.headers["location"]).query).items()}
        async with httpx.AsyncClient() as other:
            back = await other.post(reply.headers["location"], data={"sub": sub})
        assert back.headers["location"].startswith(f"{BACK}/auth/callback?"), back.text
        return back.headers["location"].removeprefix(BACK)

    async def sign_in(self, sub, goes_on="/"):
        return await self.http.get(await self.to_provider(sub, goes_on))

    async def me(self):
        return await self.http.get("/auth/me")

    async def csrf(self):
        return {"x-turnout-csrf": (await self.me()).json()["csrf"]}


async def test_whoever_was_invited_signs_in_and_administers_as_what_they_were_invited(gateway, op) -> None:
    made = await users.invite(
        gateway.office, CLI, {"email": "BOB@example.com", "role": "operator", "organisation": "own"}
    )
    async with Browser(gateway) as browser:
        page = await browser.sign_in("bob", "/requests?a=1&b=2")
        assert page.status_code == 200
        assert 'url=/requests?a=1&amp;b=2"' in page.text
        kept = {c.partition("=")[0]: c for c in page.headers.get_list("set-cookie")}
        assert (
            kept["turnout-session"].partition("; ")[2] == "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
        )
        assert kept["turnout-login"].startswith("turnout-login=; Path=/; Max-Age=0;")
        me = (await browser.me()).json()
        assert (me["user"], me["role"], me["organisation"], me["name"]) == (
            made.id,
            "operator",
            "own",
            "bob@example.com",
        )
        assert (await browser.http.get("/admin/v1/keys")).status_code == 200
        wrote = await browser.http.post("/admin/v1/teams", json={"id": "x"}, headers=await browser.csrf())
        assert wrote.status_code == 403
    verifier = op[1].forms[-1]["code_verifier"]
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (browser.asked["code_challenge"], browser.asked["code_challenge_method"]) == (digest, "S256")
    user = users.read_user(await gateway.office.desk.get("user", made.id))
    assert (user.issuer, user.subject, user.email) == (op[0], "bob", "bob@example.com")
    assert user.last_login is not None


BENT = {
    "another nonce": ({"nonce": "x"}, None, "own", "nonce is of another sign-in"),
    "no nonce": ({"nonce": None}, None, "own", "nonce is of another sign-in"),
    "expired": ({"exp": int(time.time()) - 3600}, None, "own", "exp is past"),
    "to come": ({"iat": int(time.time()) + 3600}, None, "own", "iat is to come"),
    "another client": ({"aud": "other"}, None, "own", "aud is another client"),
    "another party": ({"aud": ["turnout", "other"], "azp": "other"}, None, "own", "azp is another client"),
    "another issuer": ({"iss": "https://other.example"}, None, "own", "iss is another issuer"),
    "unsigned": ({}, {"alg": "none"}, "own", "UnsupportedAlgorithmError"),
    "under the secret": ({}, {"alg": "HS256", "kid": "own"}, "secret", "UnsupportedAlgorithmError"),
    "another's key": ({}, None, "foreign", "BadSignatureError"),
    "an unknown key": ({}, {"alg": "RS256", "kid": "unknown"}, "own", "InvalidKeyIdError"),
}


@pytest.mark.parametrize("case", BENT)
async def test_a_token_that_is_not_for_this_sign_in_signs_nobody_in(gateway, op, case, caplog) -> None:
    bent = op[1]
    bent.claims, bent.header, key, why = BENT[case]
    bent.shown = rsa()
    bent.key = {"own": bent.shown, "foreign": rsa(), "secret": shared(SECRET)}[key]
    async with Browser(gateway) as browser:
        with caplog.at_level(logging.DEBUG, "turnout"):
            page = await browser.sign_in("ada")
        assert page.status_code == 401
        assert "begin again" in page.text
        assert why in caplog.text
        assert "turnout-session" not in page.headers.get("set-cookie", "")
        assert (await browser.me()).status_code == 401
    assert not [row async for row in users.everybody(gateway.office)]
    for secret in (SECRET, bent.forms[-1]["code"], bent.forms[-1]["code_verifier"], "eyJ"):
        assert secret not in caplog.text + page.text


async def test_only_the_browser_that_began_can_end_a_sign_in_and_only_once(gateway) -> None:
    async with Browser(gateway) as browser, Browser(gateway) as other:
        back = await browser.to_provider("ada")
        cookie = browser.http.cookies["turnout-login"]
        assert (await other.http.get(back)).status_code == 400  # login CSRF: the link alone
        wrong = back.replace(f"state={browser.asked['state']}", "state=x")
        assert (await browser.http.get(wrong)).status_code == 400
        assert "turnout-login" not in browser.http.cookies
        back = await browser.to_provider("ada")
        cookie = browser.http.cookies["turnout-login"]
        assert (await browser.http.get(back)).status_code == 200
        assert (await browser.http.get(back)).status_code == 400
        other.http.cookies.set("turnout-login", cookie)
        replayed = await other.http.get(back)
        assert replayed.status_code == 401
        assert "does not take this sign-in any more" in replayed.text
        other.http.cookies.set("turnout-login", cookie[:-2] + "xx")
        assert (await other.http.get(back)).status_code == 400
        denied = await browser.http.get("/auth/callback?error=access_denied&error_description=<b>&state=x")
        assert denied.status_code == 400
        assert "<b>" not in denied.text


async def test_the_provider_may_change_its_keys_and_cannot_be_asked_for_them_all_day(gateway, op) -> None:
    bent = op[1]
    async with Browser(gateway) as browser:
        bent.shown = bent.key = rsa()
        assert (await browser.sign_in("ada")).status_code == 200
        bent.shown = bent.key = rsa("next")
        bent.header = {"alg": "RS256", "kid": "next"}
        assert (await browser.sign_in("ada")).status_code == 200
        before, bent.key = bent.n_keys_read, rsa("made up")
        for _ in range(6):
            assert (await browser.sign_in("ada")).status_code == 401
        assert bent.n_keys_read - before == 3  # five in a minute, two of which were before


async def test_claims_give_the_role_that_the_configuration_says_at_every_sign_in(gateway, op) -> None:
    async with Browser(gateway) as browser, Browser(gateway) as stranger:
        assert (await stranger.sign_in("bob")).status_code == 403
        assert (await browser.sign_in("ada")).status_code == 200
        me = (await browser.me()).json()
        assert (me["role"], me["organisation"]) == ("admin", "own")
        bent = op[1]
        bent.claims, bent.shown = {"groups": []}, rsa()
        bent.key = bent.shown
        async with Browser(gateway) as later:
            assert (await later.sign_in("ada")).status_code == 403
        assert (await browser.me()).status_code == 401  # the role went, and the session with it
    refused = [e.act for e in await gateway.office.desk.audit() if e.act.result == "denied"]
    assert refused[-1].reason.endswith("has no role any more")


async def test_an_address_that_the_provider_does_not_vouch_for_takes_up_no_invitation(gateway) -> None:
    await users.invite(gateway.office, CLI, {"email": "bob@example.com", "role": "owner"})
    async with Browser(gateway) as eve, Browser(gateway) as bob:
        refused = await eve.sign_in("eve")
        assert refused.status_code == 403
        assert "bob" not in refused.text
        assert (await bob.sign_in("bob")).status_code == 200
        assert (await bob.me()).json()["role"] == "owner"
    assert PEOPLE["eve"]["email"] == PEOPLE["bob"]["email"]


async def test_who_is_disabled_is_out_at_once_and_stays_out(gateway) -> None:
    async with Browser(gateway) as browser:
        await browser.sign_in("ada")
        user = (await browser.me()).json()["user"]
        await users.change(gateway.office, CLI, user, {"disabled": True})
        assert (await browser.http.get("/admin/v1/keys")).status_code == 401
        assert (await browser.sign_in("ada")).status_code == 403


async def test_a_session_ends_with_a_new_role_when_signed_out_everywhere_and_by_itself(gateway) -> None:
    async with Browser(gateway) as browser:
        for act in ("role", "sign-out"):
            await browser.sign_in("ada")
            user = (await browser.me()).json()["user"]
            body = {"role": "viewer", "organisation": "own"} if act == "role" else None
            assert (await gateway.call("owner", "POST", f"/users/{user}/{act}", body)).status_code == 200
            assert (await browser.me()).status_code == 401
        now = utc_now()
        for times in ([29, 31 + 29], [25 * n for n in range(1, 30)]):
            await browser.sign_in("ada")
            found = []
            for minutes in times:
                gateway.office.now = lambda at=now + timedelta(minutes=minutes): at
                found.append((await browser.me()).status_code)
            gateway.office.now = utc_now
            assert found == [200] * (1 if len(times) == 2 else 28) + [401]


async def test_signing_in_never_adopts_a_cookie_and_ends_the_session_before(gateway) -> None:
    async with Browser(gateway) as browser, Browser(gateway) as attacker:
        planted = "A" * 43
        browser.http.cookies.set("turnout-session", planted)
        page = await browser.sign_in("ada")
        first = page.headers.get_list("set-cookie")[0].partition(";")[0].partition("=")[2]
        assert first != planted
        attacker.http.cookies.set("turnout-session", planted)
        assert (await attacker.me()).status_code == 401
        browser.http.cookies.clear()
        browser.http.cookies.set("turnout-session", first)
        await browser.sign_in("ada")
        attacker.http.cookies.clear()
        attacker.http.cookies.set("turnout-session", first)
        assert (await attacker.me()).status_code == 401


async def test_writes_by_cookie_come_from_a_page_of_ours(gateway) -> None:
    async with Browser(gateway) as browser:
        await browser.sign_in("ada")
        csrf = await browser.csrf()
        own, site = gateway.rig.url, "sec-fetch-site"
        for headers, status in (
            ({}, 403),
            ({"x-turnout-csrf": "x"}, 403),
            ({**csrf, "origin": "https://evil.example"}, 403),
            ({**csrf, "origin": "null"}, 403),
            ({**csrf, site: "cross-site"}, 403),
            ({**csrf, site: "same-site"}, 403),
            ({"origin": own, site: "same-origin"}, 403),
            ({**csrf, "origin": own, site: "same-origin"}, 201),
        ):
            reply = await browser.http.post("/admin/v1/teams", json={"id": f"t{status}"}, headers=headers)
            assert reply.status_code == status, headers
        assert (await browser.http.post("/auth/logout")).status_code == 403
        ended = await browser.http.post("/auth/logout", headers=csrf)
        assert ended.json()["provider_logout"].startswith("http://127.0.0.1:")
        assert (await browser.me()).status_code == 401


async def test_a_cookie_is_nothing_to_the_data_plane_and_a_key_wins_over_it(gateway) -> None:
    async with Browser(gateway) as browser:
        await browser.sign_in("ada")
        assert (await browser.http.get("/v1/models")).status_code == 401
        named = {"authorization": f"Bearer {gateway.keys['viewer']}"}
        assert (
            await browser.http.post("/admin/v1/teams", json={"id": "y"}, headers=named)
        ).status_code == 403


async def test_a_personal_token_is_made_by_who_is_signed_in_and_may_no_more_than_they(gateway) -> None:
    async with Browser(gateway) as browser:
        await browser.sign_in("ada")
        user, csrf = (await browser.me()).json()["user"], await browser.csrf()
        over = await browser.http.post("/admin/v1/tokens", json={"role": "owner"}, headers=csrf)
        assert over.status_code == 403
        made = await browser.http.post("/admin/v1/tokens", json={"role": "admin"}, headers=csrf)
        token = made.json()["key"]
        assert token.startswith("tnp_")
        bearer = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=gateway.rig.url, headers=bearer) as script:
            await gateway.room.refresh()
            assert (await script.post("/admin/v1/teams", json={"id": "by-token"})).status_code == 201
            assert (await script.post("/admin/v1/tokens", json={})).status_code == 403
            assert (await script.get("/v1/models")).status_code == 403
            entry = [e.act for e in await gateway.office.desk.audit("own") if e.act.object == "team/by-token"]
            assert (entry[0].actor, entry[0].facts["via"]) == (user, made.json()["document"]["id"])
            await users.set_role(gateway.office, CLI, user, users.Standing(role="viewer", organisation="own"))
            await gateway.room.refresh()
            assert (await script.post("/admin/v1/teams", json={"id": "z"})).status_code == 403
            assert (await script.get("/admin/v1/teams")).status_code == 200
            await users.change(gateway.office, CLI, user, {"disabled": True})
            await gateway.room.refresh()
            assert (await script.get("/admin/v1/teams")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/ok\r\nx: y",
        "javascript:1",
        "",
        '/"><b>',
    ],
)
async def test_going_on_is_a_path_of_this_gateway_or_the_beginning(path) -> None:
    assert pending.begin(b"x" * 32, 0, path).goes_on == "/"
