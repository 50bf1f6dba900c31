"""Asks a running gateway for everything that each page of the dashboard asks, over a loaded journal.

The questions stand here as the pages put them (`server/dashboard/static/pages`). A page's answers are asked
one after the other, so that their times add up to what the gateway spends on the page; CPU is that of all its
threads meanwhile. Bytes are those of the answers' bodies as they are sent to a browser. Ranges end hours
before the journal does, at an odd minute, so that they have ends to put together; each round takes another
route, model, key or customer.
"""

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from urllib.parse import quote, urlencode

from benchmarks.journal.records import BEGINS, DAYS, ENDS, MODELS, PRICES, PROVIDERS, ROUTES, customer
from benchmarks.journal.server import Server, spent_ms
from benchmarks.machine import cpu_ns

Asked = tuple[str, dict[str, str]]
Page = Callable[[dict[str, str], str, Random], Iterator[Asked]]
TIERS = f"[[{MODELS[1]}], [{MODELS[0]}]]"
UNTIL = ENDS - timedelta(hours=7, minutes=23)
RANGES = {
    "24h": (timedelta(days=1), "hour"),
    "7d": (timedelta(days=7), "hour"),
    "30d": (timedelta(days=30), "day"),
}
LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")
TURNOUT = (sys.executable, "-c", "from turnout.cli.main import main; main()")
CONFIG = """
version: 1
server: {{port: 0}}
journal: {{{journal}}}
desk: {{path: "{folder}/desk.db"}}
ledger: {{path: "{folder}/ledger.db"}}
providers:
{providers}
models:
{models}
guards: {{rules: [{{name: pii, guard: {{type: pii}}}}]}}
routes:
{routes}
"""


def overview(asked: dict[str, str], step: str, rng: Random) -> Iterator[Asked]:
    yield "/usage/totals", asked
    yield "/usage/totals", {**asked, "latencies": "false"}
    yield "/usage/series", {**asked, "step": step}
    by = rng.choice(("model", "route", "project", "team", "customer", "tag", "key"))
    yield "/usage/top", {**asked, "by": by, "limit": "10", "latencies": "false"}


def spend(asked: dict[str, str], step: str, rng: Random) -> Iterator[Asked]:
    yield "/usage/totals", {**asked, "latencies": "false"}
    yield "/usage/series", {**asked, "step": step, "by": "model", "top": "7", "latencies": "false"}
    by = rng.choice(("team", "project", "customer", "key", "tag", "route"))
    yield "/usage/top", {**asked, "by": by, "limit": "12", "latencies": "false"}
    yield from ((path, {}) for path in ("/standing", "/budgets", "/quotas"))


def statement(_asked: dict[str, str], _step: str, rng: Random) -> Iterator[Asked]:
    who = rng.choice(
        (("customer", customer(rng.randrange(2500))), ("team", f"team-{rng.randrange(20):02d}-1"))
    )
    yield "/statements", {"month": "2026-11", who[0]: who[1]}


def models(asked: dict[str, str], _step: str, _rng: Random) -> Iterator[Asked]:
    yield from ((path, {}) for path in ("/deployments", "/models", "/providers"))
    yield "/usage/totals", {**asked, "by": "model"}


def route(asked: dict[str, str], step: str, rng: Random) -> Iterator[Asked]:
    one = rng.choice(ROUTES)
    yield "/routes", {}
    yield "/config", {}
    yield "/usage/totals", {**asked, "route": one}
    yield "/usage/totals", {**asked, "route": one, "by": "model"}
    more = {"by": "model", "top": "8", "step": step, "latencies": "false"}
    yield "/usage/series", {**asked, "route": one, **more}
    yield f"/routes/{one}/certificate", {}
    yield "/quality", {"route": one, "since": asked["since"], "until": asked["until"]}
    yield "/requests", {"route": one, "limit": "8"}


def live(asked: dict[str, str], _step: str, rng: Random) -> Iterator[Asked]:
    more = rng.choice(
        ({}, {"order": "dearest"}, {"error": "any"}, {"search": "mini*"}, {"search": "editor large"})
    )
    yield "/requests", {**asked, **more, "limit": "100"}


