"""Several credentials at one vendor: turns taken, and those the vendor refuses set aside. Floor 3.

Theory of operation.

1. Credentials in service take turns, call by call.
2. One that the vendor answers with 401 (not valid) or 402 (nothing left to spend) is set aside for a while,
   and the same call goes out with the next one: it was refused whole, so nothing was billed or begun.
3. After the while it is in service again, by itself: keys are topped up and mistakes undone. If it is refused
   again at its first turn, it is set aside for twice as long, up to `LONGEST_S`; an answer to it makes the
   next while short again.
4. With all of them set aside, the one whose time ends first is used, and its refusal is the caller's answer.
5. Standing is kept by credential, not by deployment: what one model found out holds for all, and outlives a
   reload of the configuration.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from turnout.transport.base import Authorise
from turnout.types.deployment import Credential
from turnout.types.http import Headers, HttpRequest

log = logging.getLogger("turnout.credentials")

REFUSED: Final = frozenset((401, 402))
FIRST_S: Final = 60.0
LONGEST_S: Final = 3600.0


class Standing:
    """How one credential does. Mutable."""

    __slots__ = ("name", "until", "wait_s")

    def __init__(self, name: str) -> None:
        self.name = name
        self.until = 0.0
        """Out of service before this instant."""
        self.wait_s = 0.0
        """How long it was set aside last; 0 = it works."""


class Wallet:
    """The standings of all credentials, by what they are. One per process."""

    __slots__ = ("_standings", "clock")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._standings: dict[tuple[str, bytes], Standing] = {}

    def standing(self, credential: Credential) -> Standing:
        """Return the standing of a credential; another value under the same name begins afresh."""
        text = "" if credential.secret is None else credential.secret.reveal()
        key = (credential.name, hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest())
        found = self._standings.get(key)
        if found is None:
            found = self._standings[key] = Standing(credential.name)
        return found

    def retired(self) -> tuple[str, ...]:
        """Return the names of credentials that are out of service now."""
        now = self.clock()
        return tuple(sorted(each.name for each in self._standings.values() if now < each.until))


class Rotation:
    """What presents one of several credentials. An `Authorise`; whoever knows the answer tells it.

    Args:
        members: Each with what presents it.
        wallet: Where they stand.
    """

    __slots__ = ("_members", "_next", "_wallet")

    def __init__(self, members: Sequence[tuple[Credential, Authorise]], wallet: Wallet) -> None:
        self._members = tuple((wallet.standing(each), present) for each, present in members)
        self._wallet = wallet
        self._next = 0

    def __call__(self, request: HttpRequest) -> Headers:
        """Return the headers of whoever's turn it is."""
        _, present = self.turn()
        return present(request)

    def turn(self) -> tuple[Standing, Authorise]:
        """Return whose turn it is."""
        members, now = self._members, self._wallet.clock()
        for _ in members:
            member = members[self._next % len(members)]
            self._next += 1
            if member[0].until <= now:
                return member
        return min(members, key=lambda member: member[0].until)

    def heard(self, standing: Standing, status: int) -> bool:
        """Take in how the vendor answered; tell whether to ask again with another one."""
        now = self._wallet.clock()
        if status not in REFUSED:
            if standing.wait_s and standing.until <= now:
                standing.wait_s = 0.0
                log.info("credential %r works again", standing.name)
            return False
        if standing.until <= now:
            standing.wait_s = min(standing.wait_s * 2 or FIRST_S, LONGEST_S)
            standing.until = now + standing.wait_s
            log.warning("credential %r set aside for %.0f s: HTTP %d", standing.name, standing.wait_s, status)
        return any(each.until <= now for each, _ in self._members)
