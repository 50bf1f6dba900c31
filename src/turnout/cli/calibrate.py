"""`turnout calibrate`: how boldly a route may leave its reference, with the certificate. Floor 7."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from turnout.cli.options import confidence_option, config_option, read_config, share_option
from turnout.errors import ConfigError

if TYPE_CHECKING:
    from turnout.evaluate.calibrate_data import Read, Wanted
    from turnout.evaluate.certify_items import Item, Subject
    from turnout.learn.artifact import Artifact
    from turnout.learn.base import Encoder

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
METHODS = {"betting": "ltt-betting/1", "clopper-pearson": "clopper-pearson/1"}


class Given(Struct, frozen=True, kw_only=True):
    """The command's options."""

    config_path: Path | None
    route: str | None
    data: Path
    other: Path | None
    artifact: Path | None
    gaps: str | None
    reference: str
    candidates: tuple[str, ...]
    max_loss: float
    confidence: float
    method: str
    order: str
    unit: str
    by_surface: bool
    surface: str
    scorer: str
    gold_overlap: int
    sampling: str
    shadow_share: float
    volume: float
    out: Path | None
    as_json: bool


class _WithCache(click.Command):
    """`turnout calibrate`, and `cache` and `feedback` beneath it."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand over to the command beneath where it is named."""
        if args and args[0] == "cache":
            from turnout.cli.calibrate_cache import cache

            return cache.make_context(f"{info_name} cache", args[1:], parent, **extra)
        if args and args[0] == "feedback":
            from turnout.cli.calibrate_feedback import feedback

            return feedback.make_context(f"{info_name} feedback", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_WithCache)
