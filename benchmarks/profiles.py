"""What a gateway of the bench has switched on, and everything that must be there before it starts.

A `Shape` says how much of everything there is; `write` makes a folder of it: the configuration, a desk with
the organisation, project and keys in it, a router's artifact. The numbers of a shape are what
`benchmarks/growth.py` lets grow.
"""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec

from turnout.config.desk import DeskConfig
from turnout.govern.keys import issue
from turnout.govern.office import Office, encode
from turnout.govern.open import open_desk, peppers_for
from turnout.govern.records import create
from turnout.govern.rules import CLI
from turnout.stores.desk.base import Change, Desk, Document
from turnout.types.account import Act, Key

VENDORS = ("p", "q", "r", "s", "t")
PEPPER = "9f2c7b1e4a6d8350c1f7e2b94d60a83b"
"""Of desks that replicas of the bench share."""
BATCH = 500


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway is set up."""

    keyed: bool = False
    """A virtual key at the desk, three budgets, two quotas, a choice among the models, the exact cache."""
    limited: bool = True
    """Whether a keyed one has the budgets and quotas."""
    cached: bool = True
    """Whether a keyed one has the cache."""
    journal: bool = False
    metrics: bool = False
    guarded: bool = False
    strategy: str = "{type: fastest}"
    learned: bool = False
    ledger: str = ""
    """Address of a store in place of the file."""
    records: str = ""
    """Address of the journal's store in place of the file."""
    workers: int = 1
    n_pool: int = 5
    """Deployments that a decision is among."""
    n_deployments: int = 0
    """Others, that nobody asks for."""
    n_routes: int = 0
    n_rules: int = 0
    n_keys: int = 0
    cache_entries: int = 10_000
    total_s: int = 600


class Written(msgspec.Struct, frozen=True):
    """A folder that a gateway starts from."""

    config: Path
    model: str
    headers: tuple[str, ...]


