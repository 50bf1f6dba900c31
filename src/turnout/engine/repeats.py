"""Which blocks of text a tenant's requests carry again and again. Floor 4.

Theory of operation. For each tenant the hashes of the blocks of its latest `REMEMBERED` requests are kept and
counted; a block in at least `SHARE` of them (and in `LEAST` of them) is repeated. Hashes only, never text; no
more than `TENANTS` tenants, the one that asked longest ago going first.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

REMEMBERED: Final = 500
SHARE: Final = 0.05
LEAST: Final = 5
TENANTS: Final = 1000
NONE: Final[AbstractSet[int]] = frozenset()


class _Tenant:
    __slots__ = ("counts", "latest", "repeated")

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.latest: deque[tuple[int, ...]] = deque()
        self.repeated: set[int] = set()


class Repeats:
    """Counts blocks by tenant. One event loop, no locks."""

    __slots__ = ("_tenants",)

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()

    def of(self, tenant: str) -> AbstractSet[int]:
        """Return the hashes of the blocks that a tenant repeats. Changes with `note`."""
        known = self._tenants.get(tenant)
        return NONE if known is None else known.repeated

    def note(self, tenant: str, blocks: tuple[int, ...]) -> None:
        """Take in the blocks of a request; one without any counts too, where the tenant is known."""
        known = self._tenants.get(tenant)
        if known is None:
            if not blocks:
                return
            known = self._tenants[tenant] = _Tenant()
            if len(self._tenants) > TENANTS:
                self._tenants.popitem(last=False)
        self._tenants.move_to_end(tenant)
        known.latest.append(blocks)
        known.counts.update(blocks)
        gone: tuple[int, ...] = ()
        if len(known.latest) > REMEMBERED:
            gone = known.latest.popleft()
            known.counts.subtract(gone)
        _settle(known, (*blocks, *gone))


def _settle(known: _Tenant, changed: Iterable[int]) -> None:
    """Decide again about the blocks whose count changed."""
    enough = max(LEAST, SHARE * len(known.latest))
    for block in changed:
        n = known.counts[block]
        if n >= enough:
            known.repeated.add(block)
        else:
            known.repeated.discard(block)
            if n <= 0:
                del known.counts[block]
