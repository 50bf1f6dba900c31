"""The admin API over sockets: documents, keys, conventions, and what is put on record."""

import json
import re

import pytest

from tests.server.admin.kit import desked, failure
from turnout.govern.rules import CHANGES, MAKES


@pytest.fixture
def folder(tmp_path):
    return tmp_path


async def test_a_key_made_through_the_api_works_and_a_disabled_one_stops(folder) -> None:
    async with desked(folder) as gateway:
        made = await gateway.call("admin", "POST", "/keys", {"name": "ci"})
        told = made.json()
        assert (made.status_code, told["object"], told["document"]["organisation"]) == (
            201,
            "key.shown",
            "own",
        )
        assert "digest" not in made.text
        assert "pepper" not in made.text
        await gateway.room.refresh()
        assert (await gateway.ask(told["key"])).status_code == 200
        path = f"/keys/{told['document']['id']}"
        assert told["key"] not in (await gateway.call("admin", "GET", path)).text
        assert (await gateway.call("admin", "PATCH", path, {"disabled": True})).status_code == 200
        await gateway.room.refresh()
        assert (await gateway.ask(told["key"])).status_code == 401


async def test_a_rotated_key_has_a_successor_and_both_work_for_the_overlap(folder) -> None:
    async with desked(folder) as gateway:
        path = f"/keys/{gateway.ids['call']}"
        told = (await gateway.call("admin", "POST", f"{path}/rotate", {"overlap_s": 60})).json()
        await gateway.room.refresh()
        assert [(await gateway.ask(key)).status_code for key in (told["key"], gateway.keys["call"])] == [
            200,
            200,
        ]
        assert (await gateway.call("admin", "GET", path)).json()["replaced_by"] == told["document"]["id"]
        await gateway.call("admin", "POST", f"{path}/revoke")
        await gateway.room.refresh()
        assert (await gateway.ask(gateway.keys["call"])).status_code == 401