def write(shape: Shape, folder: Path, upstream: int, metrics_port: int) -> Written:
    """Write configuration, desk and artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "turnout.yaml"
    config.write_text(_text(shape, folder, upstream, metrics_port))
    if shape.learned:
        learn(folder / "router.npz", [f"{vendor}/one" for vendor in VENDORS])
    if shape.records:
        command = [sys.executable, "-c", "from turnout.cli.main import main; main()", "db", "migrate"]
        subprocess.run([*command, "-c", str(config)], check=True, stdout=subprocess.DEVNULL)
    if not shape.keyed:
        return Written(config, "p/one", ())
    secret = asyncio.run(_furnish(_desk_row(shape, folder), shape.n_keys))
    return Written(config, "turnout/pool", (f"authorization: Bearer {secret}",))


def _text(shape: Shape, folder: Path, upstream: int, metrics_port: int) -> str:
    server = f"max_connections_per_address: 16384, max_streams_per_key: 16384, workers: {shape.workers}"
    server += f", max_open: 16384{f', metrics_port: {metrics_port}' if shape.metrics else ''}"
    journal = f"store: {shape.records!r}, " if shape.records else ""
    journal = f"{{{journal}path: {folder / 'journal.db'}}}" if shape.journal else "{enabled: false}"
    lines = [
        f"server: {{{server}}}",
        f"journal: {journal}",
        "egress: {max_connections: 4096}",
        f"timeouts: {{total_s: {shape.total_s}}}",
        "providers:",
        *(
            f'  {name}: {{codec: openai_chat, base_url: "http://127.0.0.1:{upstream}/v1", auth: none}}'
            for name in VENDORS
        ),
        f'  other: {{codec: anthropic, base_url: "http://127.0.0.1:{upstream}", auth: none}}',
        "models:",
        *(_model(name) for name in ("other/one", *_pool(shape))),
        *(_model(f"{VENDORS[n % 5]}/more-{n}") for n in range(shape.n_deployments)),
    ]
    if shape.keyed or shape.n_routes:
        lines += ["routes:", *_routes(shape, folder)]
    if shape.guarded:
        lines += [
            "guards:",
            "  rules:",
            "    - {name: personal, guard: {type: pii}, mode: redact, everywhere: true}",
            "    - {name: attacks, guard: {type: injection}, mode: flag, everywhere: true}",
        ]
    return "\n".join([*lines, *(_limits(shape, folder) if shape.keyed else ())]) + "\n"


def _model(name: str) -> str:
    return f"  - {{model: {name}, price: {{input: 1, output: 2}}, context_window: 2000000}}"


def _pool(shape: Shape) -> list[str]:
    return [f"{VENDORS[n % 5]}/{'one' if n < 5 else f'one-{n}'}" for n in range(shape.n_pool)]


def _routes(shape: Shape, folder: Path) -> list[str]:
    strategy = shape.strategy
    if shape.learned:
        strategy = f"{{type: learned, artifact: {folder / 'router.npz'}, lambda: 0, mu: 0, on_expired: warn}}"
    if shape.n_rules:
        rules = ", ".join(
            f"{{when: 'tokens.in > {2_000_000 - n}', models: [{VENDORS[n % 5]}/one]}}"
            for n in range(shape.n_rules)
        )
        strategy = f"{{type: rules, rules: [{rules}], otherwise: {{models: [p/one]}}}}"
    cache = ", cache: {mode: exact, sampled: true}" if shape.cached else ""
    pool = ", ".join(_pool(shape))
    return [
        f"  - {{name: pool, models: [{pool}], strategy: {strategy}{cache}}}",
        *(
            f"  - {{name: route-{n}, models: [p/one, q/one], strategy: {{type: fastest}}}}"
            for n in range(shape.n_routes)
        ),
    ]


def _limits(shape: Shape, folder: Path) -> list[str]:
    row = _desk_row(shape, folder)
    desk = f"path: {row.path}" if row.pepper is None else f"store: {shape.records!r}, pepper: {PEPPER}"
    store = f"store: {shape.ledger!r}, timeout_s: 5, " if shape.ledger else ""
    return [
        f"desk: {{{desk}}}",
        f"ledger: {{{store}path: {folder / 'ledger.db'}}}",
        f"cache: {{max_entries: {shape.cache_entries}, max_mib: 4096}}",
        *(_counted() if shape.limited else ()),
    ]


def _counted() -> list[str]:
    return [
        "budgets:",
        *(
            f"  - {{id: {each}, level: {each}, usd: 100000000}}"
            for each in ("organisation", "project", "key")
        ),
        "quotas:",
        "  - {id: rpm, level: key, of: requests, limit: 1000000000}",
        "  - {id: tpm, level: key, of: tokens, limit: 1000000000000}",
    ]


def _desk_row(shape: Shape, folder: Path) -> DeskConfig:
    if shape.records:
        fields = {"store": shape.records, "pepper": PEPPER}
        return msgspec.convert(fields, DeskConfig, dec_hook=lambda kind, value: kind(value))
    return DeskConfig(path=str(folder / "desk.db"))


async def _furnish(row: DeskConfig, n_keys: int) -> str:
    """Make the owners, one key and `n_keys` more that nobody uses; return the text of the one."""
    desk = open_desk(row)
    try:
        office = Office(desk, peppers_for(row))
        if await desk.get("organisation", "acme") is None:
            await create(office, CLI, "organisation", {"id": "acme"})
            await create(office, CLI, "project", {"id": "web", "organisation": "acme"})
        secret, document = await issue(office, CLI, {"organisation": "acme", "project": "web"})
        await _more(desk, msgspec.json.decode(document.body, type=Key), n_keys)
        return secret.reveal()
    finally:
        await desk.close()


async def _more(desk: Desk, like: Key, n: int) -> None:
    act = Act(
        at=datetime.now(UTC), actor="cli", role="owner", action="key.create", organisation="acme", facts={}
    )
    draw = Random(0)
    for first in range(0, n, BATCH):
        keys = [
            msgspec.structs.replace(like, id=f"key_more_{at}", digest=f"{draw.getrandbits(256):064x}")
            for at in range(first, min(n, first + BATCH))
        ]
        made = [Document(kind="key", id=key.id, organisation="acme", body=encode(key)) for key in keys]
        await desk.write([Change(document=each) for each in made], act)


def learn(out: Path, models: list[str]) -> None:
    """Fit a router on made-up outcomes: each model is good at what its words are about."""
    subjects = [
        "sonnets about the sea",
        "equations for x",
        "laws of trains",
        "recipes for bread",
        "Python code",
    ]
    rows = [
        {
            "prompt": f"Tell me of {subject}, number {n}",
            "model": model,
            "score": float(at == good),
            "domain": subject,
        }
        for n in range(40)
        for good, subject in enumerate(subjects)
        for at, model in enumerate(models)
    ]
    table = out.with_suffix(".jsonl")
    table.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    fit = "from turnout.cli.main import main; main()"
    words = ["fit", "learned", "--data", str(table), "--out", str(out), "--encoder", "static"]
    found = subprocess.run(
        [sys.executable, "-c", fit, *words, "--kind", "kmeans", "--no-leave-domain-out"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise RuntimeError(f"the router could not be fitted: {found.stderr[-500:]}")
