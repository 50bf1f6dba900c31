"""How the seeded company stands: an alert that is over, budgets in use, a certificate, a model that retires.

All of it is written by what writes it in a gateway: rules are asked over the Records as they stood minute by
minute, the ledger reserves and settles, certificates are sealed. Used by `seed.py`.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from turnout.build import build
from turnout.config import load_config
from turnout.jobs.alerts.base import EMPTY, Checked, Count, State
from turnout.jobs.alerts.keep import Kept
from turnout.jobs.alerts.rules import ProviderErrors
from turnout.jobs.alerts.step import Plan, advance
from turnout.jobs.alerts.traffic import provider_errors
from turnout.jobs.alerts.world import World
from turnout.learn.certificate import (
    Certificate,
    Naive,
    Observed,
    Sample,
    Scorer,
    encode,
    grid_sha256,
    sealed,
)
from turnout.parts import limits_of, open_ledger
from turnout.server.alerting import open_kept
from turnout.stores.memory import MemoryJournal
from turnout.stores.sightings import sightings_beside
from turnout.types.record import Record

STRONG, CHEAPER = "anthropic/claude-sonnet-5", "openai/gpt-5.4"
RETIRES, RETIRES_IN = "openai/gpt-5.4-nano", timedelta(days=24)
FULL, TEAMS_FULL = 0.83, 0.62
"""Shares of the company's budget, and of the fullest team's, that the month has used."""
LEAST = 70.0
"""USD of a month: what is reserved for one long answer must not fill its budget."""
CERTIFICATE, OVERLAY = "reports.certificate.json", "catalogue.json"
STANDING = """
catalog: {{overlay: {folder}/{overlay}}}
evaluate: {{reports: {folder}/reports}}
budgets:
  - {{id: company, level: organisation, subject: acme, usd: {company}, per: month, hard: false}}
  - {{id: teams, level: team, usd: {team}, per: month, hard: false}}
alerts:
  every_s: 5
  path: {folder}/alerts.db
  receivers:
    ops: {{type: webhook, url: "{told}", secret: 0123456789abcdef0123456789abcdef, min_severity: critical}}
  rules: {{provider_errors: {{type: provider_errors, above: 0.02, min_calls: 10, keep_s: 600}}}}
"""


def standing(folder: Path, records: Sequence[Record], told: str) -> str:
    """Return what the configuration says besides providers, models and routes."""
    teams: dict[str, int] = {}
    for each in records:
        if each.team:
            teams[each.team] = teams.get(each.team, 0) + (each.outcome.cost_nusd or 0)
    spent, counted = _spent(records), sum(each.outcome.cost_nusd or 0 for each in records)
    fullest = max(teams.values(), default=0) / counted if counted else 1.0
    company, team = round(spent / FULL, 2), round(spent * fullest / TEAMS_FULL, 2)
    return STANDING.format(folder=folder, overlay=OVERLAY, company=company, team=team, told=told)


def _spent(records: Sequence[Record]) -> float:
    """Return USD; of little traffic as if it were more: one long answer is no month."""
    return max(LEAST, sum(each.outcome.cost_nusd or 0 for each in records) / 1e9)


def certify(folder: Path) -> None:
    """Write the certificate of the route `reports`, which ends in five days, and the catalogue's overlay."""
    now = datetime.now(UTC)
    grid = (0.0, 0.005, 0.01, 0.02, 0.04)
    made = Certificate(
        created=now - timedelta(days=25),
        expires=now + timedelta(days=5),
        reference=STRONG,
        candidates=(CHEAPER,),
        epsilon=0.03,
        delta=0.05,
        n=1_842,
        n_min=98,
        tau=0.02,
        thresholds=grid,
        shares=(0.0, 0.0, 1.0, 1.0, 1.0),
        grid_sha256=grid_sha256(grid),
        sample=Sample(
            sha256="5eed" * 16,
            begins=now - timedelta(days=55),
            ends=now - timedelta(days=26),
            sampling="uniform 10 %",
        ),
        scorer=Scorer(kind="judge", id="openai/gpt-5.4-mini", gold_overlap=120),
        observed=Observed(loss=0.009, share_routed=1.0, saving_share=0.31, wins=118, losses=139, log_K=7.4),
        naive=Naive(tau=0.04, share_routed=1.0, saving_share=0.31),
    )
    whole = sealed(made)
    (folder / CERTIFICATE).write_bytes(encode(whole))
    lines = sightings_beside(str(folder / "journal.db"))
    rng = random.Random(whole.n)  # noqa: S311  made-up losses
    for _ in range(240):
        loss = rng.choices((0.0, 0.5, -0.5), (0.86, 0.08, 0.06))[0]
        lines.append(whole.id, msgspec.json.encode({"loss": loss}))
    date = (now + RETIRES_IN).date().isoformat()
    (folder / OVERLAY).write_bytes(msgspec.json.encode({RETIRES: {"retires_on": date, "source": "seeded"}}))


async def alarm(folder: Path, records: Sequence[Record], outage: tuple[datetime, datetime]) -> State:
    """Ask the rule about providers each minute of an outage, and keep what became of it."""
    config = load_config(folder / "turnout.yaml")
    rule = config.alerts.in_force["provider_errors"]
    assert isinstance(rule, ProviderErrors)
    plan = Plan(rules={"provider_errors": rule}, receivers={"ops": "critical"})
    built = await build(config, {}, journal=None)
    begins, ends = outage[0] - timedelta(minutes=10), outage[1] + timedelta(minutes=40)
    near = [each for each in records if begins <= each.at <= ends]
    state, now = EMPTY, begins
    while now <= ends:
        journal = MemoryJournal()
        for each in near:
            if now - timedelta(seconds=rule.window_s) <= each.at <= now:
                journal.append(each)
        world = World(
            journal=journal,
            snapshot=lambda: built.engine.snapshot,
            health=dict,
            books=lambda: None,
            standings=built.monitor.standings,
            feedback=None,
            budgets=_nothing,
            expiring=_nothing,
        )
        readings = await provider_errors(rule, world, now)
        state = advance(state, [Checked(rule="provider_errors", readings=readings)], plan, now)
        now += timedelta(minutes=1)
    await built.close()
    sent = sum(each.what != "reminder" for each in state.outbox)
    counts = {"ops": Count(sent=sent, last_at=max((each.at for each in state.outbox), default=None))}
    state = replace(state, outbox=(), counts=counts)
    kept = Kept(open_kept(config))
    await kept.swap(0, state)
    await kept.close()
    return state


async def _nothing(*_: object) -> tuple[()]:
    return ()


async def spend(folder: Path, records: Sequence[Record]) -> None:
    """Book what the month cost with the ledger, under the budgets of the configuration."""
    config = load_config(folder / "turnout.yaml")
    ledger, limits = open_ledger(config.ledger), limits_of(config)
    sums: dict[tuple[str, str], int] = {}
    for each in records:
        for kind, name in (("organisation", each.organisation), ("team", each.team)):
            if name:
                sums[kind, name] = sums.get((kind, name), 0) + (each.outcome.cost_nusd or 0)
    total = sums.get(("organisation", records[0].organisation or ""), 0)
    more = _spent(records) * 1e9 / total if total else 1.0
    now = datetime.now(UTC).timestamp()
    for number, (subject, counted) in enumerate(sums.items()):
        used = round(counted * more)
        takes = [limits.take(budget, name, used, now) for budget, name in limits.budgets_of([subject])]
        await ledger.reserve(f"seed{number}", takes, lease_s=60)
        await ledger.settle(f"seed{number}", [used] * len(takes))
    await ledger.close()