async def test_a_budget_made_through_the_api_limits_the_next_request(folder) -> None:
    async with desked(folder) as gateway:
        assert (await gateway.ask(gateway.keys["call"])).status_code == 200
        budget = {"id": "tiny", "level": "key", "subject": gateway.ids["call"], "usd": 0.000000001}
        assert (await gateway.call("admin", "POST", "/budgets", budget)).status_code == 201
        await gateway.room.refresh()
        refused = await gateway.ask(gateway.keys["call"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
        assert (await gateway.call("admin", "DELETE", "/budgets/tiny")).status_code == 200
        await gateway.room.refresh()
        assert (await gateway.ask(gateway.keys["call"])).status_code == 200


async def test_pages_go_on_after_the_last_row_of_the_page_before(folder) -> None:
    async with desked(folder) as gateway:
        for name in ("a", "b", "c"):
            await gateway.call("admin", "POST", "/teams", {"id": name})
        first = (await gateway.call("viewer", "GET", "/teams?limit=2")).json()
        assert ([row["id"] for row in first["data"]], first["has_more"], first["next"]) == (
            ["a", "b"],
            True,
            "b",
        )
        rest = (await gateway.call("viewer", "GET", f"/teams?limit=2&after={first['next']}")).json()
        assert ([row["id"] for row in rest["data"]], rest["has_more"], rest["next"]) == (["c"], False, None)


async def test_a_version_that_is_not_the_latest_any_more_is_412_and_changes_nothing(folder) -> None:
    async with desked(folder) as gateway:
        made = await gateway.call("admin", "POST", "/teams", {"id": "red", "name": "Red"})
        tag = {"if-match": made.headers["etag"]}
        changed = await gateway.call("admin", "PATCH", "/teams/red", {"name": "Rouge"}, **tag)
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        stale = await gateway.call("admin", "PATCH", "/teams/red", {"name": "Rot"}, **tag)
        assert failure(stale)[:2] == (412, "precondition_failed")
        assert (await gateway.call("admin", "GET", "/teams/red")).json()["name"] == "Rouge"


async def test_the_same_call_with_one_idempotency_key_is_done_once(folder) -> None:
    async with desked(folder) as gateway:
        wish = {"id": "red"}
        replies = [
            await gateway.call("admin", "POST", "/teams", wish, **{"idempotency-key": "k1"}) for _ in range(2)
        ]
        assert [reply.status_code for reply in replies] == [201, 201]
        assert replies[0].json() == replies[1].json()
        other = await gateway.call("admin", "POST", "/teams", {"id": "blue"}, **{"idempotency-key": "k1"})
        assert failure(other)[:2] == (409, "conflict")


async def test_a_repetition_is_not_told_the_key_again(folder) -> None:
    async with desked(folder) as gateway:
        first, second = [
            (await gateway.call("admin", "POST", "/keys", {"name": "ci"}, **{"idempotency-key": "k"})).json()
            for _ in range(2)
        ]
        assert first["key"].startswith("tn_")
        assert second == {**first, "key": None}


async def test_every_field_that_is_not_listed_is_refused_and_nothing_changes(folder) -> None:
    async with desked(folder) as gateway:
        await gateway.make("team", id="red", organisation="own", name="Red")
        before = (await gateway.call("owner", "GET", "/teams/red")).json()
        for field in ("id", "organisation", "role", "version", "owner", "digest"):
            assert field not in CHANGES["team"]
            reply = await gateway.call("owner", "PATCH", "/teams/red", {field: "x", "name": "New"})
            assert failure(reply)[:2] == (403, "forbidden"), field
        assert (await gateway.call("owner", "GET", "/teams/red")).json() == before
        for field in ("digest", "id", "created", "disabled"):
            assert field not in MAKES["key"]
            assert failure(await gateway.call("owner", "POST", "/keys", {field: "x"}))[0] == 403


@pytest.mark.parametrize("role", ["admin", "owner", "scrape"])
async def test_an_admin_grants_no_role_as_high_as_their_own(folder, role) -> None:
    async with desked(folder) as gateway:
        reply = await gateway.call("admin", "POST", "/keys", {"role": role})
        assert failure(reply) == (403, "forbidden", "nobody grants a role above their own")


async def test_failures_name_the_field_and_what_is_wrong_with_it(folder) -> None:
    async with desked(folder) as gateway:
        reply = await gateway.call("owner", "GET", "/teams?limit=0")
        assert reply.json() == {
            "error": {
                "class": "invalid_request",
                "message": "limit: expected 1 to 999",
                "details": {"param": "limit"},
            }
        }
        assert failure(await gateway.call("owner", "GET", "/teams?color=red"))[2].startswith("color: no such")
        assert failure(await gateway.call("owner", "GET", "/nothing"))[:2] == (404, "not_found")
        plain = await gateway.call("owner", "POST", "/teams", b'{"id":"a"}', **{"content-type": "text/plain"})
        assert failure(plain)[2] == "content-type must be application/json"


async def test_nothing_is_answered_to_another_origin(folder) -> None:
    async with desked(folder) as gateway:
        headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        asked = await gateway.http.request("OPTIONS", "/admin/v1/keys", headers=headers)
        assert asked.status_code == 405
        reply = await gateway.call("owner", "GET", "/keys", origin="https://evil.example")
        assert not [name for name in (*asked.headers, *reply.headers) if name.startswith("access-control")]
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/admin/v1/keys/",
        "/admin/v1//keys",
        "/admin/v1/./keys",
        "/admin/v1/teams/../keys",
        "/admin/v1/KEYS",
        "/admin/v1/keys%2f",
        "/admin/v1/keys%00",
    ],
)
async def test_a_path_written_otherwise_is_never_another_path(folder, path) -> None:
    from tests.server.kit import call

    async with desked(folder) as gateway:
        for role in ("call", "viewer"):
            key = f"Authorization: Bearer {gateway.keys[role]}"
            assert (await call(gateway.rig, path, None, key, method="GET")).status == 404


async def test_every_write_and_every_denial_is_on_record(folder) -> None:
    async with desked(folder) as gateway:
        n = len(await gateway.office.desk.audit("own", limit=1000))
        await gateway.call("admin", "POST", "/teams", {"id": "red"})
        await gateway.call("viewer", "POST", "/teams", {"id": "blue"})
        await gateway.call("operator", "GET", "/audit")
        entries = (await gateway.call("admin", "GET", f"/audit?after={n}")).json()["data"]
        assert [(e["action"], e["role"], e["result"]) for e in entries] == [
            ("team.create", "admin", "done"),
            ("team.create", "viewer", "denied"),
            ("audit.read", "operator", "denied"),
        ]
        await gateway.call("none", "GET", "/keys")
        last = (await gateway.office.desk.audit(limit=1000))[-1].act
        assert (last.actor, last.role, last.action, last.result) == ("stranger", "none", "key.list", "denied")
        verdict = (await gateway.call("owner", "GET", "/audit/verify?organisation=own")).json()
        assert (verdict["intact"], verdict["entries"]) == (True, n + 3)
        exported = (await gateway.call("owner", "GET", "/exports/audit?organisation=own")).text.splitlines()
        assert json.loads(exported[0])["seq"] == 1
        assert len(exported) == n + 3


