"""Limits as they stand."""

import pytest

from tests.server.admin.kit import desked

LIMITS = """
budgets:
  - {id: house, level: organisation, subject: own, usd: 1.00, per: lifetime}
quotas:
  - {id: pace, level: key, of: requests, limit: 60, per: 60s}
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


async def standing(gateway, role):
    return (await gateway.call(role, "GET", "/standing")).json()["data"]


async def test_a_limit_tells_what_is_used_of_it_by_each_subject(folder) -> None:
    async with desked(folder, extra=LIMITS) as gateway:
        assert (await gateway.ask(gateway.keys["call"])).status_code == 200
        rows = await standing(gateway, "owner")
        house = next(row for row in rows if row["id"] == "house")
        used = float(house.pop("used"))
        assert 0 < used < 0.01
        assert house.pop("share") == pytest.approx(used)
        assert house == {
            "object": "standing",
            "id": "house",
            "of": "usd",
            "level": "organisation",
            "subject": "own",
            "limit": "1",
            "hard": True,
            "window": "for good",
            "resets_at": None,
        }
        paces = {row["subject"]: row["used"] for row in rows if row["id"] == "pace"}
        assert paces[gateway.ids["call"]] == 1
        assert sum(paces.values()) == 1


async def test_limits_of_the_installation_are_not_told_to_an_organisation(folder) -> None:
    async with desked(folder, extra=LIMITS) as gateway:
        await gateway.make(
            "budget", id="ours", level="organisation", subject="own", usd=5, organisation="own"
        )
        await gateway.room.refresh()
        assert [row["id"] for row in await standing(gateway, "viewer")] == ["ours"]
        assert {row["id"] for row in await standing(gateway, "owner")} == {"house", "pace", "ours"}
