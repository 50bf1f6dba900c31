"""Mark 7 of the routing issue: `python -m benchmarks.routing.cascade`.

Real recorded answers of two models. Three policies, each swept and fitted on the train split alone:

- *route only*: `pooled` on static vectors picks one of the two before anything is asked;
- *fixed cascade*: the cheap one is always asked first, a `combine` acceptor looks at its answer, and its
  threshold is the same for every prompt;
- *value of information*: per prompt the best of cheap, dear and cascade; the cascade's `worth` acceptor
  weighs what the dear model is expected to add, given prompt and looks of the answer, against its price.

The plans are played by the simulator with the real acceptors. The tables have no token counts: costs are
characters / 4 at the list prices of `model_prices_2024.csv`. Reported: the dev split.
"""

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime

import msgspec
import numpy as np
from pyarrow import parquet

from benchmarks.routing.matrices import RESULTS, SHARED
from turnout.evaluate import baselines
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.fit import encoder_of, fit_held_out
from turnout.evaluate.metrics import aiq_range, hull
from turnout.evaluate.queries import queries
from turnout.evaluate.scoreboard import in_domain
from turnout.evaluate.scoreboard_measure import Sweep, aiq_intervals
from turnout.evaluate.simulate import response_of, simulate
from turnout.evaluate.simulate_table import bench, read_rates
from turnout.learn.base import Labels
from turnout.learn.pooled_fit import PooledLogistic
from turnout.plan import Cascade, Try
from turnout.strategies.accept import Combine, Finish, Length, Regex, Worth

CASES = {
    "MMLU-Pro, gemini-1.5 flash and pro": (
        "cascade/mmlu_pro_responses", "gemini-1.5-flash-002", "gemini-1.5-pro-002", r"answer is \(?[A-J]",
    ),
    "GSM8K and MATH 5, gpt-4o-mini and gpt-4o": (
        "cascade/math_responses", "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", r'"answer"\s*:\s*"[^"]+"',
    ),
    "GSM8K and MATH 5, claude-3-haiku and claude-3.5-sonnet": (
        "cascade/math_responses", "claude-3-haiku-20240307", "claude-3-5-sonnet-20241022",
        r'"answer"\s*:\s*"[^"]+"',
    ),
}  # fmt: skip
HEDGES = r"(?i)\b(however|but wait|assum|approximately|not sure|closest|seems|let's try|mistake)"
ENCODER = encoder_of("static")
CHARS_PER_TOKEN = 4
N_PRICES = 25
N_RESAMPLES = 2000