@config_option
@click.option("--route", help="Tie the certificate to this route's strategy, versions and prices.")
@click.option("--data", required=True, type=_FILE, help="Scored answers of both sides: pairs or outcomes.")
@click.option("--other", type=_FILE, help="Unlabelled requests, for thresholds. Default: a third of --data.")
@click.option("--artifact", type=_FILE, help="What predicts gaps (.npz, with its card beside it).")
@click.option("--gaps", help="Column of predicted gaps, in place of an artifact.")
@click.option("--reference", required=True, help="Model that the loss is measured against.")
@click.option(
    "--candidate",
    "candidates",
    required=True,
    multiple=True,
    help="Model a request may be routed to; repeat.",
)
@share_option("--max-loss", 0.02, "Largest mean loss of score; 0.02 is two points.")
@confidence_option(0.9)
@click.option(
    "--method",
    type=click.Choice(["betting", "clopper-pearson", "crc"]),
    default="betting",
    show_default=True,
    help="How it is shown; clopper-pearson for scores of 0 and 1, crc only tunes.",
)
@click.option(
    "--order",
    type=click.Choice(["averaged", "hashed"]),
    default="averaged",
    show_default=True,
    help="Bets over 40 orders of the items, or one: more power where items are few.",
)
@click.option(
    "--unit",
    type=click.Choice(["request", "session"]),
    default="request",
    show_default=True,
    help="What the mean is over; session where conversations stick to a model.",
)
@click.option("--by-surface", is_flag=True, help="Say what each surface shows by itself.")
@click.option("--surface", default="", help="Where the sample is from.")
@click.option("--scorer", default="gold:labels", help="Who scored, KIND:ID; gold, judge, verifier, feedback.")
@click.option("--gold-overlap", type=click.IntRange(min=0), default=0, help="Items with a gold label too.")
@click.option("--sampling", default="uniform", help="How the sample was drawn, in words.")
@click.option(
    "--shadow-share", type=click.FloatRange(0, 1), default=0.02, help="Share compared live; tells delays."
)
@click.option(
    "--volume", type=click.FloatRange(min=0), default=0.0, help="Requests a day; tells delays in days."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the certificate here.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def calibrate(**options: Any) -> None:
    """Certify a router: how much quality it may lose against a reference, and with which confidence.

    Learn-then-test with a betting bound. Loss, confidence, thresholds and orderings are fixed before any
    label is read. Prints what is certified beside what an empirical threshold would route, which keeps no
    promise. Method crc tunes and promises nothing: it writes no certificate.
    """
    given = msgspec.convert(options, Given)
    if given.reference in given.candidates:
        raise ConfigError((f"--candidate: {given.reference!r} is the reference",))
    if given.method == "crc" and given.out is not None:
        raise ConfigError(("--out: crc tunes a threshold and promises nothing; there is no certificate",))
    if given.method == "crc":
        _tune(given)
    else:
        _certify(given)


def _certify(given: Given) -> None:
    from turnout.evaluate.calibrate_report import lines, report
    from turnout.evaluate.certify import certify
    from turnout.learn.calibrate import Promise
    from turnout.learn.certificate import encode

    now = datetime.now(UTC).replace(microsecond=0)
    items, other, subject, told = _sample(given, now)
    promise = Promise(
        epsilon=given.max_loss,
        delta=round(1 - given.confidence, 12),
        order="hashed" if given.order == "hashed" else "averaged",
    )
    method = METHODS[given.method]
    certificate = certify(
        items,
        other,
        promise,
        subject,
        created=now,
        method="ltt-betting/1" if method == "ltt-betting/1" else "clopper-pearson/1",
    )
    found = report(certificate, len(other), given.shadow_share, given.volume, told)
    if given.out is not None:
        given.out.write_bytes(encode(certificate) + b"\n")
    if given.as_json:
        click.echo(msgspec.json.encode(found, order="deterministic").decode())
    else:
        for line in lines(found):
            click.echo(line)
    for warning in found.warnings:
        click.echo(f"turnout: {warning}", err=True)
    if given.out is not None:
        click.echo(f"turnout: {given.out}: certificate {certificate.id}", err=True)


def _tune(given: Given) -> None:
    from turnout.evaluate.certify import tune

    items, other, subject, told = _sample(given, datetime.now(UTC))
    found = tune(items, other, given.max_loss, subject)
    if given.as_json:
        click.echo(msgspec.json.encode(found, order="deterministic").decode())
    else:
        threshold = "none" if found.tau is None else f"{found.tau:.4f}"
        click.echo(f"tuned, not promised: threshold {threshold}, {100 * found.share_routed:.1f} % routed")
        click.echo(f"observed loss {found.loss:.4f} on {found.n} items; expected at most {found.max_loss:g}")
    for warning in told:
        click.echo(f"turnout: {warning}", err=True)


def _sample(
    given: Given, now: datetime
) -> tuple[Sequence["Item"], Sequence[float], "Subject", tuple[str, ...]]:
    """Return the items, the gaps of others, what it is all about, and what deserves a look."""
    from turnout.evaluate.calibrate_data import parted, read_other, read_sample

    opened, wanted = _wanted(given, now)
    read = read_sample(given.data, wanted)
    told: list[str] = []
    items: Sequence[Item] = read.items
    if given.other is None:
        items, other = parted(items)
        told.append(f"no --other: {len(other)} items gave up their labels and serve for the thresholds")
    else:
        other = read_other(given.other, wanted)
    if opened is not None:
        told += _trained_on(opened[0], given.data)
    return items, other, _subject(given, read, opened, now), tuple(told)


def _wanted(given: Given, now: datetime) -> tuple["tuple[Artifact, Encoder] | None", "Wanted"]:
    from turnout.evaluate.calibrate_data import Wanted
    from turnout.evaluate.calibrate_gaps import open_artifact, predict_gaps

    if given.artifact is None and given.gaps is None:
        raise ConfigError(("--gaps: name the column of predicted gaps, or give an --artifact",))
    opened = None if given.artifact is None else open_artifact(given.artifact, now)

    def predict(prompts: Sequence[str]) -> Mapping[str, Sequence[float]]:
        assert opened is not None
        return predict_gaps(opened, given.reference, given.candidates, prompts)

    wanted = Wanted(
        reference=given.reference,
        candidates=given.candidates,
        column=given.gaps,
        predict=None if opened is None or given.gaps is not None else predict,
        by_surface=given.by_surface,
    )
    return opened, wanted


def _trained_on(artifact: "Artifact", data: Path) -> list[str]:
    """Return a warning where the artifact was fitted on this very file."""
    import hashlib

    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    if all(each.sha256 != digest for each in artifact.card.data):
        return []
    rules = {each.split_rule for each in artifact.card.data if each.sha256 == digest}
    rule = ", ".join(sorted(rules))
    return [f"{data}: the artifact was fitted on it ({rule}); items it has seen void the promise"]


def _subject(
    given: Given, read: "Read", opened: "tuple[Artifact, Encoder] | None", now: datetime
) -> "Subject":
    from turnout.evaluate.certify_items import Subject
    from turnout.learn.certificate import Scorer

    kind, _, name = given.scorer.partition(":")
    try:
        scorer = msgspec.convert(
            {"kind": kind, "id": name or kind, "gold_overlap": given.gold_overlap}, Scorer
        )
    except msgspec.ValidationError:
        raise ConfigError(
            (f"--scorer: {given.scorer!r}; expected gold:ID, judge:ID, verifier:ID or feedback:ID",)
        ) from None
    policy, versions, prices = _route(given)
    return Subject(
        reference=given.reference,
        candidates=given.candidates,
        begins=read.begins or now,
        ends=read.ends or now,
        sampling=given.sampling,
        scorer=scorer,
        surface=given.surface,
        unit="session" if given.unit == "session" else "request",
        versions=versions,
        prices=prices,
        policy_sha256=policy,
        artifact_sha256=None if opened is None else opened[0].card.npz_sha256,
    )


def _route(given: Given) -> tuple[str | None, Mapping[str, str], Mapping[str, str]]:
    """Return what the route decides by, and its models' versions and prices, where a route is named."""
    if given.route is None:
        return None, {}, {}
    import os

    from turnout.compile import compile_snapshot
    from turnout.compile.certificates import names_of, policy_sha256, price_mark
    from turnout.parts import load_catalog
    from turnout.strategies.pipeline import Pipeline

    config, path = read_config(given.config_path)
    rows = {row.name: row for row in config.routes}
    if given.route not in rows:
        raise ConfigError((f"--route: no route {given.route!r} in {path}",))
    bare = msgspec.structs.replace(
        config, routes=tuple(msgspec.structs.replace(row, certificate=None) for row in config.routes)
    )
    snapshot = compile_snapshot(bare, load_catalog(bare), os.environ, credentials=False)
    pool = snapshot.routes[given.route].deployments
    strategy = snapshot.routes[given.route].strategy
    called = names_of(strategy) if isinstance(strategy, Pipeline) else {}
    known = {name for d in pool for name in (d.id, d.model.id)} | set(called.values())
    if missing := [name for name in (given.reference, *given.candidates) if name not in known]:
        raise ConfigError((f"--route: {', '.join(missing)} not in the models of route {given.route!r}",))
    priced = {d.model.id: price_mark(d.model.price) for d in pool if d.model.price is not None}
    versions = {d.model.id: d.upstream_model for d in pool}
    return policy_sha256(rows[given.route], "routes"), versions, priced
