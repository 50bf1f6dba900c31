"""What every journal and every store must do, as runnable checks. Floor 6.

    async def test_my_journal_keeps_the_contract():
        await check_journal(MyJournal)

A check raises AssertionError with a sentence that names the broken promise.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from turnout.stores.base import Journal, Page, Query, Store
from turnout.types.record import Asked, Attempt, Content, Decision, InputView, Outcome, Record, SignalView
from turnout.types.usage import NanoUsd, Usage

START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
"""Arrival of the first example; the others follow second by second."""


def example_record(
    n: int, *, model: str = "gpt-5-mini", provider: str = "openai", error: str | None = None
) -> Record:
    """Return a Record such as a request leaves, different for every `n`."""
    usage = Usage(input_uncached=100 + n, cache_read=20, output_text=30, reasoning=5)
    served = error is None
    return Record(
        request_id=f"req_{n:026d}",
        at=START + timedelta(seconds=n),
        endpoint="chat",
        dialect="openai_chat",
        principal="key_1",
        project="search",
        tags=("blue", "naïve"),
        metadata={"ticket": f"T-{n}"},
        decision=Decision(
            decision_id=f"dec_{n:026d}",
            route="assistant" if n % 2 == 0 else "batch",
            strategy="priority",
            asked=Asked(endpoint="chat", dialect="openai_chat", model="auto", source="auto"),
            input=InputView(n_tokens=120 + n, n_tokens_source="estimated"),
            candidates=(),
            plan={"try": f"{provider}/{model}"},
            kind="single",
            chosen=(f"{provider}/{model}",),
            reason="highest_score",
            signals={"language": SignalView(value="en", confidence=0.9)},
            rng_seed=2**62 + n,
        ),
        attempts=(
            Attempt(
                n=1,
                deployment=f"{provider}/{model}",
                model=model,
                provider=provider,
                start_s=0.001,
                ttft_s=0.4 if served else None,
                duration_s=1.5,
                outcome="ok" if served else "failed",
                error=error,
                usage=usage if served else None,
            ),
        ),
        outcome=Outcome(
            error=error,
            model=model if served else None,
            provider=provider if served else None,
            usage=usage if served else None,
            cost_nusd=NanoUsd(1_000 * n) if served else None,
            total_s=1.5,
            n_attempts=1,
        ),
        content=Content(request="What is 2 + 2?\u2028\x00", response="4") if n % 3 == 0 else None,
    )


_OWNERS = {"principal": "key_2", "project": "mail", "organisation": "acme", "team": "blue", "customer": "c-1"}
"""Whose the last example is. A journal that does not heed one of these shows one tenant another's Records."""


async def check_journal(make: Callable[[], Journal]) -> None:
    """Check a journal that is empty when made."""
    journal = make()
    try:
        records = [
            example_record(0),
            example_record(1, model="claude-haiku-4-5", provider="anthropic"),
            example_record(2, error="provider_rate_limited"),
            example_record(3, error="timeout_ttft", model="claude-haiku-4-5", provider="anthropic"),
            example_record(4),
        ]
        # One is somebody else's, at every level that a Record names.
        records[4] = msgspec.structs.replace(
            records[4], principal="key_2", project="mail", organisation="acme", team="blue", customer="c-1"
        )
        # Stored out of order of arrival, as requests end; one of them twice.
        for n in (1, 0, 2, 4, 3, 2):
            journal.append(records[n])
        await journal.flush()
        await _check_get(journal, records)
        await _check_filters(journal, records)
        await _check_paging(journal, records)
        stats = journal.stats()
        assert (stats.appended, stats.queued, stats.dropped, stats.error) == (6, 0, 0, None), (
            f"after a flush, 6 are appended and none is queued or lost; stats() says {stats}"
        )
    finally:
        await journal.close()
    await journal.close()


