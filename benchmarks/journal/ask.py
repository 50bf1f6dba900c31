"""Times every question that dashboard and admin API put to a journal."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from benchmarks.journal.records import BEGINS, DAYS, ENDS, MODELS, customer
from benchmarks.journal.server import Server, spent_ms
from turnout.stores.base import Query
from turnout.stores.postgres.connect import connect
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import SumQuery
from turnout.stores.sums.usage import UsageQuery

DAY = timedelta(days=1)
Rows = SqliteRows | PostgresRows
Ask = Callable[[Rows, Random], object]


def listings() -> Iterator[tuple[str, Callable[[Random], Query]]]:
    def at(rng: Random) -> datetime:
        return BEGINS + DAY * (1 + (DAYS - 3) * rng.random())

    def org(rng: Random) -> str:
        return f"org-{rng.randrange(20):02d}"

    yield "newest 100", lambda _: Query()
    yield "page of the middle", lambda r: Query(until=at(r))
    yield "by organisation", lambda r: Query(organisation=org(r))
    yield "by customer", lambda r: Query(customer=customer(r.randrange(2500)))
    yield "by key", lambda r: Query(principal=f"key_{r.randrange(20):02d}{r.randrange(20):02d}")
    yield "by project", lambda r: Query(project=f"project-{r.randrange(20):02d}-1")
    yield "by team", lambda r: Query(team=f"team-{r.randrange(20):02d}-1")
    yield "by model", lambda r: Query(model=r.choice(MODELS))
    yield "by route, in a day", lambda r: Query(route="code", since=(t := at(r)), until=t + DAY)
    yield "by error class", lambda _: Query(error="provider_overloaded")
    yield "failures of an organisation", lambda r: Query(error="any", organisation=org(r))
    yield "failures of a customer", lambda r: Query(error="any", customer=customer(r.randrange(2500)))
    yield "organisation and model", lambda r: Query(organisation=org(r), model=r.choice(MODELS))
    yield "dearest of a day", lambda r: Query(order="dearest", since=(t := at(r)), until=t + DAY)
    yield "dearest of 31 days", lambda _: Query(order="dearest", since=ENDS - 31 * DAY, until=ENDS)
    yield "dearest of a customer", lambda r: Query(order="dearest", customer=customer(r.randrange(2500)))
    yield (
        "dearest of an organisation",
        lambda r: Query(order="dearest", organisation=org(r), since=ENDS - 7 * DAY),
    )
    yield "words: a model", lambda _: Query(search="large-1")
    yield "words: a beginning", lambda _: Query(search="mini*")
    yield "words: customer and error", lambda r: Query(search=f"customer-{r.randrange(20):05d} timeout")
    yield (
        "words: rare, in a day",
        lambda r: Query(search="overloaded code", since=(t := at(r)), until=t + DAY),
    )
    yield "words in an organisation", lambda r: Query(search="editor batch", organisation=org(r))
    yield (
        "beginning of a request id",
        lambda r: Query(search=f"req_{int(at(r).timestamp() * 1000):011x}"[:13]),
    )
    yield "by tag", lambda r: Query(tag=f"feature-{r.randrange(12)}", organisation=org(r))


def usages() -> Iterator[tuple[str, UsageQuery]]:
    day, week, month = ({"since": ENDS - n * DAY, "until": ENDS} for n in (1, 7, 31))
    yield "series: 1 day by minute", UsageQuery(**day, step="minute")
    yield "series: 1 day by minute, a model", UsageQuery(**day, step="minute", model=MODELS[0])
    yield (
        "series: 6 h by minute and model",
        UsageQuery(since=ENDS - DAY / 4, until=ENDS, step="minute", by=("model",), organisation="org-01"),
    )
    yield (
        "series: 7 days by hour and model",
        UsageQuery(**week, step="hour", by=("model",), organisation="org-01"),
    )
    yield "series: 31 days by hour", UsageQuery(**month, step="hour")
    yield "series: 31 days by day and model", UsageQuery(**month, step="day", by=("model",))
    yield "series: 31 days by hour, a customer", UsageQuery(**month, step="hour", customer=customer(3))
    yield (
        "series: 31 days by day, project × model",
        UsageQuery(**month, step="day", by=("model",), project="project-01-1"),
    )
    yield "totals: 31 days", UsageQuery(**month)
    yield "totals: odd range", UsageQuery(since=ENDS - 20.37 * DAY, until=ENDS - 0.21 * DAY)
    yield "totals: 31 days by model", UsageQuery(**month, by=("model",))
    yield "totals: 31 days by key", UsageQuery(**month, by=("key",))
    yield "top 10 customers of a day", UsageQuery(**day, by=("customer",), top=10)
    yield "top 10 customers of 31 days", UsageQuery(**month, by=("customer",), top=10)
    yield "top 10 tags, by errors", UsageQuery(**month, by=("tag",), top=10, rank="errors")
    yield "a customer by model (sums)", UsageQuery(**month, by=("model",), customer=customer(3))


def questions() -> Iterator[tuple[str, Ask]]:
    for name, make in listings():
        yield name, lambda rows, rng, make=make: rows.query(make(rng))
    yield "one by id", lambda rows, rng: rows.get(_an_id(rows, rng))
    for name, query in usages():
        yield name, lambda rows, _, query=query: rows.usage(query)
    since = ENDS - 31 * DAY
    yield "spend of 31 days by team", lambda rows, _: rows.sums(SumQuery(by=("team",), since=since))
    yield (
        "a customer's month by model",
        lambda rows, _: rows.sums(SumQuery(by=("model", "route"), customer=customer(3), since=since)),
    )


def _an_id(rows: Rows, rng: Random) -> str:
    n = rng.randrange(DAYS * 240_000) + 1
    ms = int((BEGINS + timedelta(microseconds=(n - 1) * 360_000)).timestamp() * 1000)
    return f"req_{ms:011x}{n:015x}"


def report(path: Path | None, url: str | None, rounds: int) -> list[dict[str, object]]:
    """Ask and print; return the rows."""
    found: list[dict[str, object]] = []
    stores: list[tuple[str, Rows]] = []
    if path:
        stores.append((f"SQLite {sqlite3.sqlite_version}", SqliteRows(path)))
    if url:
        stores.append((_version(url), PostgresRows(url)))
    for name, rows in stores:
        print(f"\n| {name} | p50 ms | p95 ms | CPU p95 ms | db CPU p95 ms |\n|---|--:|--:|--:|--:|")
        server = Server(url if isinstance(rows, PostgresRows) else None)
        for what, ask in questions():
            times, cpu, served = _times(rows, ask, rounds, server)
            p50, p95 = times[len(times) // 2], times[min(len(times) - 1, int(0.95 * len(times)))]
            cpu95, db95 = (each[min(len(each) - 1, int(0.95 * len(each)))] for each in (cpu, served))
            slow = "  <-- slow" if p95 > 300 else ""
            print(f"| {what} | {p50:.1f} | {p95:.1f} | {cpu95:.1f} | {db95:.1f} |{slow}")
            row = {"p50_ms": round(p50, 2), "p95_ms": round(p95, 2), "cpu_p95_ms": round(cpu95, 2)}
            row["db_cpu_p95_ms"] = round(db95, 2)
            found.append({"store": name, "question": what, **row})
        rows.close()
        server.close()
    return found


def _times(rows: Rows, ask: Ask, rounds: int, server: Server) -> tuple[list[float], list[float], list[float]]:
    """Return milliseconds on the wall, of this process's CPU, and of a database's on this machine."""
    rng, times, cpu, served = Random(7), [], [], []
    for _ in range(rounds):
        before = server.cpu_ns()
        began, used = time.perf_counter(), time.process_time()
        ask(rows, rng)
        times.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - used) * 1000)
        served.append(spent_ms(before, server.cpu_ns()))
        if sum(times) > 8_000:
            break
    return sorted(times), sorted(cpu), sorted(served)


def _version(url: str) -> str:
    with connect(url, timeout_s=10) as db:
        row = db.execute("SHOW server_version").fetchone()
    return f"PostgreSQL {row[0] if row else ''}"
