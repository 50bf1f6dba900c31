"""Is the promise kept, and what does it cost? `python -m benchmarks.routing.certificate [--splits 200]`.

RouteLLM-MMLU, reference GPT-4-1106, candidate Mixtral-8x7B. Each split: 1,500 labelled items train a ridge on
512 hashed words and word pairs that predicts the gap; n others are the calibration sample; thresholds are
quantiles of the predicted gap on 1,500 unlabelled items of what is left, and the true loss is measured on
all of what is left. A promise is broken where that loss exceeds epsilon. Beside the certified threshold
stands the one tuned on the observed loss of the same sample.

The mark: broken in at most delta + 2 points of splits, for every epsilon and n; routed at least 90 % of what
the design's preliminary measurement routed (ROUTING.md 5.1, column `averaged`).
"""

import argparse
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np

from benchmarks.routing.matrices import RESULTS, SHARED, write
from turnout.evaluate.dataset import load_outcomes
from turnout.evaluate.metrics import generator
from turnout.learn import calibrate
from turnout.learn.calibrate import Promise
from turnout.learn.features import HashEmbedder

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
EPSILONS, SIZES, DELTA = (0.01, 0.02, 0.04), (300, 1_000, 3_000), 0.1
N_TRAIN, N_GRID = 1_500, 1_500
RIDGE = 30.0
"""Times the number of features; fixed before the first run and not tuned."""
ALLOWED = DELTA + 0.02
PUBLISHED = {
    (0.01, 300): 0.011, (0.01, 1000): 0.025, (0.01, 3000): 0.066,
    (0.02, 300): 0.036, (0.02, 1000): 0.096, (0.02, 3000): 0.157,
    (0.04, 300): 0.116, (0.04, 1000): 0.265, (0.04, 3000): 0.337,
}  # fmt: skip
"""Share routed by `averaged` in the preliminary measurement."""
PROTOCOL = (
    "{splits} random splits, delta {delta}. Each cell: share routed / share of splits with a true loss above "
    "epsilon. In distribution: the ridge is trained on 1,500 items of the same table."
)
WAYS = ("naive", "hashed", "averaged")


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return features of every item and the reference's score minus the candidate's."""
    items: dict[tuple[str, str], dict[str, float]] = {}
    for row in load_outcomes(SHARED / "routellm" / "mmlu.parquet").rows:
        items.setdefault((row.prompt, row.item_id), {})[row.model] = row.score
    vectors = HashEmbedder(dimensions=512).embed_all([prompt for prompt, _ in items])
    norm = np.sqrt((vectors**2).sum(axis=1).mean())
    features = np.hstack((np.ones((len(items), 1)), vectors / norm * np.sqrt(vectors.shape[1])))
    return features, np.array([by_model[STRONG] - by_model[WEAK] for by_model in items.values()])


def ridge(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    penalty = np.full(features.shape[1], RIDGE * features.shape[1])
    penalty[0] = 0.0
    return np.linalg.solve(features.T @ features + np.diag(penalty), features.T @ values)


def chosen(way: str, at: np.ndarray, epsilon: float, seed: str) -> int:
    if way == "naive":
        return calibrate.tune_naively(at, epsilon)
    promise = Promise(epsilon=epsilon, delta=DELTA, order=way)
    return calibrate.certify_by_betting(at, promise, generator(seed, 0)).index


def split(seed: int) -> list[tuple[str, float, int, float, float]]:
    """Return (way, epsilon, n, share routed, true loss) of one split."""
    features, losses = DATA
    order = generator("certificate", seed).permutation(losses.size)
    train, rest = order[:N_TRAIN], order[N_TRAIN:]
    gaps = features @ ridge(features[train], losses[train])
    found = []
    for n in SIZES:
        sample, left = rest[:n], rest[n:]
        grid = calibrate.thresholds(gaps[left[:N_GRID]])
        at = calibrate.losses_at(gaps[sample], losses[sample], grid)
        for epsilon in EPSILONS:
            for way in WAYS:
                index = chosen(way, at, epsilon, f"{seed}|{n}|{epsilon}")
                routed = gaps[left] <= (grid[index] if index >= 0 else -np.inf)
                found.append((way, epsilon, n, float(routed.mean()), float((losses[left] * routed).mean())))
    return found


def cell(rows: list[tuple[str, float, int, float, float]], way: str, epsilon: float, n: int) -> dict:
    shares, true = np.array([row[3:] for row in rows if row[:3] == (way, epsilon, n)]).T
    broken = int((true > epsilon).sum())
    return {
        "share_routed": round(float(shares.mean()), 4),
        "broken": round(broken / true.size, 4),
        "broken_upper_95": round(calibrate.clopper_pearson_upper(broken, true.size, 0.05), 4),
        "mean_loss": round(float(true.mean()), 5),
    }


def cells(rows: list[tuple[str, float, int, float, float]]) -> list[dict]:
    found = []
    for epsilon in EPSILONS:
        for n in SIZES:
            ways = {way: cell(rows, way, epsilon, n) for way in WAYS}
            least = round(0.9 * PUBLISHED[epsilon, n], 4)
            mark = {
                "kept": all(ways[way]["broken"] <= ALLOWED for way in ("hashed", "averaged")),
                "least_share": least,
                "routes_enough": ways["averaged"]["share_routed"] >= least,
            }
            found.append({"epsilon": epsilon, "n": n, **ways, **mark})
    return found


def markdown(found: dict) -> str:
    lines = [
        "# Certificates on RouteLLM-MMLU",
        "",
        f"`{found['command']}`, {found['date']}, {found['machine']}, {found['seconds']} s. "
        + ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        + ".",
        "",
        PROTOCOL.format(splits=found["splits"], delta=DELTA),
        "",
        "| epsilon | n | naive | hashed | averaged (95 % upper bound) | kept | 90 % of the design's share |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["cells"]:
        told = [f"{100 * row[way]['share_routed']:.1f} % / {row[way]['broken']:.3f}" for way in WAYS]
        told[2] += f" ({row['averaged']['broken_upper_95']:.3f})"
        enough = f"{'yes' if row['routes_enough'] else 'NO'} ({100 * row['least_share']:.1f} %)"
        kept = "yes" if row["kept"] else "NO"
        lines.append(f"| {row['epsilon']} | {row['n']} | {' | '.join(told)} | {kept} | {enough} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=int, default=200)
    asked = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(max_workers=2, initializer=_load) as pool:
        rows = [row for each in pool.map(split, range(asked.splits), chunksize=5) for row in each]
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "msgspec": msgspec.__version__,
        },
        "seconds": round(time.monotonic() - began),
        "splits": asked.splits,
        "delta": DELTA,
        "ridge": RIDGE,
        "cells": cells(rows),
    }
    found["passed"] = all(row["kept"] and row["routes_enough"] for row in found["cells"])
    write("certificate", found)
    text = markdown({"command": "python -m benchmarks.routing.certificate", **found})
    (RESULTS / "certificate.md").write_text(text)
    print(text)


def _load() -> None:
    global DATA  # noqa: PLW0603  each worker reads the table once
    DATA = table()


if __name__ == "__main__":
    main()