def cache(asked: dict[str, str], step: str, _rng: Random) -> Iterator[Asked]:
    yield "/cache", {}
    yield "/usage/totals", {**asked, "latencies": "false"}
    yield "/usage/series", {**asked, "step": step, "latencies": "false"}
    yield "/usage/totals", {**asked, "by": "route", "latencies": "false"}


def guards(asked: dict[str, str], step: str, _rng: Random) -> Iterator[Asked]:
    yield "/guards", {**asked, "step": step, "limit": "100"}


def evaluate(asked: dict[str, str], _step: str, rng: Random) -> Iterator[Asked]:
    one = rng.choice(ROUTES)
    time_of = {"since": asked["since"], "until": asked["until"]}
    yield "/routes", {}
    yield f"/routes/{one}/scores", time_of
    yield "/quality", {"route": one, **time_of}
    yield from ((f"/routes/{each}/certificate", {}) for each in ROUTES)
    yield "/feedback", {"route": one, **time_of, "limit": "200"}
    yield "/evaluations", {}


def keys(_asked: dict[str, str], _step: str, _rng: Random) -> Iterator[Asked]:
    yield "/expiring", {"days": "14"}
    yield from (
        (f"/{each}", {}) for each in ("keys", "users", "tokens", "organisations", "projects", "teams")
    )


def request(_asked: dict[str, str], _step: str, rng: Random) -> Iterator[Asked]:
    n = rng.randrange(DAYS * 240_000) + 1
    ms = int((BEGINS + timedelta(microseconds=(n - 1) * 360_000)).timestamp() * 1000)
    one = f"req_{ms:011x}{n:015x}"
    yield f"/requests/{one}", {}
    yield "/feedback", {"request_id": one}


def others(_asked: dict[str, str], _step: str, _rng: Random) -> Iterator[Asked]:
    yield from ((path, {}) for path in ("/alerts", "/audit", "/config/versions"))


PAGES: dict[str, Page] = {
    "overview": overview,
    "spend": spend,
    "statement": statement,
    "models": models,
    "a route": route,
    "live": live,
    "cache": cache,
    "guards": guards,
    "evaluate": evaluate,
    "keys": keys,
    "a request": request,
    "alerts, audit, versions": others,
}
FILTERS: dict[str, Callable[[Random], dict[str, str]]] = {
    "": lambda _: {},
    " of a model": lambda rng: {"model": rng.choice(MODELS)},
    " of a project": lambda rng: {"project": f"project-{rng.randrange(20):02d}-1"},
    " of a customer": lambda rng: {"customer": customer(rng.randrange(2500))},
}
NARROWED = ("overview", "spend", "live")


def cases() -> Iterator[tuple[str, str, Page, Callable[[Random], dict[str, str]]]]:
    """Yield what is asked: name of the page, name of the range, page, filter."""
    for name, page in PAGES.items():
        is_timed = name not in {"statement", "keys", "a request", "alerts, audit, versions"}
        for range_ in RANGES if is_timed else ("24h",):
            yield name, range_ if is_timed else "", page, FILTERS[""]
        if name in NARROWED:
            yield from ((name + more, "30d", page, FILTERS[more]) for more in FILTERS if more)