async def test_views_of_what_is_served_hold_no_secret(folder) -> None:
    from tests.server.kit import SECRET

    async with desked(folder) as gateway:
        for path in ("providers", "deployments", "models", "routes", "health", "config"):
            reply = await gateway.call("operator", "GET", f"/{path}")
            assert reply.status_code == 200
            assert SECRET not in reply.text
            assert "0123456789abcdef" not in reply.text
        routes = (await gateway.call("viewer", "GET", "/routes")).json()["data"]
        assert routes[0]["deployments"] == ["oai/one", "ant/one", "gem/one"]


async def test_a_credential_is_written_and_never_read_back(folder) -> None:
    async with desked(folder) as gateway:
        secret = "sk-stored-credential-0123456789"
        made = await gateway.call("owner", "POST", "/credentials", {"provider": "oai", "secret": secret})
        told = made.json()
        assert (made.status_code, told["last_four"], told["disabled"]) == (201, "6789", False)
        path = f"/credentials/{told['id']}"
        changed = await gateway.call("owner", "PATCH", path, {"disabled": True}, **{"if-match": '"1"'})
        assert changed.json()["disabled"] is True
        everything = [await gateway.call("owner", "GET", each) for each in (path, "/credentials", "/audit")]
        texts = [reply.text for reply in (made, changed, *everything)]
        assert [text for text in texts if secret in text or "sealed" in text] == []
        again = await gateway.call("owner", "PATCH", path, {"secret": "sk-other"})
        assert failure(again)[:2] == (403, "forbidden")


async def test_a_gateway_is_drained_and_put_back_and_a_breaker_closed(folder) -> None:
    async with desked(folder) as gateway:
        await gateway.call("operator of none", "POST", "/drain")
        assert (await gateway.http.get("/readyz")).status_code == 503
        await gateway.call("operator of none", "DELETE", "/drain")
        assert (await gateway.http.get("/readyz")).status_code == 200
        reset = await gateway.call("owner", "POST", "/breakers/reset", {"deployment": "oai/one"})
        assert reset.json() == {"object": "breaker", "deployment": "oai/one", "state": "closed"}
        missing = await gateway.call("owner", "POST", "/breakers/reset", {"deployment": "oai/none"})
        assert failure(missing)[:2] == (404, "not_found")


async def test_the_description_names_every_path_and_nothing_it_does_not_describe(folder) -> None:
    async with desked(folder) as gateway:
        text = (await gateway.call("viewer", "GET", "/openapi.json")).text
        told = json.loads(text)
        named = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text))
        assert named == set(told["components"]["schemas"])
        operations = [each for path in told["paths"].values() for each in path.values()]
        assert len({each["operationId"] for each in operations}) == len(operations)
        paths = {(m.upper(), p) for p, each in told["paths"].items() for m in each}
        assert paths == {
            (row.permit.method, f"/admin/v1{row.permit.path}") for row in gateway.rig.gateway.plane.admin.rows
        }


async def test_the_description_is_valid_to_a_validator(folder) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="pip install openapi-spec-validator")
    async with desked(folder) as gateway:
        validator.validate((await gateway.call("viewer", "GET", "/openapi.json")).json())


async def test_without_any_key_the_machine_itself_is_the_owner_and_nobody_else(folder) -> None:
    async with desked(folder) as gateway:
        gateway.room.directory._by_digest = {}
        gateway.room.directory._by_id = {}
        gateway.room.directory.has_keys = False
        local = await gateway.http.get("/admin/v1/teams")
        assert local.status_code == 200
        led_here = await gateway.http.get("/admin/v1/teams", headers={"host": "evil.example"})
        assert failure(led_here) == (403, "forbidden", "without keys this is for the machine itself")
        by_a_page = await gateway.http.post("/admin/v1/drain", headers={"origin": "https://evil.example"})
        assert failure(by_a_page)[:2] == (403, "forbidden")


async def test_long_answers_to_readers_are_packed_where_they_can_be_unpacked(tmp_path):
    async with desked(tmp_path) as gateway:
        bearer = {"authorization": f"Bearer {gateway.keys['viewer']}"}
        packed, plain, short = [
            await gateway.http.get(f"/admin/v1{path}", headers={**bearer, "accept-encoding": encoding})
            for path, encoding in (
                ("/openapi.json", "gzip"),
                ("/openapi.json", "identity"),
                ("/keys", "gzip"),
            )
        ]
    assert [each.headers.get("content-encoding") for each in (packed, plain, short)] == ["gzip", None, None]
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) * 4 < len(plain.content)
