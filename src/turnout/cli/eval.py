"""`turnout eval`: a router beside everything it has to beat, on recorded outcomes. Floor 7."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.types.json import JsonObject

if TYPE_CHECKING:
    from turnout.engine.snapshot import Snapshot
    from turnout.evaluate.scoreboard import Options, Split
    from turnout.evaluate.scoreboard_router import Contender, Standing
    from turnout.evaluate.scoreboard_types import Scoreboard
    from turnout.evaluate.simulate_table import Bench
    from turnout.learn.base import Encoder, Trainer

NOWHERE = "http://127.0.0.1:9/v1"
"""Address of models that are never asked."""
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
BASELINES = ("kNN-20", "kNN-100", "k-means-64", "logistic", "prompt length", "category")


class Wanted(Struct, frozen=True, kw_only=True):
    """The command's options."""

    data: tuple[Path, ...]
    train: tuple[Path, ...]
    artifact: Path | None
    config_path: Path | None
    route: str | None
    trainer: str | None
    baseline: str
    encoder: str
    price: float
    models: tuple[str, ...]
    strong: str | None
    weak: str | None
    protocol: Literal["in_domain", "leave_one_domain_out"]
    prices: Path | None
    time_limit: float | None
    samples: int
    show_prompts: bool
    as_json: bool
    out: Path | None


@click.command(name="eval")
@click.option(
    "--data",
    type=FILE,
    multiple=True,
    required=True,
    help="Outcome table to report on (CSV, JSONL, Parquet).",
)
@click.option(
    "--train", type=FILE, multiple=True, help="Outcome table to learn from. Default: the split of --data."
)
@click.option(
    "--artifact", type=FILE, help="Evaluate what `turnout fit learned` wrote (.npz, its card beside it)."
)
@click.option("-c", "--config", "config_path", type=FILE, help="Evaluate a route of this configuration.")
@click.option("--route", help="Name of the route. Default: the only one.")
@click.option("--trainer", help="Evaluate a trainer, fitted anew within every fold (knn, kmeans, …).")
@click.option(
    "--baseline",
    type=click.Choice(BASELINES),
    default="logistic",
    show_default=True,
    help="What stands as router where nothing else is named.",
)
@click.option("--encoder", default="hash", show_default=True, help="Vectors that baselines read.")
@click.option(
    "--lambda",
    "price",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Quality that one USD is worth; a route has its own.",
)
@click.option(
    "--model", "models", multiple=True, help="Pool. Default: every model with outcomes for 95 % of the items."
)
@click.option("--strong", help="With --weak: the two models that PGR, APGR and CPT are about.")
@click.option("--weak", help="See --strong.")
@click.option(
    "--protocol",
    type=click.Choice(["in_domain", "leave_one_domain_out"]),
    default="in_domain",
    show_default=True,
    help="Without --train: which items are held out.",
)
@click.option(
    "--prices",
    type=FILE,
    help="CSV of prices in place of the recorded costs (model, input_usd_per_mtok, "
    "output_usd_per_mtok); needs token counts.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0),
    help="Seconds; what is not done by then is named as partial.",
)
@click.option(
    "--samples", type=click.IntRange(min=0), default=12, show_default=True, help="Decisions to show."
)
@click.option(
    "--show-prompts", is_flag=True, help="Show the words of those prompts in the report, not only ids."
)
@click.option("--json", "as_json", is_flag=True, help="Print the scoreboard as JSON.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write scoreboard.json, report.html and, with the extra `plots`, charts as PNG here.",
)
def eval_(**options: object) -> None:
    """Evaluate a router as configured for production on recorded outcomes; nothing is sent.

    Every number stands beside the oracle, the best single model chosen on training data, the cheapest, random
    mixtures at equal cost, kNN, k-means, a logistic regression, prompt length alone and a category look-up.
    """
    import time

    from turnout.evaluate.report import to_json
    from turnout.evaluate.scoreboard import measured, unseen

    wanted = msgspec.convert(options, Wanted)
    contender, encoder = _contender(wanted)
    split = _split(wanted)
    if wanted.artifact is not None:
        split, said = unseen(split, wanted.artifact.read_bytes())
        click.echo(said, err=True, nl=bool(said))
    board, standing = measured(split, contender, encoder, _options(wanted, time.monotonic))
    if wanted.out is not None:
        _write(board, standing, split, wanted)
    if wanted.as_json:
        sys.stdout.buffer.write(to_json(board))
    else:
        _show(board)