def loaded(path: str, models: tuple[str, str]):
    """Return the two models' table with costs reckoned from characters."""
    table = load_outcomes(SHARED / f"{path}.parquet")
    prompts = parquet.read_table(SHARED / f"{path}.parquet", columns=["prompt"]).column(0).to_pylist()
    rows = [
        with_tokens(row, len(prompts[row.row - 1]) // CHARS_PER_TOKEN)
        for row in table.rows
        if row.model in models
    ]

    table = msgspec.structs.replace(table, rows=tuple(rows))
    return bench(table, models=models, rates=read_rates(SHARED / "model_prices_2024.csv"))


def with_tokens(row, n_in: int):

    n_out = len(row.response or "") // CHARS_PER_TOKEN
    return msgspec.structs.replace(row, input_tokens=n_in, output_tokens=n_out)


def looks(responses: list[str], pattern: str) -> tuple:
    """Return acceptors that look at an answer; lengths are quartiles of the train split."""
    lengths = np.array([len(text) for text in responses])
    limits = [int(q) for q in np.quantile(lengths, (0.25, 0.5, 0.75, 0.9))]
    return (
        Finish(), Regex(pattern), Regex(HEDGES, absent=True), *(Length(max_chars=limit) for limit in limits),
    )  # fmt: skip


def seen(of: tuple, part, model: str) -> np.ndarray:
    """Return what each acceptor says of a model's answers, 0 or 1."""
    found = np.empty((part.n, len(of)))
    for i, item in enumerate(part.items):
        answer = response_of(part.recorded(i).answers[model][0])
        found[i] = [each.verdict(item.request, answer, None).confidence for each in of]
    return found


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Return the weights of a ridge logistic regression, the first column being the intercept."""
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        h = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        w -= np.linalg.solve(h, x.T @ (p - y) + ridge * w)
    return w


def logit(q: np.ndarray) -> np.ndarray:
    q = np.clip(q, 0.01, 0.99)
    return np.log(q / (1 - q))


def case(name: str) -> dict:
    path, cheap, dear, pattern = CASES[name]
    table = loaded(path, (cheap, dear))
    train, test = in_domain(table, {}).parts[0]
    train, test = train.only(train.complete), test.only(test.complete)
    asked = [queries([item.prompt for item in part.items], ENCODER) for part in (train, test)]
    labels = Labels(models=train.models, queries=asked[0], scores=train.scores)
    model, outside = fit_held_out(PooledLogistic(), labels, 0)
    outside, inside = np.clip(outside, 0.01, 0.99), np.clip(model.predict(asked[1]).mean, 0.01, 0.99)
    charges = baselines.charges_of(train, test)
    assert charges is not None
    of = looks([train.recorded(i).answers[cheap][0].response or "" for i in range(train.n)], pattern)
    marks = seen(of, train, cheap)
    ones = np.ones((train.n, 1))
    plain = logistic(np.hstack((ones, marks)), train.scores[:, 0])
    rich = logistic(np.hstack((ones, marks, logit(outside[:, :1]))), train.scores[:, 0])
    grid = np.concatenate(
        ([0.0], np.logspace(-2.5, 2.5, N_PRICES) / float((charges[:, 1] - charges[:, 0]).mean()))
    )
    route = baselines.sweep("route only", test, [baselines.choose(inside, charges, p) for p in grid])
    fixed = played(
        "fixed cascade", test, [fixed_plans(test, of, plain, t) for t in np.linspace(0, 1, N_PRICES)]
    )
    patterns, counts = np.unique(marks, axis=0, return_counts=True)
    shares = counts / counts.sum()
    told = (of, rich, patterns, shares)
    voi = played("value of information", test, [voi_plans(test, inside, charges, told, p) for p in grid])
    return {**compared(test, voi, route, fixed), "case": name, "n_train": train.n, "n_test": test.n}


def fixed_plans(test, of: tuple, weights: np.ndarray, threshold: float) -> list:
    accept = Combine(of=of, weights=tuple(weights[1:]), intercept=float(weights[0]), threshold=threshold)
    plan = Cascade((Try(test.models[0]), Try(test.models[1])), accept)
    return [plan] * test.n


def voi_plans(test, q: np.ndarray, charges: np.ndarray, told: tuple, price: float) -> list:
    """Return the plan with the highest expected utility for each prompt."""
    of, weights, patterns, shares = told
    cheap, dear = (Try(name) for name in test.models)
    base = weights[0] + weights[-1] * logit(q[:, 0])
    sure = 1 / (1 + np.exp(-(base[:, None] + patterns @ weights[1:-1])))
    next_ = q[:, 1] - price * charges[:, 1]
    cascade = (shares * np.maximum(sure, next_[:, None])).sum(axis=1) - price * charges[:, 0]
    alone = q - price * charges
    made = []
    for i in range(test.n):
        best = int(np.argmax([alone[i, 0], alone[i, 1], cascade[i]]))
        if best < 2:
            made.append((cheap, dear)[best])
            continue
        inner = Combine(of=of, weights=tuple(weights[1:-1]), intercept=float(base[i]))
        accept = Worth(of=inner, q_next=float(q[i, 1]), cost_next_usd=float(charges[i, 1]), lambda_=price)
        made.append(Cascade((cheap, dear), accept))
    return made


def played(name: str, test, settings: list[list]) -> Sweep:
    rows = [test.recorded(i) for i in range(test.n)]
    requests = [item.request for item in test.items]
    scores, costs = [], []
    for plans in settings:
        found = [simulate(plan, row, ask) for plan, row, ask in zip(plans, rows, requests, strict=True)]
        scores.append([each.score for each in found])
        costs.append([(each.cost_nusd or 0) * 1e-9 for each in found])
    return Sweep(name, np.array(scores), np.array(costs))


def compared(test, voi: Sweep, route: Sweep, fixed: Sweep) -> dict:
    alone = baselines.singles(test)
    low, high = (float(x) for x in alone.costs.mean(axis=1))
    areas = {
        each.name: aiq_range(hull(each.costs.mean(axis=1), each.scores.mean(axis=1)), low, high)
        for each in (voi, route, fixed, alone)
    }
    found = aiq_intervals(
        (voi, route, fixed, alone), test.groups, name="cascade", singles=alone, n_resamples=N_RESAMPLES
    )
    minus = {
        name: {"mean": v.mean, "low": v.low, "high": v.high}
        for name, v in zip(("route only", "fixed cascade", "random mix"), found, strict=True)
    }
    rival = max(("route only", "fixed cascade"), key=areas.__getitem__)
    return {
        "scores": test.scores.mean(axis=0).tolist(),
        "usd_per_1k": [1000 * low, 1000 * high],
        "oracle": float(test.scores.max(axis=1).mean()),
        "aiq_range": areas,
        "voi_minus": minus,
        "better_rival": rival,
        "beats_it": minus[rival]["low"] > 0,
    }


def made(found: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"`{found['command']}`, {found['date']}, {found['machine']}, {found['seconds']} s; {versions}; "
        f"vectors {found['encoder']}."
    )


def markdown(found: dict) -> str:
    lines = [
        "# Cascades on recorded answers",
        "",
        made(found),
        "",
        "AIQ-range on the dev split; differences paired, 95 %. Costs: characters / 4 at 2024 list prices.",
        "",
        "| case | n | random mix | route only | fixed cascade | by value | minus the better rival |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in found["cases"]:
        a, d = c["aiq_range"], c["voi_minus"][c["better_rival"]]
        verdict = "better" if d["low"] > 0 else "worse" if d["high"] < 0 else "no difference"
        lines.append(
            f"| {c['case']} | {c['n_test']} | {a['single models']:.4f} | {a['route only']:.4f} "
            f"| {a['fixed cascade']:.4f} | {a['value of information']:.4f} "
            f"| {d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}] ({c['better_rival']}): {verdict} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    began = time.monotonic()
    found = {
        "command": "python -m benchmarks.routing.cascade",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "encoder": ENCODER.id,
        "cases": [],
    }
    for name in CASES:
        found["cases"].append(case(name))
        print(json.dumps(found["cases"][-1]), file=sys.stderr)
    found["seconds"] = round(time.monotonic() - began)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "cascade.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "cascade.md").write_text(markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
