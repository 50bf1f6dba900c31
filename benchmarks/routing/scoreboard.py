"""Marks 2 and 3 of the routing issue: `python -m benchmarks.routing.scoreboard`.

Router: `pooled` on static vectors, fitted on the train split and judged there by cross-validation: without
an edge it abstains and is the best single model of the training items. Where costs are known, that is judged
for each price of money λ by the utility at it, as `turnout fit learned --lambda` does. Reported: the dev
split (a hash of the prompt, 80 : 20, for RouteLLM's tables, which have none). RouterBench also over five
random 70 : 30 splits. Pools of more than eight models without costs are the eight best of the train split.
In distribution throughout: what is learned from and what is reported on come from one source.
"""

import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from pyarrow import compute, parquet

from benchmarks.routing.matrices import RESULTS, SHARED
from turnout.evaluate import baselines
from turnout.evaluate.baselines import Fold
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.fit import encoder_of, fit_held_out
from turnout.evaluate.metrics import generator
from turnout.evaluate.scoreboard import Options, Split, evaluate, in_domain
from turnout.evaluate.scoreboard_router import ForecastContender, Standing
from turnout.evaluate.scoreboard_types import Router, Scoreboard
from turnout.evaluate.simulate_table import Bench, bench
from turnout.learn.abstain import abstain_reason
from turnout.learn.pooled_fit import PooledLogistic

ENCODER = encoder_of("static")
POOL = 8
MARGIN = -0.01
STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
RB_STRONG, RB_WEAK = "gpt-4-1106-preview", "mistralai/mistral-7b-chat"
JUDGE = {"judge": "weighted_alpaca_eval_gpt4_turbo", "baseline": "gpt4_1106_preview"}
TABLES = {
    "RouteLLM MMLU": "routellm/mmlu",
    "RouteLLM GSM8K": "routellm/gsm8k",
    "RouterBench": "routerbench/routerbench_0shot",
    "BFCL": "bfcl/bfcl_v1",
    "MMLU-Pro": "mmlu_pro/mmlu_pro",
    "ZeroEval": "zeroeval/math",
    "AlpacaEval": "alpaca_eval/preferences",
}


class Pooled(Struct):
    """The router as it would be fitted for each price of money: judged there whether it may speak."""

    card: Router = Router(name="pooled", kind="trainer", strategy="pooled", encoder=ENCODER.id, price=0.0)
    abstained: str | None = None
    """At λ = 0, on the last fit."""
    silent: float = 0.0
    """Share of the prices of the sweep at which it abstained."""
    train_s: float = 0.0

    def on(self, fold: Fold) -> Standing:
        began, labels = time.monotonic(), fold.labels
        model, outside = fit_held_out(PooledLogistic(), labels, 0)
        self.train_s = time.monotonic() - began
        outside = np.clip(outside, 0, 1)
        self.abstained = abstain_reason(outside, labels.scores)
        spoken = model.predict(fold.asked_test).mean
        means = np.tile(np.nanmean(labels.scores, axis=0), (fold.test.n, 1))
        quality = spoken if self.abstained is None else means
        standing = ForecastContender(self.card, lambda _: quality).on(fold)
        if fold.charges is None:
            return standing
        paid = baselines.charges_of(fold.train, fold.train)
        chosen, reasons = [], []
        for price in baselines.prices(fold.charges).tolist():
            reasons.append(abstain_reason(outside, labels.scores, charges=price * paid))
            known = spoken if reasons[-1] is None else means
            chosen.append(baselines.choose(known, fold.charges, price))
        self.silent = float(np.mean([reason is not None for reason in reasons]))
        return msgspec.structs.replace(standing, sweep=baselines.sweep("pooled", fold.test, chosen))


def table(path: str) -> Bench:
    file = SHARED / f"{path}.parquet"
    if path.startswith("alpaca_eval"):
        cells = parquet.read_table(file)
        kept = compute.and_(*(compute.equal(cells[name], value) for name, value in JUDGE.items()))
        with tempfile.TemporaryDirectory() as folder:
            filtered = Path(folder) / "t.parquet"
            parquet.write_table(cells.filter(kept), filtered)
            return _pool(bench(load_outcomes(filtered)))
    return _pool(bench(load_outcomes(file)))