def report(path: Path | None, url: str | None, rounds: int) -> list[dict[str, object]]:
    """Ask and print; return the rows."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, Gateway(Path(folder), path, url) as gateway:
        print("| page | range | answers | p50 ms | p95 ms | CPU p50 | CPU p95 | db p95 | dearest, p95 | KB |")
        print("|---|---|--:|--:|--:|--:|--:|--:|---|--:|")
        for name, range_, page, chosen in cases():
            row = _measured(gateway, page, range_ or "24h", chosen, rounds) | {"page": name, "range": range_}
            rows.append(row)
            print(
                f"| {name} | {range_} | {row['answers']} | {row['p50_ms']:.0f} | {row['p95_ms']:.0f} | "
                f"{row['cpu_p50_ms']:.0f} | {row['cpu_p95_ms']:.0f} | {row['db_cpu_p95_ms']:.0f} | "
                f"{row['dearest_ms']:.0f}: `{row['dearest']}` | {row['kb']:.0f} |",
                flush=True,
            )
    return rows


def _measured(
    gateway: "Gateway", page: Page, range_: str, chosen: Callable[[Random], dict[str, str]], rounds: int
) -> dict[str, object]:
    rng, span = Random(5), RANGES[range_]
    since = (UNTIL - span[0]).isoformat().replace("+00:00", "Z")
    totals: list[float] = []
    used: list[float] = []
    database: list[float] = []
    by_path: dict[str, list[float]] = {}
    most = n = 0
    for _ in range(rounds):
        asked = {"since": since, "until": UNTIL.isoformat().replace("+00:00", "Z"), **chosen(rng)}
        took, size, n, cpu, served = 0.0, 0, 0, cpu_ns(gateway.pid), gateway.server.cpu_ns()
        for path, params in page(asked, span[1], rng):
            ms, length = gateway.ask(path, params)
            by_path.setdefault(re.sub(r"req_\w+", "ID", path), []).append(ms)
            took, size, n = took + ms, size + length, n + 1
        totals.append(took)
        used.append((cpu_ns(gateway.pid) - cpu) / 1e6)
        database.append(spent_ms(served, gateway.server.cpu_ns()))
        most = max(most, size)
    dearest = max(by_path, key=lambda path: _at(by_path[path], 0.95))
    return {
        "answers": n,
        "p50_ms": round(_at(totals, 0.5), 1),
        "p95_ms": round(_at(totals, 0.95), 1),
        "cpu_p50_ms": round(_at(used, 0.5), 1),
        "cpu_p95_ms": round(_at(used, 0.95), 1),
        "db_cpu_p50_ms": round(_at(database, 0.5), 1),
        "db_cpu_p95_ms": round(_at(database, 0.95), 1),
        "dearest": dearest,
        "dearest_ms": round(_at(by_path[dearest], 0.95), 1),
        "kb": round(most / 1000, 1),
    }


def _at(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


class Gateway:
    """A gateway over the journal, in a process of its own."""

    def __init__(self, folder: Path, path: Path | None, url: str | None) -> None:
        journal = f'path: "{path}"' if path else f'path: "{folder}/journal.db", store: "{url}"'
        self._file = folder / "turnout.yaml"
        self._file.write_text(
            CONFIG.format(
                folder=folder,
                journal=journal,
                providers="\n".join(
                    f'  {name}: {{codec: openai_chat, base_url: "http://127.0.0.1:9/v1", auth: none}}'
                    for name in PROVIDERS
                ),
                models="\n".join(
                    f"  - {{model: {name}, price: {{input: {price / 1000}, output: {price / 250}}}}}"
                    for name, price in zip(MODELS, PRICES, strict=True)
                ),
                routes="\n".join(
                    f"  - {{name: {name}, models: [{', '.join(MODELS[:2])}], guards: [pii], "
                    f"strategy: {{type: complexity, thresholds: [0.5], tiers: {TIERS}}}}}"
                    for name in ROUTES
                ),
            )
        )

        self.server = Server(url)

    def __enter__(self) -> "Gateway":
        flags = ("--config", str(self._file), "--json", "--role", "owner", "--name", "Ada")
        made = subprocess.run(
            (*TURNOUT, "keys", "create", *flags), capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise SystemExit(made.stderr)
        self._key = json.loads(made.stdout)["key"]
        serve = (*TURNOUT, "serve", "--config", str(self._file))
        self._process = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.pid = self._process.pid
        said: list[str] = []
        for line in self._process.stdout or ():
            said.append(line)
            if found := LISTENS.search(line):
                self._connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
                return self
        raise SystemExit("".join(said))

    def __exit__(self, *exc: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self.server.close()

    def ask(self, path: str, params: dict[str, str]) -> tuple[float, int]:
        """Return the milliseconds of an answer, and its bytes."""
        target = f"/admin/v1{quote(path)}" + (f"?{urlencode(params)}" if params else "")
        began = time.perf_counter()
        headers = {"authorization": f"Bearer {self._key}", "accept-encoding": "gzip"}
        self._connection.request("GET", target, headers=headers)
        reply = self._connection.getresponse()
        body = reply.read()
        took = (time.perf_counter() - began) * 1000
        if reply.status != http.client.OK:
            raise SystemExit(f"{target}: {reply.status} {body[:500]!r}")
        return took, len(body)