async def _check_get(journal: Journal, records: list[Record]) -> None:
    for record in records:
        assert await journal.get(record.request_id) == record, "get returns the Record as it was appended"
    assert await journal.get("req_unknown") is None, "get returns None for a request that never was"


async def _check_filters(journal: Journal, records: list[Record]) -> None:
    newest = records[::-1]
    cases: tuple[tuple[Query, list[Record]], ...] = (
        (Query(), newest),
        (Query(order="oldest"), records),
        (Query(order="stored"), [records[n] for n in (1, 0, 2, 4, 3)]),
        (Query(request_id=records[2].request_id), [records[2]]),
        (Query(since=records[1].at, until=records[3].at), [records[2], records[1]]),
        (Query(model="claude-haiku-4-5"), [records[3], records[1]]),
        (Query(provider="openai"), [records[4], records[2], records[0]]),
        (Query(route="batch"), [records[3], records[1]]),
        (Query(error="timeout_ttft"), [records[3]]),
        (Query(error="any"), [records[3], records[2]]),
        (Query(error="any", model="gpt-5-mini", order="stored"), [records[2]]),
        (Query(model="gpt-4"), []),
        *((msgspec.convert({level: name}, Query), [records[4]]) for level, name in _OWNERS.items()),
        *((msgspec.convert({level: "nobody"}, Query), []) for level in _OWNERS),
    )
    for query, expected in cases:
        page = await journal.query(query)
        assert page.records == tuple(expected), f"{query} returns {[one.request_id for one in page.records]}"
        assert not page.more, f"{query} returned everything, yet says there is more"


async def _check_paging(journal: Journal, records: list[Record]) -> None:
    stored = [records[n] for n in (1, 0, 2, 4, 3)]
    for first, expected in (
        (Query(limit=2), records[::-1]),
        (Query(limit=2, order="oldest"), records),
        (Query(limit=2, order="stored"), stored),
        (Query(limit=1, provider="openai"), [records[4], records[2], records[0]]),
    ):
        pages = await _pages(journal, first)
        assert [record for page in pages for record in page.records] == expected, (
            f"the pages of {first} together hold every match once, in order"
        )
        assert [page.more for page in pages[:-1]] == [True] * (len(pages) - 1), (
            "only the last page is the last"
        )


async def _pages(journal: Journal, query: Query) -> list[Page]:
    pages = [await journal.query(query)]
    while pages[-1].more:
        after = pages[-1].entries[-1].cursor
        pages.append(
            await journal.query(
                Query(provider=query.provider, order=query.order, limit=query.limit, after=after)
            )
        )
    return pages


async def check_store(store: Store, advance: Callable[[float], None]) -> None:
    """Check an empty store; `advance` moves its clock by seconds."""
    assert await store.count("hits") == 0, "a counter that never was is 0"
    assert [await store.incr("hits", by, ttl_s=60) for by in (1, 2, -1)] == [1, 3, 2], (
        "incr returns the new value"
    )
    advance(59)
    assert await store.incr("hits", 1, ttl_s=60) == 3, "a counter lives until its time to live has passed"
    advance(2)
    assert await store.count("hits") == 0, "later increments do not prolong a counter's life"
    assert await store.incr("hits", 5, ttl_s=60) == 5, "an expired counter starts again at 0"

    assert await store.claim("key", b"mine", ttl_s=60) is None, "the first claim wins"
    assert await store.claim("key", b"yours", ttl_s=60) == b"mine", (
        "the second claim sees the first one's value"
    )
    await store.put("key", b"answer", ttl_s=60)
    assert await store.claim("key", b"yours", ttl_s=60) == b"answer", "put replaces what was claimed"
    await store.forget("key")
    assert await store.claim("key", b"yours", ttl_s=60) is None, "a forgotten key can be claimed again"
    advance(61)
    assert await store.claim("key", b"later", ttl_s=60) is None, "an expired key can be claimed again"
    assert await store.count("key") == 0, "counters and values do not share names"