def _pool(found: Bench) -> Bench:
    """Return the eight models that are best on the train split, where there are more without costs."""
    if len(found.models) <= POOL or found.priced:
        return found
    train = found.only(np.array([item.split == "train" for item in found.items]))
    best = np.argsort(-np.nanmean(train.scores, axis=0), kind="stable")[:POOL]
    return found.pool([found.models[m] for m in sorted(best.tolist())])


def options(name: str, n_resamples: int = 2000) -> Options:
    strong, weak = {"RouterBench": (RB_STRONG, RB_WEAK)}.get(name, (None, None))
    return Options(strong=strong, weak=weak, n_resamples=n_resamples)


def row(name: str, board: Scoreboard, told: Pooled, seconds: float) -> dict:
    single = next(d for d in board.differences if d.minus == "best single" and d.of == "quality")
    area = next((two for two in board.two_models if two.name == "pooled"), None)
    interval = msgspec.to_builtins(single.value)
    return {
        "table": name,
        "n_train": board.data.n_train,
        "n_test": board.data.n_evaluated,
        "models": len(board.data.models),
        "quality": board.lines[0].quality.mean,
        "best_single": board.best_single,
        "best_single_quality": next(x for x in board.lines if x.name == "best single").quality.mean,
        "oracle": next(x for x in board.lines if x.name == "oracle").quality.mean,
        "minus_best_single": interval,
        "not_worse_than_-0.01": bool(single.value.low >= MARGIN),
        "abstained": told.abstained,
        "apgr": None if area is None else msgspec.to_builtins(area.apgr),
        "apgr_others": {two.name: two.apgr.mean for two in board.two_models if two.name != "pooled"},
        "train_s": round(told.train_s, 1),
        "seconds": round(seconds, 1),
    }


def routerbench(board: Scoreboard) -> dict:
    """Return what mark 2 asks for, on the dev split."""
    curves = {curve.name: curve for curve in board.curves}
    areas = {d.minus: msgspec.to_builtins(d.value) for d in board.differences if d.of == "aiq_range"}
    mine, mix = curves["pooled"].cost_at_95, curves["single models"].cost_at_95
    return {
        "aiq_range": {name: curve.aiq_range for name, curve in curves.items()},
        "aiq_repo": {name: curve.aiq_repo for name, curve in curves.items()},
        "minus": areas,
        "cost_at_95_usd": {"pooled": mine, "random mix": mix, "share": mine / mix if mine and mix else None},
    }


def seeds(found: Bench, n: int = 5) -> list[dict]:
    """Return the areas on random 70 : 30 splits."""
    made = []
    for seed in range(n):
        held = generator("routerbench 70:30", seed).random(found.n) < 0.3
        split = Split(
            protocol="in_domain", parts=((found.only(~held), found.only(held)),), files={"t": found.sha256}
        )
        told = Pooled()
        board = evaluate(split, told, ENCODER, options("RouterBench", 200))
        mark = routerbench(board)
        share = mark["cost_at_95_usd"]["share"]
        made.append({"seed": seed, **mark["aiq_range"], "cost_share": share, "silent": told.silent})
        print("seed", seed, made[-1], file=sys.stderr)
    return made


def main(names: Sequence[str]) -> None:
    began = time.monotonic()
    found = {
        "command": "python -m benchmarks.routing.scoreboard",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "encoder": ENCODER.id,
        "tables": [],
    }
    for name in names or TABLES:
        at = time.monotonic()
        items, told = table(TABLES[name]), Pooled()
        split = in_domain(items, {name: items.sha256})
        board = evaluate(split, told, ENCODER, options(name))
        found["tables"].append(row(name, board, told, time.monotonic() - at))
        print(json.dumps(found["tables"][-1]), file=sys.stderr)
        if name == "RouterBench":
            found["routerbench"] = {**routerbench(board), "splits_70_30": seeds(items)}
    found["seconds"] = round(time.monotonic() - began)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "scoreboard.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "scoreboard.md").write_text(markdown(found))
    print(markdown(found))


