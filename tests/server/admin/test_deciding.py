"""Deciding again at the admin API: one request, an edit's effect, a route's scores; feedback and quality."""

import pytest

from tests.server.admin.kit import desked
from turnout.evaluate.corrections import FEWEST


@pytest.fixture
async def gate(tmp_path):
    (tmp_path / "board.json").write_text('{"schema": "turnout.scoreboard/1"}')
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "out.json").symlink_to("/etc/hostname")
    extra = f"evaluate: {{reports: '{tmp_path}'}}\nfeedback: {{quarantine_h: 0}}\n"

    async with desked(tmp_path, extra=extra) as found:
        yield found


async def get(gate, path):
    reply = await gate.call("owner", "GET", path)
    return reply.status_code, reply.json()


async def ask(gate, model="turnout/assistant"):
    reply = await gate.ask(gate.keys["call"], model)
    assert reply.status_code == 200
    return reply.headers["x-turnout-request-id"]


async def test_a_request_is_decided_again_and_told_to_be_the_same(gate) -> None:
    name = await ask(gate)
    status, found = await get(gate, f"/requests/{name}/replay")
    assert (status, found["same"], found["chosen"][0], found["differences"]) == (200, True, "oai/one", [])
    assert (await get(gate, "/requests/req_none/replay"))[0] == 404


async def test_an_edit_tells_what_it_would_change_before_it_is_made(gate) -> None:
    for _ in range(3):
        await ask(gate)
    routes = [{"name": "assistant", "models": ["ant/two", "oai/one"]}]
    reply = await gate.call("owner", "POST", "/routes/assistant/effect", {"sections": {"routes": routes}})
    found = reply.json()
    assert (reply.status_code, found["n"], found["changed"], found["unable"]) == (200, 3, 3, 0)
    assert (found["before"]["shares"], found["after"]["shares"]) == ({"oai/one": 1.0}, {"ant/two": 1.0})
    assert found["before"]["cost_nusd"] == found["after"]["cost_nusd"] > 0
    assert gate.rig.built.engine.snapshot.routes["assistant"].deployments[0].id == "oai/one"
    bad = {"sections": {"routes": [{"name": "other", "models": ["oai/one"]}]}}
    assert (await gate.call("owner", "POST", "/routes/assistant/effect", bad)).status_code in (400, 404)


async def test_feedback_of_operators_is_listed_and_makes_a_distribution(gate) -> None:
    names = [await ask(gate) for _ in range(3)]
    for name, value in zip(names, (1, 0, 1), strict=True):
        said = {"request_id": name, "kind": "thumb", "value": value, "comment": "hm"}
        reply = await gate.call("operator", "POST", "/feedback", said)
        assert (reply.status_code, reply.json()["text_kept"]) == (201, False)
    status, found = await get(gate, "/feedback?route=assistant&limit=2")
    assert (status, [row["value"] for row in found["data"]], found["has_more"]) == (200, [1, 0], True)
    _, rest = await get(gate, f"/feedback?route=assistant&after={found['next']}")
    assert [(row["request_id"], row["source"]) for row in rest["data"]] == [(names[0], "operator")]
    status, scores = await get(gate, "/routes/assistant/scores")
    assert (status, scores["of"], scores["n"], scores["bins"]) == (200, "difference", 0, [])
    assert str(FEWEST) in scores["suggestion"]["reason"]
    assert await get(gate, "/quality?route=assistant") == (
        200,
        {"object": "list", "data": [], "has_more": False, "next": None},
    )
    assert (await get(gate, "/quality"))[0] == 400


async def test_a_route_without_a_certificate_says_so_and_reports_are_read_from_one_folder(gate) -> None:
    assert (await get(gate, "/routes/assistant/certificate"))[1]["id"] is None
    assert (await get(gate, "/routes/nowhere/certificate"))[0] == 404
    status, found = await get(gate, "/evaluations")
    assert (status, sorted(row["id"] for row in found["data"])) == (200, ["board", "broken"])
    status, found = await get(gate, "/evaluations/board")
    assert (status, found["report"]) == (200, {"schema": "turnout.scoreboard/1"})
    for name in ("broken", "out", "..", "none"):
        assert (await get(gate, f"/evaluations/{name}"))[0] == 404
