"""Versions of the configuration through the admin API: proposed, compared, applied, rolled back."""

import pytest

from tests.server.admin.kit import desked, failure
from tests.server.kit import SECRET

ROUTES = {"routes": [{"name": "assistant", "models": ["ant/one"]}]}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


async def served_by(gateway):
    """Return who answers the route."""
    reply = await gateway.ask(gateway.keys["call"], "turnout/assistant")
    return reply.headers["x-turnout-model"]


async def propose(gateway, sections, role="operator", **fields):
    return await gateway.call(role, "POST", "/config/versions", {"sections": sections, **fields})


async def test_applying_a_version_changes_routing_and_rolling_back_restores_it(folder) -> None:
    async with desked(folder) as gateway:
        assert await served_by(gateway) == "oai/one"
        proposed = await propose(gateway, ROUTES, reason="cheaper")
        assert (proposed.status_code, proposed.json()["id"]) == (201, "v000001")
        assert await served_by(gateway) == "oai/one"
        applied = await gateway.call("owner", "POST", "/config/versions/v000001/apply", {"reason": "agreed"})
        assert (applied.json()["version"], applied.json()["config_version"]) == ("v000001", 2)
        assert await served_by(gateway) == "ant/one"
        back = await gateway.call("owner", "POST", "/config/rollback")
        assert back.json()["version"] is None
        assert await served_by(gateway) == "oai/one"
        acts = [entry.act for entry in await gateway.office.desk.audit(limit=1000)]
        done = [(act.action, act.reason) for act in acts if act.action.startswith("config.")]
        assert done == [("config.propose", "cheaper"), ("config.apply", "agreed"), ("config.rollback", "")]


async def test_a_difference_names_the_place_and_both_values(folder) -> None:
    async with desked(folder) as gateway:
        await propose(gateway, {"max_retries": 1, "routes": [{"name": "assistant", "models": ["ant/one"]}]})
        told = (await gateway.call("operator", "GET", "/config/versions/v000001/diff")).json()["data"]
        assert told == [
            {"path": "max_retries", "before": 2, "after": 1},
            {"path": "routes[0].models[0]", "before": "oai/one", "after": "ant/one"},
            {"path": "routes[0].models[1]", "before": "ant/one", "after": None},
            {"path": "routes[0].models[2]", "before": "gem/one", "after": None},
        ]


@pytest.mark.parametrize(
    ("sections", "status", "said"),
    [
        ({"server": {"port": 1}}, 403, "server: not a section that is changed here"),
        ({"providers": {}}, 403, "providers: not a section"),
        ({"models": [{"model": "oai/one", "base_url": "https://evil.example"}]}, 403, "models[0].base_url"),
        ({"models": [{"model": "oai/one", "secret": "sk-x"}]}, 403, "models[0].secret"),
        ({"aliases": {"a": "${env:HOME}"}}, 403, "aliases.a: references to the environment"),
        (
            {
                "routes": [
                    {"name": "r", "models": ["oai/one"], "strategy": {"type": "x", "artifact": "/etc/passwd"}}
                ]
            },
            403,
            "routes[0].strategy.artifact",
        ),
        ({"routes": [{"name": "assistant", "models": ["nobody/three"]}]}, 400, "providers.nobody"),
        ({"max_retries": 77}, 400, "max_retries"),
    ],
)
async def test_what_may_not_or_cannot_be_used_is_never_kept(folder, sections, status, said) -> None:
    async with desked(folder) as gateway:
        reply = await propose(gateway, sections, "owner")
        assert reply.status_code == status
        assert said in failure(reply)[2]
        assert (await gateway.call("operator", "GET", "/config/versions")).json()["data"] == []


async def test_validating_says_every_problem_and_keeps_nothing(folder) -> None:
    async with desked(folder) as gateway:
        wish = {"sections": {"routes": [{"name": "assistant", "models": ["nobody/three"]}]}}
        verdict = (await gateway.call("operator", "POST", "/config/validate", wish)).json()
        assert verdict["valid"] is False
        assert "providers.nobody" in verdict["problems"][0]


async def test_where_the_file_is_the_whole_configuration_nothing_is_applied(folder) -> None:
    async with desked(folder, config="file") as gateway:
        await propose(gateway, ROUTES)
        reply = await gateway.call("owner", "POST", "/config/versions/v000001/apply")
        assert failure(reply)[:2] == (403, "forbidden")
        assert await served_by(gateway) == "oai/one"


async def test_a_reload_of_the_file_keeps_what_lies_over_it(folder) -> None:
    async with desked(folder) as gateway:
        await propose(gateway, ROUTES)
        await gateway.call("owner", "POST", "/config/versions/v000001/apply")
        fresh = gateway.rig.parsed(gateway.rig.config.replace("oai/one, ant/one, gem/one", "gem/one"))
        gateway.rig.built.reload(gateway.overlay.over(fresh))
        assert await served_by(gateway) == "ant/one"
        await gateway.call("owner", "POST", "/config/rollback")
        assert await served_by(gateway) == "gem/one"


async def test_models_keep_the_address_and_the_credential_that_the_file_gives_them(folder) -> None:
    async with desked(folder) as gateway:
        models = [{"model": f"{p}/one", "upstream_model": f"{p}-one"} for p in ("oai", "ant", "gem")]
        models[0]["weight"] = 3
        price = {"input": 1, "output": 2}
        models = [{**each, "price": price} for each in models]
        sections = {"models": models, "aliases": {}, "routes": ROUTES["routes"]}
        assert (await propose(gateway, sections)).status_code == 201
        await gateway.call("owner", "POST", "/config/versions/v000001/apply")
        assert await served_by(gateway) == "ant/one"
        assert SECRET not in (await gateway.call("owner", "GET", "/config")).text


async def test_a_price_set_through_the_api_is_charged_from_the_next_request_on(folder) -> None:
    async with desked(folder) as gateway:

        async def cost():
            await gateway.ask(gateway.keys["call"])
            return (await gateway.rig.records())[-1].outcome.cost_nusd

        before = await cost()
        wish = {"model": "oai/one", "price": {"input": 10, "output": 20}, "note": "contract"}
        assert (await gateway.call("operator of none", "POST", "/prices", wish)).status_code == 201
        assert await cost() == before * 10
        assert (await gateway.call("operator of none", "DELETE", "/prices/oai:one")).status_code == 200
        assert await cost() == before
        unknown = await gateway.call("owner", "POST", "/prices", {**wish, "model": "oai/nine"})
        assert failure(unknown)[2].startswith("model: 'oai/nine' is not named")
