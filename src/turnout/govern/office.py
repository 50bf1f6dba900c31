"""What acts of administration are done with, and how each is put on record. Floor 5.

Theory of operation.

1. An act that changes something is written with its change, in one transaction (`Desk.write`).
2. An act that is refused is noted by itself, then raised. Somebody who keeps being refused is noted at most
   `MOST_DENIALS` times a minute, so that a key of the least role cannot fill the log; the next entry counts
   what was left out.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn

import msgspec

from turnout.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from turnout.govern.erasures import Forgets
from turnout.govern.pepper import Peppers
from turnout.govern.rules import READS, WRITES, Actor
from turnout.stores.desk.base import Change, ConflictError, Desk, Document
from turnout.types.account import Act, Kind
from turnout.types.json import Json

MOST_DENIALS: Final = 30
WINDOW_S: Final = 60.0
_MOST_ACTORS: Final = 1000
NO_FACTS: Final[Mapping[str, Json]] = {}

encode: Final = msgspec.json.Encoder(order="deterministic").encode


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Office:
    """The desk, and what goes with it.

    Args:
        desk: Keeps the documents and the log.
        peppers: What keys are digested under.
        now: The clock.
        random: Source of random bytes.
        routes: Names of the configured routes; None = not known here, and nothing is checked against them.
        changed: Called after each change, so that this process takes it in at once.
    """

    __slots__ = ("_changed", "_denials", "desk", "forgets", "now", "peppers", "random", "routes")

    def __init__(
        self,
        desk: Desk,
        peppers: Peppers,
        *,
        now: Callable[[], datetime] = utc_now,
        random: Callable[[int], bytes] = os.urandom,
        routes: Callable[[], Collection[str]] | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.desk = desk
        self.peppers = peppers
        self.now = now
        self.random = random
        self.routes = routes
        self.forgets: Forgets | None = None
        """Lets go of what this process keeps in memory for keys; None = nothing is."""
        self._changed = changed
        self._denials: dict[str, list[datetime]] = {}
        """Actor -> the refusals of the last minute."""

    def act(
        self,
        actor: Actor,
        action: str,
        about: Document,
        before: Document | None = None,
        facts: Mapping[str, Json] = NO_FACTS,
    ) -> Act:
        """Return the record of an act that is being done."""
        return Act(
            at=self.now(),
            actor=actor.id,
            role=actor.role,
            address=actor.address,
            action=action,
            object=f"{about.kind}/{about.id}",
            # That an organisation came or went stands in the installation's chain: none can be hidden.
            organisation=None if about.kind == "organisation" else about.organisation,
            before=None if before is None else before.digest,
            after=about.digest,
            facts={**facts, "via": actor.via} if actor.via else dict(facts),
        )

    async def write(
        self, changes: Sequence[Change], act: Act, seen: int | None = None
    ) -> tuple[Document, ...]:
        """Make changes with their act.

        Args:
            changes: What to write.
            act: On whose account.
            seen: The version that the actor named, if any.

        Raises:
            PreconditionFailed: A document is no longer as the actor saw it.
            Conflict: Somebody else was faster, or the id is taken.
        """
        try:
            written = await self.desk.write(changes, act)
        except ConflictError as error:
            if seen is not None:
                raise PreconditionFailed(f"{error.kind}/{error.id} is at version {error.current}") from None
            taken = changes[0].document.version == 0
            why = "is there already" if taken else "was changed meanwhile; look again"
            raise Conflict(f"{error.kind}/{error.id} {why}") from None
        if self._changed is not None:
            self._changed()
        return written

    async def may_write(self, actor: Actor, kind: Kind, action: str, name: str = "") -> None:
        """Raise `Forbidden`, on record, unless the actor's role writes this kind."""
        if actor.role not in WRITES.get(kind, frozenset()):
            await self.deny(actor, action, f"{kind}/{name}", f"the role {actor.role} may not write this")

    async def may_read(self, actor: Actor, kind: Kind) -> None:
        """Raise `Forbidden`, on record, unless the actor's role reads this kind."""
        if actor.role not in READS.get(kind, frozenset()):
            await self.deny(actor, f"{kind}.read", f"{kind}/", f"the role {actor.role} may not read this")

    async def load(self, actor: Actor, kind: Kind, name: str, action: str) -> Document:
        """Return a document that the actor may know of.

        Raises:
            NotFound: There is none, or it belongs to another organisation: the two look alike.
        """
        document = await self.desk.get(kind, name)
        if document is not None and not actor.sees(owner_of(document)):
            await self._note_denial(actor, action, f"{kind}/{name}", "of another organisation")
            document = None
        if document is None:
            raise NotFound(f"there is no {kind} {name[:64]!r}")
        return document

    async def deny(self, actor: Actor, action: str, about: str, why: str) -> NoReturn:
        """Put a refusal on record and raise it as `Forbidden`."""
        await self._note_denial(actor, action, about, why)
        raise Forbidden(why)

    async def _note_denial(self, actor: Actor, action: str, about: str, why: str) -> None:
        now = self.now()
        recent = [at for at in self._denials.get(actor.id, []) if (now - at).total_seconds() < WINDOW_S]
        if len(self._denials) >= _MOST_ACTORS:
            self._denials.clear()
        self._denials[actor.id] = [*recent, now][-MOST_DENIALS - 1 :]
        if len(recent) >= MOST_DENIALS:
            return
        act = Act(
            at=now,
            actor=actor.id,
            role=actor.role,
            address=actor.address,
            action=action,
            object=about[:128],
            organisation=actor.organisation,
            reason=why,
            result="denied",
        )
        await self.desk.note(act)


def owner_of(document: Document) -> str | None:
    """Return the organisation a document belongs to; an organisation's belongs to itself."""
    return document.id if document.kind == "organisation" else document.organisation
