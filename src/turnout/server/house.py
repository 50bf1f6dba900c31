"""What one gateway does by itself: retention, as configuration and desk say, and alerts. Floor 6."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from turnout.build import Built
from turnout.config.retention import Keep
from turnout.govern.office import Office
from turnout.jobs.retention import Removed, Term, keep_house
from turnout.server.alerting import watch_alerts
from turnout.stores.desk.base import Desk, Document
from turnout.stores.private.base import Whose
from turnout.types.account import Act, Kind, Organisation, Project

if TYPE_CHECKING:
    from turnout.server.metrics import Metrics

_NONE: Final = Keep()
_PAGE: Final = 1000
_ORGANISATION: Final = msgspec.json.Decoder(Organisation).decode
_PROJECT: Final = msgspec.json.Decoder(Project).decode


async def keep_house_of(
    built: Built, office: Callable[[], Office | None], metrics: "Metrics | None" = None
) -> None:
    """Enforce retention and watch for alerts, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_retention(built, office))
        tasks.create_task(watch_alerts(built, office, metrics))


async def keep_retention(built: Built, office: Callable[[], Office | None]) -> None:
    """Remove what was kept long enough, until cancelled; each removal of somebody's is put on record."""

    async def terms() -> Callable[[Whose], Term]:
        found = office()
        return await terms_of(built, None if found is None else found.desk)

    async def tell(removed: Removed) -> None:
        found = office()
        if found is not None:
            await found.desk.note(_act(removed))

    await keep_house(built.journal, terms, _now, tell, words=built.quality.store)


async def terms_of(built: Built, desk: Desk | None) -> Callable[[Whose], Term]:
    """Return the rules: a project's at the desk, then in the file, its organisation's, then everybody's."""
    config = built.config.retention
    organisations: dict[str, Keep] = {}
    projects: dict[str, Keep] = {}
    if desk is not None:
        for each in await _all(desk, "organisation"):
            organisation = _ORGANISATION(each.body)
            organisations[organisation.id] = _keep(organisation)
        for each in await _all(desk, "project"):
            project = _PROJECT(each.body)
            projects[project.id] = _keep(project)

    def term(whose: Whose) -> Term:
        rules = (
            projects.get(whose.project or "", _NONE),
            config.projects.get(whose.project or "", _NONE),
            organisations.get(whose.organisation or "", _NONE),
            config.organisations.get(whose.organisation or "", _NONE),
            config,
        )
        records = next((each.records_days for each in rules if each.records_days is not None), None)
        content = next((each.content_days for each in rules if each.content_days is not None), None)
        return Term(records, content)

    return term


def _keep(of: Organisation | Project) -> Keep:
    return Keep(records_days=of.retention_days, content_days=of.content_days)


async def _all(desk: Desk, kind: Kind) -> list[Document]:
    found: list[Document] = []
    while documents := await desk.list(kind, after=found[-1].id if found else "", limit=_PAGE):
        found += documents
    return found


def _act(removed: Removed) -> Act:
    return Act(
        at=_now(),
        actor="retention",
        role="none",
        action="retention.enforce",
        object=f"project/{removed.whose.project or ''}",
        organisation=removed.whose.organisation,
        facts={"records": removed.records, "texts": removed.texts},
    )


def _now() -> datetime:
    return datetime.now(UTC)
