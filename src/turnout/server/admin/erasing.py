"""Forgetting one customer, and telling what is known of one: for the admin API and the command line. Floor 6.

Theory of operation.

1. The journal's Records of a customer become those of a new random name, in rows, words and sums
   (`stores.private`). What still waits in this process's spool is carried over first; other processes' follow
   within seconds, so that it is looked for Records once more after a pause.
2. Conversations and background jobs are kept by key: those of keys that belong to the customer are deleted,
   and its files and batches. What processes keep in memory is let go of by each of them, at its next look at
   the desk (`govern.erasures`); by the one that answers, at once. What is in a cache ends by itself.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from turnout.config import Config
from turnout.errors import NotFound, StoreUnavailable
from turnout.govern.erasures import announce
from turnout.jobs.together import Together
from turnout.server.admin.audit import noted
from turnout.server.admin.call import LINES, Call, Endpoint, Given
from turnout.stores.base import Journal, Query, as_json
from turnout.stores.desk.base import Desk
from turnout.stores.feedback.base import FeedbackStore
from turnout.stores.private.base import Private
from turnout.types.account import Key
from turnout.types.json import Json

BATCH: Final = 500
PAUSE_S: Final = 1.0
_KEY: Final = msgspec.json.Decoder(Key).decode


class Erased(Struct, frozen=True, kw_only=True):
    """What was done about a customer."""

    customer: str
    organisation: str | None
    records: int
    """Made nobody's."""
    conversations: int
    """Deleted from the file, or from the memory of the process that answers."""
    jobs: int
    """Background jobs, deleted with their requests and answers."""
    files: int = 0
    """Files and batches, deleted."""


async def _forget(config: Config, keys: Sequence[str]) -> tuple[int, int]:
    """Delete the conversations and jobs of some keys; return how many of each."""
    conversations = jobs = 0
    responses, background = config.responses, config.background
    if responses.keep and responses.path is not None and _is_there(responses.path):
        from turnout.stores.conversations.sqlite import SqliteConversations  # noqa: PLC0415  loads sqlite3

        kept = SqliteConversations(Path(responses.path))
        conversations = sum([await kept.erase(key) for key in keys])
        await kept.close()
    if background.path is not None and _is_there(background.path):
        from turnout.stores.queue.sqlite import SqliteQueue  # noqa: PLC0415  loads sqlite3

        queue = SqliteQueue(Path(background.path))
        jobs = sum([await asyncio.to_thread(queue.erase, key) for key in keys])
        queue.close()
    return conversations, jobs


def _forget_files(config: Config, customer: str, organisation: str | None) -> int:
    """Delete the files and batches of a customer; return how many."""
    path = config.files.path
    if path is None or not _is_there(path):
        return 0
    from turnout.stores.files import Batches, Database, Files  # noqa: PLC0415  loads sqlite3

    database = Database(Path(path))
    try:
        n_batches = Batches(database).forget_customer(customer, organisation)
        return n_batches + Files(database).forget_customer(customer, organisation)
    finally:
        database.close()


async def erase(
    journal: object,
    config: Config,
    customer: str,
    organisation: str | None,
    keys: Sequence[str],
    words: FeedbackStore | None = None,
) -> Erased:
    """Forget a customer. Raises `StoreUnavailable`: what was done stays done, and it can be repeated."""
    if not isinstance(journal, Private):
        raise StoreUnavailable("no journal is kept here, or one that cannot forget")
    both = journal if words is None else Together(journal, words)
    records = 0
    for pause_s in (PAUSE_S, 0.0):
        # Another each time: a customer that went on asking meanwhile has sums under the first one already.
        name = f"gone-{secrets.token_hex(8)}"
        while n := await both.anonymise(customer, organisation, name, BATCH):
            records += n
        await both.anonymise(customer, organisation, name, 0)
        await asyncio.sleep(pause_s)
    conversations, jobs = await _forget(config, keys)
    return Erased(
        customer=customer,
        organisation=organisation,
        records=records,
        conversations=conversations,
        jobs=jobs,
        files=await asyncio.to_thread(_forget_files, config, customer, organisation),
    )


def _is_there(path: str) -> bool:
    return Path(path).exists()


async def keys_of(desk: Desk, customer: str, organisation: str | None) -> list[str]:
    """Return the ids of the keys that belong to a customer."""
    found: list[str] = []
    after = ""
    while documents := await desk.list("key", organisation=organisation, after=after, limit=1000):
        found += [each.id for each in documents if _KEY(each.body).customer == customer]
        after = documents[-1].id
    return found


async def known(journal: Journal, customer: str, organisation: str | None) -> AsyncIterator[bytes]:
    """Yield what the journal knows of a customer: whole Records as JSON lines, oldest first."""
    query = Query(customer=customer, organisation=organisation, order="oldest", limit=500)
    while True:
        page = await journal.query(query)
        yield b"".join(as_json(record) + b"\n" for record in page.records)
        if not page.more:
            return
        query = replace(query, after=page.entries[-1].cursor)


async def _reached(call: Call) -> str | None:
    """Return whose customer is meant. Raises `NotFound` for one that another organisation has at the desk."""
    document = await call.office.desk.get("customer", call.id)
    if document is not None and not call.actor.sees(document.organisation):
        raise NotFound(f"there is no customer {call.id!r}")
    return call.organisation()


async def _remove(call: Call) -> Given:
    organisation = await _reached(call)
    await noted(call, f"customer/{call.id}", {})
    journal = call.built.journal
    if journal is not None:
        await journal.flush()
    keys = await keys_of(call.office.desk, call.id, organisation)
    words = call.built.quality.store
    found = await erase(journal, call.built.config, call.id, organisation, keys, words)
    if call.office.forgets is not None:
        in_memory = await call.office.forgets(keys)
        found = replace(found, conversations=found.conversations + in_memory)
    await announce(call.office.desk, keys, call.office.now())
    await noted(call, f"customer/{call.id}", counts(found))
    return Given(body={"object": "customer.erasure", **msgspec.to_builtins(found)})


def counts(of: Erased) -> dict[str, Json]:
    """Return what is put on record."""
    return {"records": of.records, "conversations": of.conversations, "jobs": of.jobs, "files": of.files}


async def _export(call: Call) -> Given:
    organisation = await _reached(call)
    journal = call.built.journal
    if journal is None:
        raise StoreUnavailable("no journal is kept here; set journal.enabled: true")
    await noted(call, f"customer/{call.id}", {})
    return Given(pieces=known(journal, call.id, organisation), content_type=LINES, file="customer.jsonl")


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/customers/{id}/data",
        serve=_export,
        summary="All Records of a customer, with stored text, as JSON lines",
        gives_text=LINES,
        query=("organisation",),
    ),
    Endpoint(
        method="DELETE",
        path="/customers/{id}/data",
        serve=_remove,
        summary="Forget a customer: its Records become nobody's",
        query=("organisation",),
    ),
)