def _options(wanted: Wanted, now: Callable[[], float]) -> "Options":
    from turnout import __version__
    from turnout.evaluate.scoreboard import Options

    return Options(
        strong=wanted.strong,
        weak=wanted.weak,
        command=shlex.join(["turnout", *sys.argv[1:]]) if len(sys.argv) > 1 else "",
        version=__version__,
        prices="recorded" if wanted.prices is None else f"{wanted.prices.name} {_sha256(wanted.prices)}",
        limit_s=wanted.time_limit,
        now=now,
    )


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _split(wanted: Wanted) -> "Split":
    from turnout.evaluate.scoreboard import in_domain, leave_one_domain_out, train_file

    test = _bench(wanted.data, wanted)
    files = dict(zip((path.name for path in wanted.data), test.sha256.split(), strict=True))
    if wanted.train:
        train = _bench(wanted.train, wanted)
        files |= zip((f"train {path.name}" for path in wanted.train), train.sha256.split(), strict=True)
        return train_file(train, test, files)
    return (in_domain if wanted.protocol == "in_domain" else leave_one_domain_out)(test, files)


def _bench(paths: tuple[Path, ...], wanted: Wanted) -> "Bench":
    """Return several files as one table; the hash is that of each, in their order."""
    from turnout.evaluate.dataset import OutcomeTable, load_outcomes
    from turnout.evaluate.simulate_table import bench, read_rates

    tables = [load_outcomes(path) for path in paths]
    table = OutcomeTable(
        rows=tuple(row for each in tables for row in each.rows),
        sha256=" ".join(each.sha256 for each in tables),
        warnings=tuple(warning for each in tables for warning in each.warnings),
    )
    rates = None if wanted.prices is None else read_rates(wanted.prices)
    return bench(table, models=_models(wanted, table.models), rates=rates)


