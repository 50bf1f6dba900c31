"""What every store of answers must do, checked. Floor 6."""

from collections.abc import Callable

from turnout.stores.cache.base import ALL, CacheStore, Held, Kept, Owner, Selector
from turnout.types.usage import NanoUsd

NOW = 1_800_000_000.0
"""Far enough from 0 that a store which mixes up clocks is found out."""


def example(n: int, *, expires: float = NOW + 60, owner: Owner | None = None, route: str = "r") -> Kept:
    """Return an answer to keep; its key begins with `n` as two hexadecimal digits."""
    return Kept(
        key=bytes((n, 0, *range(30))),
        form="frames",
        pieces=(b"data: one\n\n", b"\x00\xff" * n),
        created=NOW,
        expires=expires,
        route=route,
        owner=owner or Owner("acme", "web", "key_1"),
        deployment="acme/small",
        cost_nusd=NanoUsd(1_234),
        n_tokens=7,
        finish="stop",
        dropped=("seed",),
    )


async def check_cache(make: Callable[[], CacheStore], *, now: float = NOW) -> None:
    """Check that a store keeps answers as `CacheStore` says.

    Args:
        make: Opens an empty store.
        now: Clock reading to begin with: the present for a store that has a clock of its own.

    Raises:
        AssertionError: naming the rule that is broken.
    """
    store = make()
    try:
        await _keeps(store, now)
        await _selects(store, now)
    finally:
        await store.close()
        await store.close()


async def _keeps(store: CacheStore, now: float) -> None:
    one, two = (example(n, expires=now + 60) for n in (1, 2))
    assert await store.get(one.key, now) is None, "a store is empty when it is made"
    await store.put(one, now)
    await store.put(two, now)
    assert await store.get(one.key, now) == one, "an answer comes back as it was kept"
    assert await store.get(one.key[:-1] + b"\xff", now) is None, "a key is looked at to its last byte"
    assert await store.get(one.key, now + 61) is None, "an answer whose time has passed is not given"
    again = example(2, expires=now + 120, route="other")
    await store.put(again, now)
    assert await store.get(two.key, now) == again, "the latest answer of a key counts"
    assert await store.clear(ALL) >= 1, "clearing tells how many went"
    assert await store.get(two.key, now) is None, "what was cleared is gone"


async def _selects(store: CacheStore, now: float) -> None:
    rows = [
        example(10, expires=now + 60),
        example(11, expires=now + 60, owner=Owner("acme", "app", "key_2")),
        example(12, expires=now + 60, owner=Owner("zoo", "web", "key_3"), route="s"),
        example(13, expires=now + 60, owner=Owner()),
    ]
    for each in rows:
        await store.put(each, now)
    wanted = {
        ALL: 4,
        Selector(organisation="acme"): 2,
        Selector(organisation="acme", project="app"): 1,
        Selector(project="web"): 2,
        Selector(key_id="key_3"): 1,
        Selector(route="s"): 1,
        Selector(prefix="0c"): 1,
        Selector(prefix="0c00ff"): 0,
        Selector(organisation=""): 1,
        Selector(organisation="%"): 0,
    }
    for which, n in wanted.items():
        found = await store.held(which, now)
        assert found.n == n, f"{which} are {n} answers, not {found.n}"
    size = sum(each.n_bytes for each in rows)
    assert await store.held(ALL, now) == Held(4, size), "the room that is taken is told"
    assert await store.clear(Selector(organisation="acme")) == 2, "a tenant's answers can be cleared"
    assert await store.get(rows[0].key, now) is None, "what was cleared is gone"
    assert await store.get(rows[2].key, now) == rows[2], "another tenant's answers stay"
