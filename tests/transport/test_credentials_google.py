"""Access tokens of service accounts, fetched over real sockets."""

import asyncio
import json
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs

import pytest

from turnout.errors import ConfigError, Forbidden, ProviderAuth, ProviderFailed
from turnout.server.http import read_body, respond
from turnout.testing.emulator import serving
from turnout.transport.base import Prepared
from turnout.transport.credentials_google import SCOPE, GoogleTokens, token_endpoint
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest
from turnout.types.secret import Secret

rsa = pytest.importorskip(
    "cryptography.hazmat.primitives.asymmetric.rsa", reason="the extra vertex is missing"
)
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, padding  # noqa: E402

HOST = "eu-aiplatform.googleapis.com"
CALL = HttpRequest("POST", f"https://{HOST}/v1/x", (), b"{}")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Endpoint:
    """A token endpoint that keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = (200, {"access_token": "ya29.t", "expires_in": 3600})
        self.gate = None
        self.arrived = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.asked.append(parse_qs((await read_body(receive, 65_536, None, "")).decode()))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        status, body = self.answer
        if status == 200:
            body = {**body, "access_token": f"{body['access_token']}{len(self.asked)}"}
        await respond(send, status, [(b"content-type", b"application/json")], json.dumps(body).encode())


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def endpoint():
    return Endpoint()


@pytest.fixture
async def url(endpoint):
    async with serving(endpoint) as address:
        yield address + "/token"


@pytest.fixture
async def transport(url):
    opened = HttpTransport(egress_for({url}))
    yield opened
    await opened.close()


@pytest.fixture
def clock():
    return Clock()


def account(url, **members):
    return {
        "type": "service_account",
        "client_email": "a@p.iam.gserviceaccount.com",
        "private_key": pem(KEY),
        "private_key_id": "k1",
        "token_uri": url,
        **members,
    }


@pytest.fixture
def tokens(url, clock):
    return GoogleTokens(Credential("g", Secret(json.dumps(account(url)))), (HOST,), clock=clock)


def segment(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_signs_an_assertion_and_presents_the_token_it_gets(
    tokens, transport, endpoint, url, clock
):
    await tokens.prepare(transport)
    assert tokens(CALL) == ((b"authorization", b"Bearer ya29.t1"),)
    (asked,) = endpoint.asked
    head, claims, signature = asked["assertion"][0].split(".")
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert json.loads(segment(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert json.loads(segment(claims)) == {
        "iss": "a@p.iam.gserviceaccount.com",
        "scope": SCOPE,
        "aud": url,
        "iat": int(clock.now),
        "exp": int(clock.now) + 3600,
    }
    signed = f"{head}.{claims}".encode()
    KEY.public_key().verify(segment(signature), signed, padding.PKCS1v15(), hashes.SHA256())


async def test_a_token_is_kept_until_shortly_before_its_end(tokens, transport, endpoint, clock):
    await tokens.prepare(transport)
    clock.now += 3299
    await tokens.prepare(transport)
    assert len(endpoint.asked) == 1
    clock.now += 2
    await tokens.prepare(transport)
    assert tokens(CALL) == ((b"authorization", b"Bearer ya29.t2"),)


async def test_many_callers_share_one_fetch(tokens, transport, endpoint):
    endpoint.gate = asyncio.Event()
    callers = [asyncio.create_task(tokens.prepare(transport)) for _ in range(20)]
    await endpoint.arrived.wait()
    endpoint.gate.set()
    await asyncio.gather(*callers)
    assert len(endpoint.asked) == 1


async def test_callers_with_a_good_token_do_not_wait_for_the_next_one(tokens, transport, endpoint, clock):
    await tokens.prepare(transport)
    clock.now += 3400
    endpoint.gate, endpoint.arrived = asyncio.Event(), asyncio.Event()
    fetching = asyncio.create_task(tokens.prepare(transport))
    await endpoint.arrived.wait()
    await tokens.prepare(transport)
    assert tokens(CALL) == ((b"authorization", b"Bearer ya29.t1"),)
    endpoint.gate.set()
    await fetching
    assert tokens(CALL) == ((b"authorization", b"Bearer ya29.t2"),)


async def test_a_fetch_that_fails_is_forgotten_while_the_old_token_is_good(
    tokens, transport, endpoint, clock
):
    await tokens.prepare(transport)
    endpoint.answer = (500, {})
    clock.now += 3400
    await tokens.prepare(transport)
    assert tokens(CALL) == ((b"authorization", b"Bearer ya29.t1"),)
    clock.now += 300
    with pytest.raises(ProviderFailed):
        await tokens.prepare(transport)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"error": "invalid_grant"}), ProviderAuth),
        ((401, {}), ProviderAuth),
        ((503, {}), ProviderFailed),
    ],
)
async def test_a_refusal_is_the_credentials_and_a_failure_the_providers(
    tokens, transport, endpoint, answer, error
):
    endpoint.answer = answer
    with pytest.raises(error) as caught:
        await tokens.prepare(transport)
    assert "'g'" in str(caught.value)


async def test_a_users_own_login_is_refreshed(url, transport, endpoint):
    login = {
        "type": "authorized_user",
        "client_id": "i",
        "client_secret": "s",
        "refresh_token": "r",
        "token_uri": url,
    }
    tokens = GoogleTokens(Credential("g", Secret(json.dumps(login))), (HOST,))
    await tokens.prepare(transport)
    grant = {
        "grant_type": ["refresh_token"],
        "client_id": ["i"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }
    assert endpoint.asked == [grant]


async def test_the_endpoint_must_be_an_allowed_destination(tokens):
    closed = HttpTransport(egress_for({"https://elsewhere.test"}))
    with pytest.raises(Forbidden):
        await tokens.prepare(closed)
    await closed.close()


def test_a_token_goes_to_its_hosts_only_and_shows_nowhere(tokens):
    with pytest.raises(Forbidden, match="does not belong"):
        tokens(HttpRequest("POST", "https://elsewhere.test/", ()))
    assert repr(tokens) == f"<tokens 'g' for {HOST}>"
    assert isinstance(tokens, Prepared)


def test_a_login_may_stand_in_a_file(tmp_path):
    file = tmp_path / "login.json"
    file.write_text(json.dumps(account("https://oauth2.googleapis.com/token")))
    assert token_endpoint(Credential("g", Secret(str(file)))) == "https://oauth2.googleapis.com/token"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/nowhere/login.json", "the path of its file"),
        ("", "expected a login"),
        ('{"type":"external_account"}', "expected a login of type service_account or authorized_user"),
        (json.dumps(account("u", private_key="x")), "is no PEM key"),
        (json.dumps(account("u", private_key=pem(ec.generate_private_key(ec.SECP256R1())))), "is no RSA key"),
    ],
)
def test_a_login_that_cannot_be_used_is_told_without_its_key(text, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        GoogleTokens(Credential("g", Secret(text)), (HOST,))
    assert "BEGIN" not in str(caught.value)
