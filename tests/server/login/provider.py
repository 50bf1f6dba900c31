"""A real OpenID Connect provider (`oidc-provider-mock`) on a socket, and a layer that bends its answers."""

import json
import threading
from base64 import urlsafe_b64decode
from contextlib import contextmanager
from urllib.parse import parse_qs

import oidc_provider_mock
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey
from werkzeug.serving import make_server
from werkzeug.test import Client

PEOPLE = {
    "ada": {"email": "Ada@example.com", "email_verified": True, "name": "Ada", "groups": ["router-admins"]},
    "bob": {"email": "bob@example.com", "email_verified": True, "groups": []},
    "eve": {"email": "bob@example.com", "email_verified": False},
}
_BY_NAME = jws.JWSRegistry(algorithms=["RS256", "HS256", "none"])


class Bent:
    """The provider behind a layer that keeps what it was asked, and signs id tokens as a test wishes."""

    def __init__(self, app) -> None:
        self._app, self._client = app, Client(app)
        self.straighten()
        self.forms = []
        """What was sent to the token endpoint."""
        self.n_keys_read = 0

    def straighten(self) -> None:
        """Answer as the provider itself does."""
        self.claims, self.header = {}, None
        self.key = self.shown = None
        """Signs instead of the provider's own; and what the key set shows instead."""

    def __call__(self, environ, start):
        path = environ["PATH_INFO"]
        if path == "/jwks":
            self.n_keys_read += 1
            if self.shown is not None:
                return self._send(start, {"keys": [self.shown.as_dict(private=False)]})
        if path != "/oauth2/token":
            return self._app(environ, start)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.forms.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        answer = self._client.post(
            path,
            data=body,
            base_url=f"http://{environ['HTTP_HOST']}",
            headers={"authorization": environ.get("HTTP_AUTHORIZATION", "")},
            content_type="application/x-www-form-urlencoded",
        )
        tree = answer.get_json()
        if answer.status_code == 200 and (self.claims or self.key or self.header):
            tree["id_token"] = self._signed(tree["id_token"])
        return self._send(start, tree, answer.status)

    def _signed(self, token):
        part = token.split(".")[1]
        told = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        told = {name: value for name, value in {**told, **self.claims}.items() if value is not None}
        header = self.header or {"alg": "RS256", "kid": "own"}
        return jwt.encode(header, told, self.key, registry=_BY_NAME)

    @staticmethod
    def _send(start, tree, status="200 OK"):
        data = json.dumps(tree).encode()
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]


def rsa(kid="own"):
    """Make a signing key."""
    return RSAKey.generate_key(2048, {"kid": kid})


def shared(secret):
    """A key out of a secret that both sides know."""
    return OctKey.import_key(secret, {"kid": "own"})


@contextmanager
def provider():
    """Start the provider; yield its issuer and the layer over it."""
    people = [oidc_provider_mock.User(sub=name, claims=claims) for name, claims in PEOPLE.items()]
    app = oidc_provider_mock.app(user_claims=people, require_nonce=True)
    bent = Bent(app)
    server = make_server("127.0.0.1", 0, bent, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
