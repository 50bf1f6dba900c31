"""The default router in distribution: `python -m benchmarks.routing.pooled`.

Protocol (in-distribution, never to be compared with published transfer results): prompts of one RouteLLM
table are shuffled by seed, equal prompts kept together; the router is fitted on the first n and reported on
all others. Every setting is chosen inside the training rows. Contaminated rows are left out. Rows that never
learn: prompt length, chance (exactly .5), and the best possible order.
`hash4096+static` is the encoder `blend`.
"""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.machine import facts
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.fit import encoder_of
from turnout.evaluate.metrics import apgr, generator, pgr_curve
from turnout.evaluate.queries import Grid, grid, queries
from turnout.learn.base import Labels, Queries
from turnout.learn.features import HashEmbedder
from turnout.learn.measures import MEASURES
from turnout.learn.pooled_fit import PooledLogistic

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "routing"
RUNS = (
    ("mmlu", 1500, {"static": 0.63, "hash": None, "hash4096": 0.63, "hash4096+static": 0.65}),
    ("gsm8k", 0.8, {"static": 0.62, "hash4096+static": 0.62}),
    ("mmlu", 0.8, {"hash4096+static": 0.71, "static": None}),
    ("mmlu", 1500, {"minilm": 0.65, "static+minilm": 0.65}),
    ("mmlu", 0.8, {"static+minilm": 0.71, "hash4096+static+minilm": 0.71}),
    ("gsm8k", 0.8, {"minilm": 0.62, "static+minilm": 0.62}),
)
"""Table, labels (a count or a share), and the pass mark of each encoder; None: no mark."""


def tables(data: Path, name: str) -> Grid:
    table = load_outcomes(data / "routellm" / f"{name}.parquet")
    rows = tuple(row for row in table.rows if not row.contaminated)
    return grid(type(table)(rows=rows, sha256=table.sha256, warnings=()), models=(STRONG, WEAK))


def encoded(found: Grid, cache: dict[str, Queries], name: str) -> Queries:
    """Vectors of one encoder, or of several side by side, each of equal weight."""
    for part in name.split("+"):
        if part not in cache:
            encoder = HashEmbedder(dimensions=4096) if part == "hash4096" else encoder_of(part)
            cache[part] = queries([item.prompt for item in found.items], encoder)
    parts = [cache[part] for part in name.split("+")]
    side = np.hstack([part.embeddings for part in parts]) / np.sqrt(len(parts))
    return Queries(side, parts[0].measures)


def order(found: Grid, seed: int) -> np.ndarray:
    """Rows shuffled by prompt: equal prompts are neighbours and never on both sides of a cut by much."""
    ids, home = np.unique([item.prompt_id for item in found.items], return_inverse=True)
    rank = generator("in-distribution", seed).permutation(ids.size)
    return np.argsort(rank[home], kind="stable")


def cut(found: Grid, rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    train = rows[:n]
    seen = {found.items[i].prompt_id for i in train}
    return train, np.array([i for i in rows[n:] if found.items[i].prompt_id not in seen])


def area(wish: np.ndarray, scores: np.ndarray) -> float:
    return apgr(pgr_curve(wish, scores[:, 0], scores[:, 1]))


def run(found: Grid, asked: Queries, n: int, seeds: int) -> dict:
    areas, times, cpu, lengths, best = [], [], [], [], []
    for seed in range(seeds):
        train, test = cut(found, order(found, seed), n)
        labels = Labels(
            models=found.models,
            queries=Queries(asked.embeddings[train], asked.measures[train]),
            scores=found.scores[train],
        )
        began, cpu_began = time.perf_counter(), time.process_time()
        model = PooledLogistic().fit(labels, seed)
        times.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
        mean = model.predict(Queries(asked.embeddings[test], asked.measures[test])).mean
        areas.append(area(mean[:, 0] - mean[:, 1], found.scores[test]))
        lengths.append(area(asked.measures[test, MEASURES.index("log_chars")], found.scores[test]))
        best.append(area(found.scores[test, 0] - found.scores[test, 1], found.scores[test]))
    return {
        "apgr": float(np.mean(areas)),
        "apgr_sd": float(np.std(areas, ddof=1)),
        "apgr_by_seed": [round(each, 4) for each in areas],
        "train_s_median": float(np.median(times)),
        "train_s": [round(each, 2) for each in times],
        "train_cpu_s_median": float(np.median(cpu)),
        "length": float(np.mean(lengths)),
        "random": 0.5,
        "best_possible": float(np.mean(best)),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--only", default="", help="substring of table/labels/encoder")
    options.add_argument("--out", type=Path, default=RESULTS / "pooled.json")
    given = options.parse_args()
    made, caches = [], {}
    for name, labels, marks in RUNS:
        found, cache = caches.setdefault(name, (tables(given.data, name), {}))
        n = labels if isinstance(labels, int) else int(labels * len(found.items))
        for encoder, mark in marks.items():
            if given.only not in f"{name}/{labels}/{encoder}":
                continue
            row = {"table": name, "labels": n, "items": len(found.items), "encoder": encoder, "mark": mark}
            row |= run(found, encoded(found, cache, encoder), n, given.seeds)
            made.append(row)
            verdict = "" if mark is None else "pass" if row["apgr"] >= mark else "MISSED"
            seconds = f"{row['train_s_median']:.2f} s, CPU {row['train_cpu_s_median']:.2f} s"
            print(
                f"{name:6} {n:6} {encoder:14} APGR {row['apgr']:.4f} sd {row['apgr_sd']:.4f} length "
                f"{row['length']:.3f} train {seconds} {verdict}",
                flush=True,
            )
            write(made, given)


def write(made: list[dict], given: argparse.Namespace) -> None:
    report = {
        "command": "python -m benchmarks.routing.pooled",
        "protocol": "in-distribution",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": facts({"numpy": np.__version__}),
        "seeds": given.seeds,
        "rows": made,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1, sort_keys=True, default=str) + "\n")
    given.out.with_suffix(".md").write_text(markdown(report))


def markdown(report: dict) -> str:
    where = ", ".join(report["machine"].values())
    lines = [
        "# The default router, in distribution",
        "",
        f"`{report['command']}` on {report['date']}, {where}. {report['seeds']} seeds.",
        "Fitted on rows of the same table that it is reported on: a ceiling, never to be compared with",
        "transfer results. Times are medians; CPU seconds tell more on a machine that others use too.",
        "",
        "| table | labels | encoder | APGR | sd | length | random | best possible | train s (CPU s) | mark |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        passed = "" if row["mark"] is None else " pass" if row["apgr"] >= row["mark"] else " missed"
        cells = (
            row["table"],
            row["labels"],
            row["encoder"],
            f"{row['apgr']:.4f}",
            f"{row['apgr_sd']:.4f}",
            f"{row['length']:.3f}",
            ".500",
            f"{row['best_possible']:.3f}",
            f"{row['train_s_median']:.2f} ({row['train_cpu_s_median']:.2f})",
            f"{row['mark'] or '–'}{passed}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