def made(found: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"`{found['command']}`, {found['date']}, {found['machine']}, {found['seconds']} s; {versions}; "
        f"vectors {found['encoder']}."
    )


def below(difference: dict) -> str:
    """Say whether a difference is below the margin: shown, possible, or ruled out by its interval."""
    if difference["high"] < MARGIN:
        return "YES"
    return "not ruled out" if difference["low"] < MARGIN else "no"


def markdown(found: dict) -> str:
    lines = [
        "# Routers on recorded outcomes",
        "",
        made(found),
        "",
        "In distribution: fitted on the train split, reported on dev, at λ = 0. Intervals: 95 %, paired.",
        "",
        "| table | n | models | router | best single | difference | below −.01 | APGR | abstained |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in found["tables"]:
        d, a = r["minus_best_single"], r["apgr"]
        area = "" if a is None else f"{a['mean']:.3f} [{a['low']:.3f}, {a['high']:.3f}]"
        lines.append(
            f"| {r['table']} | {r['n_test']} | {r['models']} | {r['quality']:.4f} "
            f"| {r['best_single_quality']:.4f} | {d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}] "
            f"| {below(d)} | {area} | {r['abstained'] or ''} |"
        )
    if "routerbench" in found:
        lines += ["", *_routerbench(found["routerbench"])]
    return "\n".join(lines) + "\n"


def _routerbench(mark: dict) -> list[str]:
    names = [name for name in mark["splits_70_30"][0] if name not in {"seed", "cost_share", "silent"}]
    share = mark["cost_at_95_usd"]["share"]
    lines = [
        "## RouterBench",
        "",
        "| policy | AIQ-range, dev split | pooled minus it | AIQ-range, mean of five 70 : 30 splits (sd) |",
        "|---|---|---|---|",
    ]
    for name in names:
        key = "random mix (hull of single models)" if name == "single models" else name
        d = mark["minus"].get(key)
        told = "" if d is None else f"{d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
        values = [each[name] for each in mark["splits_70_30"]]
        over = f"{np.mean(values):.4f} ({np.std(values, ddof=1):.4f})"
        lines.append(f"| {key} | {mark['aiq_range'][name]:.4f} | {told} | {over} |")
    shares = [each["cost_share"] for each in mark["splits_70_30"] if each["cost_share"]]
    cost = (
        f"Cost at 95 % of {RB_STRONG}'s score over the random mixture's: {share or math.nan:.2f} on dev, "
        f"{np.mean(shares):.2f} on average over the five splits (the mark: at most 0.50)."
    )
    silent = ", ".join(f"{each['silent']:.0%}" for each in mark["splits_70_30"])
    told = f"Share of the prices of money at which it abstained, split by split: {silent}."
    rivals = {name: mark["aiq_range"][name] for name in ("kNN-20", "kNN-100", "k-means-64", "logistic")}
    best = max(rivals, key=rivals.__getitem__)
    d, mix = mark["minus"][best], mark["minus"]["random mix (hull of single models)"]
    verdict = "met" if d["mean"] >= 0 else "not met" if d["high"] < 0 else "not met, no difference shown"
    means = {name: np.mean([each[name] for each in mark["splits_70_30"]]) for name in ("pooled", *rivals)}
    first = max(rivals, key=means.__getitem__)
    over = "met" if means["pooled"] >= means[first] else "not met"
    marks = (
        f"Mark 2, at least the best baseline: {over} on the mean of the five splits (best: {first}); on dev "
        f"(best: {best}) {verdict}. Above the random mixture with an interval without 0: "
        f"{'met' if mix['low'] > 0 else 'not met'}."
    )
    lines += ["", cost, "", told, "", marks]
    return lines


if __name__ == "__main__":
    main(sys.argv[1:])
