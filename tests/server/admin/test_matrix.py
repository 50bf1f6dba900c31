"""Every path of the admin API × every role × own and another organisation (SECURITY.md section 6)."""

import itertools
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.server.admin.kit import desked
from turnout.errors import ConfigError
from turnout.govern import tokens, users
from turnout.govern.rules import CLI
from turnout.jobs.alerts.base import Alert, State
from turnout.server.admin.admin import rows_of
from turnout.server.admin.permits import PERMITS, ROLES
from turnout.server.admin.versions import propose
from turnout.server.alerting import Alerting
from turnout.testing.store import example_record
from turnout.types.record import Content, GuardView

TABLE = """
                                    none call viewer operator admin owner scrape
GET    /openapi.json                  -    -    o       o       o     Y      -
GET    /organisations                 -    -    -       -       o     Y      -
POST   /organisations                 -    -    -       -       -     Y      -
GET    /organisations/{id}            -    -    -       -       o     Y      -
PATCH  /organisations/{id}            -    -    -       -       -     Y      -
DELETE /organisations/{id}            -    -    -       -       -     Y      -
GET    /projects                      -    -    o       o       o     Y      -
POST   /projects                      -    -    -       -       o     Y      -
GET    /projects/{id}                 -    -    o       o       o     Y      -
PATCH  /projects/{id}                 -    -    -       -       o     Y      -
DELETE /projects/{id}                 -    -    -       -       o     Y      -
GET    /teams                         -    -    o       o       o     Y      -
POST   /teams                         -    -    -       -       o     Y      -
GET    /teams/{id}                    -    -    o       o       o     Y      -
PATCH  /teams/{id}                    -    -    -       -       o     Y      -
DELETE /teams/{id}                    -    -    -       -       o     Y      -
GET    /customers                     -    -    o       o       o     Y      -
POST   /customers                     -    -    -       -       o     Y      -
GET    /customers/{id}                -    -    o       o       o     Y      -
PATCH  /customers/{id}                -    -    -       -       o     Y      -
DELETE /customers/{id}                -    -    -       -       o     Y      -
GET    /standing                      -    -    o       o       o     Y      -
GET    /budgets                       -    -    o       o       o     Y      -
POST   /budgets                       -    -    -       -       o     Y      -
GET    /budgets/{id}                  -    -    o       o       o     Y      -
PATCH  /budgets/{id}                  -    -    -       -       o     Y      -
DELETE /budgets/{id}                  -    -    -       -       o     Y      -
GET    /quotas                        -    -    o       o       o     Y      -
POST   /quotas                        -    -    -       -       o     Y      -
GET    /quotas/{id}                   -    -    o       o       o     Y      -
PATCH  /quotas/{id}                   -    -    -       -       o     Y      -
DELETE /quotas/{id}                   -    -    -       -       o     Y      -
GET    /keys                          -    -    o       o       o     Y      -
POST   /keys                          -    -    -       -       o     Y      -
GET    /keys/{id}                     -    -    o       o       o     Y      -
PATCH  /keys/{id}                     -    -    -       -       o     Y      -
POST   /keys/{id}/rotate              -    -    -       -       o     Y      -
POST   /keys/{id}/revoke              -    -    -       -       o     Y      -
GET    /expiring                      -    -    o       o       o     Y      -
GET    /users                         -    -    o       o       o     Y      -
POST   /users                         -    -    -       -       o     Y      -
GET    /users/{id}                    -    -    o       o       o     Y      -
PATCH  /users/{id}                    -    -    -       -       o     Y      -
DELETE /users/{id}                    -    -    -       -       o     Y      -
POST   /users/{id}/role               -    -    -       -       o     Y      -
POST   /users/{id}/sign-out           -    -    -       -       o     Y      -
GET    /tokens                        -    -    s       s       o     Y      -
POST   /tokens                        -    -    s       s       o     Y      -
GET    /tokens/{id}                   -    -    s       s       o     Y      -
POST   /tokens/{id}/revoke            -    -    s       s       o     Y      -
GET    /credentials                   -    -    w       w       w     Y      -
POST   /credentials                   -    -    -       -       w     Y      -
GET    /credentials/{id}              -    -    w       w       w     Y      -
PATCH  /credentials/{id}              -    -    -       -       w     Y      -
DELETE /credentials/{id}              -    -    -       -       w     Y      -
GET    /prices                        -    -    o       o       o     Y      -
GET    /prices/{id}                   -    -    o       o       o     Y      -
POST   /prices                        -    -    -       w       w     Y      -
PATCH  /prices/{id}                   -    -    -       w       w     Y      -
DELETE /prices/{id}                   -    -    -       w       w     Y      -
GET    /providers                     -    -    o       o       o     Y      -
GET    /deployments                   -    -    o       o       o     Y      -
GET    /models                        -    -    o       o       o     Y      -
GET    /routes                        -    -    o       o       o     Y      -
GET    /health                        -    -    o       o       o     Y      -
POST   /breakers/reset                -    -    -       w       w     Y      -
GET    /cache                         -    -    o       o       o     Y      -
DELETE /cache                         -    -    -       o       o     Y      -
GET    /guards                        -    -    o       o       o     Y      -
POST   /guards/review                 -    -    -       o       o     Y      -
POST   /drain                         -    -    -       w       w     Y      -
DELETE /drain                         -    -    -       w       w     Y      -
GET    /config                        -    -    -       Y       Y     Y      -
POST   /config/validate               -    -    -       Y       Y     Y      -
GET    /config/versions               -    -    -       Y       Y     Y      -
POST   /config/versions               -    -    -       Y       Y     Y      -
GET    /config/versions/{id}          -    -    -       Y       Y     Y      -
GET    /config/versions/{id}/diff     -    -    -       Y       Y     Y      -
POST   /config/versions/{id}/apply    -    -    -       -       -     Y      -
POST   /config/rollback               -    -    -       -       -     Y      -
GET    /requests                      -    s    o       o       o     Y      -
GET    /requests/{id}                 -    s    o       o       o     Y      -
GET    /requests/{id}/content         -    -    -       -       o     Y      -
GET    /requests/{id}/replay          -    -    o       o       o     Y      -
GET    /routes/{id}/certificate       -    -    o       o       o     Y      -
GET    /routes/{id}/scores            -    -    o       o       o     Y      -
POST   /routes/{id}/effect            -    -    -       Y       Y     Y      -
GET    /feedback                      -    -    o       o       o     Y      -
POST   /feedback                      -    -    -       o       o     Y      -
GET    /quality                       -    -    o       o       o     Y      -
GET    /evaluations                   -    -    w       w       w     Y      -
GET    /evaluations/{id}              -    -    w       w       w     Y      -
GET    /decisions/{id}                -    s    o       o       o     Y      -
GET    /spend                         -    s    o       o       o     Y      -
GET    /usage                         -    s    o       o       o     Y      -
GET    /usage/series                  -    s    o       o       o     Y      -
GET    /usage/totals                  -    s    o       o       o     Y      -
GET    /usage/top                     -    s    o       o       o     Y      -
GET    /customers/{id}/data           -    -    -       -       o     Y      -
DELETE /customers/{id}/data           -    -    -       -       o     Y      -
GET    /exports/requests              -    -    o       o       o     Y      -
GET    /exports/spend                 -    -    o       o       o     Y      -
GET    /statements                    -    -    o       o       o     Y      -
POST   /reconciliation                -    -    -       w       w     Y      -
GET    /alerts                        -    -    w       w       w     Y      -
POST   /alerts/{id}/silence           -    -    -       w       w     Y      -
POST   /alerts/test                   -    -    -       w       w     Y      -
GET    /audit                         -    -    -       -       o     Y      -
GET    /audit/verify                  -    -    -       -       o     Y      -
GET    /exports/audit                 -    -    -       -       o     Y      -
"""
"""o = own organisation, s = own objects, w = only for keys of no organisation, Y = all."""
CELLS = {
    (line.split()[0], line.split()[1]): dict(zip(ROLES, line.split()[2:], strict=True))
    for line in TABLE.strip().splitlines()[1:]
}
_KINDS = {
    "organisations": "organisation",
    "projects": "project",
    "teams": "team",
    "customers": "customer",
    "budgets": "budget",
    "quotas": "quota",
}
_EXTRA = {"budget": {"level": "key", "usd": 1}, "quota": {"level": "key", "of": "requests", "limit": 5}}
_CHANGED = {"budget": {"usd": 2}, "quota": {"limit": 6}}
_names = itertools.count(1)
_SPREAD = (
    "/requests",
    "/cache",
    "/guards",
    "/spend",
    "/usage",
    "/usage/series",
    "/usage/totals",
    "/usage/top",
    "/exports/requests",
    "/exports/spend",
    "/feedback",
    "/quality",
    "/audit",
    "/audit/verify",
    "/exports/audit",
)
_OF_A_KEY = ("/spend", "/usage", "/requests", "/usage/series", "/usage/totals", "/usage/top")
_SECTIONS = {"sections": {"max_retries": 1}}
FLAGGED = GuardView(name="pii", type="pii", stage="in", action="flag", found={"email": 1})
FIRING = Alert(
    id="0123456789abcdef",
    rule="stores",
    type="stores",
    severity="critical",
    text="the journal refuses",
    state="firing",
    since=datetime(2026, 1, 2, tzinfo=UTC),
    known_at=datetime(2026, 1, 2, tzinfo=UTC),
)
NOBODY = "{type: slack, url: 'http://127.0.0.1:9/nobody'}"
"""A receiver that is not there: that it could not be told is an answer too."""
_ABOUT = {"/feedback": {"kind": "thumb", "value": 1}, "/guards/review": {"guard": "pii", "verdict": "right"}}
"""What is said of a request."""
_BODIES = {
    "/breakers/reset": {"deployment": "oai/one"},
    "/config/validate": _SECTIONS,
    "/config/versions": _SECTIONS,
    "/reconciliation": b"provider,model,day,cost_usd\r\n",
    "/alerts/test": {"receiver": "ops"},
    "/alerts/{id}/silence": {"for_s": 60},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    """One gateway for all cells."""
    # Behind a proxy, addresses that show no key again and again are not made to wait.
    folder = tmp_path_factory.mktemp("matrix")
    watched = f"alerts: {{path: '{folder}/alerts.db', receivers: {{ops: {NOBODY}}}}}\n"
    (folder / "v000001.json").write_text("{}")
    watched += f"evaluate: {{reports: '{folder}'}}\n"
    async with desked(folder, server="behind_proxy: true", extra=watched) as found:
        alerting = Alerting(found.rig.built, lambda: found.office)
        assert alerting.open()
        await alerting.kept.swap(0, State(alerts=(FIRING,)))
        await found.issue("other", role="call", organisation="other")
        for where, key in (("own", "call"), ("other", "other")):
            found.rig.journal.append(
                replace(
                    example_record(len(where)),
                    request_id=f"req_{where}",
                    at=datetime(2026, 1, 2, tzinfo=UTC),
                    organisation=where,
                    principal=found.ids[key],
                    content=Content("question", "answer"),
                    guards=(
                        GuardView(name="pii", type="pii", stage="in", action="flag", found={"email": 1}),
                    ),
                )
            )
        await propose(found.office, CLI, {"max_retries": 1}, "")
        yield found
        await alerting.close()


async def prepared(gateway, method, path, where):
    """Return path and body of a call about something of an organisation, made for it."""
    word = path.split("/")[1]
    if word in _KINDS:
        return await _document(gateway, method, path, where)
    if word in _MADE:
        return await _MADE[word](gateway, method, path, where)
    if path == "/quality":
        return f"{path}?route=assistant&organisation={where}", None
    if word == "routes":
        return path.replace("{id}", "assistant"), _SECTIONS if method == "POST" else None
    if path == "/statements":
        return f"{path}?organisation={where}&month=2026-01", None
    if method == "POST" and path in _ABOUT:
        return path, {"request_id": f"req_{where}", **_ABOUT[path]}
    if path in _SPREAD:
        return f"{path}?organisation={where}", None
    if word in ("requests", "decisions"):
        text = path.replace("{id}", f"req_{where}")
        return text + ("?reason=a+support+case" if "content" in path else ""), None
    name = FIRING.id if word == "alerts" else "v000001"
    return path.replace("{id}", name), _BODIES.get(path) if method == "POST" else None


async def _key(gateway, method, path, where):
    if "{id}" not in path:
        return (f"{path}?organisation={where}", None) if method == "GET" else (path, {"organisation": where})
    name = f"x{next(_names)}"
    await gateway.issue(name, role="call", organisation=where)
    return path.replace("{id}", gateway.ids[name]), {"name": "n"} if method == "PATCH" else None


async def _person(gateway, method, path, where):
    name = f"x{next(_names)}@example.com"
    wish = {"email": name, "role": "viewer", "organisation": where}
    if path == "/users":
        return (f"{path}?organisation={where}", None) if method == "GET" else (path, wish)
    if path == "/tokens":
        return path, {} if method == "POST" else None
    made = await users.invite(gateway.office, CLI, wish)
    if path.startswith("/tokens"):
        _, token = await tokens.issue(gateway.office, CLI, {}, user=made.id)
        return path.replace("{id}", token.id), None
    body = {"role": "operator", "organisation": where} if path.endswith("/role") else None
    return path.replace("{id}", made.id), {"name": "n"} if method == "PATCH" else body


async def _document(gateway, method, path, where):
    kind, name = _KINDS[path.split("/")[1]], f"x{next(_names)}"
    fields = dict(_EXTRA.get(kind, {}))
    if fields:
        fields["subject"] = gateway.ids["call" if where == "own" else "other"]
    if kind != "organisation":
        fields["organisation"] = where
    if "{id}" not in path:
        target = f"{path}?organisation={where}"
        return (target, None) if method == "GET" else (path, {"id": name, **fields})
    if kind == "organisation" and method != "DELETE":
        name = where
    else:
        await gateway.make(kind, id=name, **fields)
    return path.replace("{id}", name), _CHANGED.get(kind, {"name": "n"}) if method == "PATCH" else None


async def _credential(gateway, method, path, _where):
    wish = {"provider": "oai", "secret": "sk-stored-0123456789"}
    if "{id}" not in path:
        return path, wish if method == "POST" else None
    made = (await gateway.call("owner", "POST", "/credentials", wish)).json()
    return path.replace("{id}", made["id"]), {"disabled": True} if method == "PATCH" else None


async def _price(gateway, method, path, _where):
    price = {"model": "oai/one", "price": {"input": 1, "output": 2}}
    if path == "/prices":
        await gateway.call("owner", "DELETE", "/prices/oai:one")
        return path, price if method == "POST" else None
    await gateway.call("owner", "POST", "/prices", price)
    return path.replace("{id}", "oai:one"), {
        "price": {"input": 3, "output": 4}
    } if method == "PATCH" else None


_MADE = {"keys": _key, "users": _person, "tokens": _person, "credentials": _credential, "prices": _price}


def word_of(path):
    return path.split("/")[1]


def knows_organisations(method, path):
    """Whether a path is about something that belongs to an organisation."""
    word = path.split("/")[1]
    return word in (*_KINDS, "users", "keys", "requests", "decisions", "statements") or path in (
        *_SPREAD,
        *_ABOUT,
    )


def expected(method, path, role, where):
    """Return what the table says: a status, or 200 for let in."""
    word, _, of = role.partition(" ")
    letter = CELLS[method, path][word]
    if word == "none":
        return 401
    if letter == "-" or (letter == "w" and not of):
        return 403
    if word_of(path) == "tokens":  # keys have none of their own: they see those of people they administer
        hidden = "{id}" in path and (letter == "s" or not (of or letter == "Y" or where == "own"))
        return 404 if hidden else 200
    if letter in "Yw" or of or where == "own" or not knows_organisations(method, path):
        return 200
    return 403 if method == "POST" and "{id}" not in path and path not in _ABOUT else 404


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("method", "path"), CELLS, ids=[" ".join(key) for key in CELLS])
async def test_a_role_may_what_the_table_says_and_nothing_else(gateway, method, path) -> None:
    found, wanted = {}, {}
    plain = [role for role in ROLES if role not in ("owner", "scrape")]
    roles = [*plain, "owner", "scrape", *(f"{role} of none" for role in plain[2:])]
    for role in roles:
        for where in ("own", "other"):
            target, body = await prepared(gateway, method, path, where)
            if role == "call" and path in _OF_A_KEY and where == "other":
                target = f"{path}?key_id={gateway.ids['other']}"
            if role == "call" and where == "own" and path in _SPREAD:
                target = target.replace("?organisation=own", "")
            kind = {"content-type": "text/csv"} if isinstance(body, bytes) else {}
            reply = await gateway.call(role, method, target, body, **kind)
            status = reply.status_code
            found[role, where] = 200 if status in (200, 201, 409) else status
            wanted[role, where] = expected(method, path, role, where)
    assert found == wanted


def test_the_table_names_every_path_there_is() -> None:
    assert set(CELLS) == {(permit.method, permit.path) for permit in PERMITS}


def test_an_endpoint_without_a_permission_does_not_start_the_server(gateway) -> None:
    endpoints = gateway.rig.gateway.plane.admin._endpoints
    stray = replace(endpoints[0], path="/stray")
    with pytest.raises(ConfigError, match="/stray has no permission"):
        rows_of((*endpoints, stray))
    with pytest.raises(ConfigError, match="nothing serves"):
        rows_of(endpoints[1:])