def _models(wanted: Wanted, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the pool that is asked for: by name, of a route, or of an artifact."""
    if wanted.models:
        return wanted.models
    if wanted.config_path is not None:
        from turnout.evaluate.simulate_route import pool_of

        snapshot, name = _compiled(wanted.config_path, wanted.route)
        pool = pool_of(snapshot.routes[name], known, snapshot.aliases)
        if len(pool) < 2:
            raise ConfigError(
                (f"route {name}: fewer than two of its models are in the table; it has {', '.join(known)}",)
            )
        return pool
    if wanted.artifact is not None:
        from turnout.learn.artifact import decode_card

        pool = decode_card(_card(wanted.artifact).read_bytes()).pool
        if absent := [model for model in pool if model not in known]:
            raise ConfigError((f"{wanted.artifact}: the table has no outcomes of {', '.join(absent)}",))
        return pool
    return ()


def _compiled(path: Path, route: str | None) -> "tuple[Snapshot, str]":
    """Return the configuration, compiled without credentials, and the route that is meant."""
    import os

    from turnout.compile import compile_snapshot
    from turnout.config import load_config
    from turnout.parts import load_catalog

    config = load_config(path)
    snapshot = compile_snapshot(config, load_catalog(config), os.environ, credentials=False)
    name = route or snapshot.default_route
    if name is None or name not in snapshot.routes:
        known = ", ".join(snapshot.routes) or "none"
        raise ConfigError((f"{path}: name a route with --route; it has {known}",))
    return snapshot, name


def _encoder(name: str) -> "Encoder":
    from turnout.registry import load

    return load("turnout.encoders", name)()  # type: ignore[operator, no-any-return]  # the group holds factories


def _card(artifact: Path) -> Path:
    card = artifact.with_suffix(".json")
    if not card.is_file():
        raise ConfigError((f"{artifact}: its card {card.name} is not beside it",))
    return card


def _contender(wanted: Wanted) -> "tuple[Contender, Encoder]":
    """Return what is evaluated, and the encoder whose vectors the baselines read."""
    from turnout.evaluate.scoreboard_router import from_baseline, from_trainer

    named = [wanted.artifact, wanted.config_path, wanted.trainer]
    if sum(each is not None for each in named) > 1:
        raise click.UsageError("give one of --artifact, --config and --trainer")
    if wanted.artifact is not None:
        return _from_artifact(wanted.artifact, wanted)
    encoder = _encoder(wanted.encoder)
    if wanted.config_path is not None:
        return _from_route(wanted.config_path, encoder, wanted), encoder
    if wanted.trainer is not None:
        trainer = _trainer(wanted.trainer)
        made = from_trainer(wanted.trainer, trainer, encoder.id, price=wanted.price, samples=wanted.samples)
        return made, encoder
    return from_baseline(wanted.baseline, encoder.id, price=wanted.price, samples=wanted.samples), encoder


def _trainer(name: str) -> "Trainer":
    from turnout.registry import load

    return load("turnout.trainers", name)()  # type: ignore[operator, no-any-return]  # a trainer's class


def _from_route(path: Path, encoder: "Encoder", wanted: Wanted) -> "Contender":
    from turnout.evaluate.scoreboard_router import RouteContender
    from turnout.evaluate.scoreboard_types import Router
    from turnout.evaluate.simulate_route import price_of

    snapshot, name = _compiled(path, wanted.route)
    strategy = snapshot.routes[name].strategy
    card = Router(
        name=f"route {name}",
        kind="route",
        digest=snapshot.digest,
        strategy=strategy.name,
        encoder=encoder.id,
        price=price_of(strategy),
    )
    return RouteContender(snapshot, name, card, wanted.samples)


def _from_artifact(path: Path, wanted: Wanted) -> "tuple[Contender, Encoder]":
    """Return the preset `learned` with this artifact, over the artifact's own pool."""
    from turnout.compile import compile_snapshot
    from turnout.config import parse_config
    from turnout.evaluate.scoreboard_router import RouteContender
    from turnout.evaluate.scoreboard_types import Router
    from turnout.learn.artifact import decode_card
    from turnout.parts import load_catalog

    card = decode_card(_card(path).read_bytes())
    strategy: JsonObject = {
        "type": "learned",
        "artifact": str(path.resolve()),
        "on_expired": "warn",
        "lambda": wanted.price,
        "mu": 0.0,
    }
    tree: JsonObject = {
        "providers": {"table": {"codec": "openai_chat", "base_url": NOWHERE, "auth": "none"}},
        "models": [{"id": name, "model": f"table/{name}"} for name in card.pool],
        "routes": [{"name": "artifact", "models": list(card.pool), "strategy": strategy}],
    }
    config = parse_config(msgspec.json.encode(tree).decode(), env={}, where=str(path))
    snapshot = compile_snapshot(config, load_catalog(config), {}, credentials=False)
    told = Router(
        name="artifact",
        kind="artifact",
        digest=card.npz_sha256,
        strategy=f"learned, {card.kind}",
        encoder=card.encoder.id,
        price=wanted.price,
        card=_sha256(_card(path)),
        abstained=card.abstain_reason,
    )
    return RouteContender(snapshot, "artifact", told, wanted.samples), _encoder(card.encoder.name)


# What is left behind


def _write(board: "Scoreboard", standing: "Standing", split: "Split", wanted: Wanted) -> None:
    from turnout.evaluate.report import Extra, to_html, to_json, to_pngs

    out = wanted.out
    assert out is not None
    out.mkdir(parents=True, exist_ok=True)
    shown = {each.prompt_id for each in board.decisions} if wanted.show_prompts else set()
    prompts = {
        item.prompt_id: item.prompt
        for _, test in split.parts
        for item in test.items
        if item.prompt_id in shown
    }
    (out / "scoreboard.json").write_bytes(to_json(board))
    page = to_html(board, Extra(prompts=prompts, timing=standing.timing))
    (out / "report.html").write_text(page, encoding="utf-8")
    try:
        pictures = to_pngs(board)
    except ModuleNotFoundError:
        click.echo("no PNG: install turnout[plots] for charts as pictures", err=True)
        return
    for name, content in pictures.items():
        (out / name).write_bytes(content)


def _show(board: "Scoreboard") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    data = board.data
    console.print(
        f"{data.n_evaluated:,} of {data.n_test:,} items, {data.n_train:,} learned from, {data.protocol}; "
        f"best single on training data: {escape(board.best_single)}"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("policy", "mean score", "95 %", "USD/1,000", "strong", "AIQ-range", "APGR"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    curves = {curve.name: f"{curve.aiq_range:.4f}" for curve in board.curves}
    areas = {
        two.name: f"{two.apgr.mean:.3f} [{two.apgr.low:.3f}, {two.apgr.high:.3f}]" for two in board.two_models
    }
    for line in board.lines:
        q = line.quality
        table.add_row(
            escape(line.name),
            f"{q.mean:.4f}",
            f"[{q.low:.4f}, {q.high:.4f}]".replace("[", r"\["),
            "" if line.cost_usd is None else f"{1000 * line.cost_usd:.4g}",
            "" if line.strong_share is None else f"{line.strong_share:.1%}",
            curves.get(line.name, ""),
            areas.get(line.name, "").replace("[", r"\["),
        )
    console.print(table)
    for each in board.differences:
        v, of = each.value, f"{escape(each.minus)} ({each.of})"
        console.print(f"router − {of}: {v.mean:+.4f} \\[{v.low:+.4f}, {v.high:+.4f}]  {each.verdict}")
    for why in (*board.refused, *(f"no time for {part}" for part in board.partial)):
        console.print(f"not given: {escape(why)}")
