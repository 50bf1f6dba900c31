"""An office on a desk of its own, with a clock that tests turn."""

from datetime import UTC, datetime, timedelta

import pytest

from turnout.govern.office import Office
from turnout.govern.pepper import peppers_of
from turnout.govern.records import create
from turnout.govern.rules import CLI, Actor
from turnout.stores.desk.sqlite import SqliteDesk
from turnout.types.secret import Secret

PEPPER = "0123456789abcdef" * 4
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def desk(tmp_path):
    desk = SqliteDesk(tmp_path / "desk.db")
    yield desk
    await desk.close()


@pytest.fixture
async def office(desk, clock):
    """Two organisations, `acme` with a project, a team and a customer, `other` with a team."""
    office = Office(desk, peppers_of([Secret(PEPPER)]), now=clock, routes=lambda: {"assistant", "cheap"})
    for name in ("acme", "other"):
        await create(office, CLI, "organisation", {"id": name})
    for kind, name in (("project", "chatbot"), ("team", "red"), ("customer", "cus_1")):
        await create(office, CLI, kind, {"id": name, "organisation": "acme"})
    await create(office, CLI, "team", {"id": "blue", "organisation": "other"})
    return office


def admin(**held) -> Actor:
    return Actor(id="key_admin", role="admin", organisation="acme", **held)
