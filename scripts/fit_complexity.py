"""Fit the weights of the `complexity` signal and write its card.

Run: `python scripts/fit_complexity.py ../shared/data src/turnout/catalog/complexity.json`.

1. Target of a prompt: the share of its table's models that failed on it. Tables differ in models, tasks
   and base rates; each gets the same total weight, so that the largest does not decide alone. The score
   therefore ranks prompts and is no probability: on a table of its own a constant may have less log loss.
2. Only rows with split `train` are fitted; ridge strength is chosen by five folds inside them. Metrics are on
   `dev`, which neither step saw. RouteLLM and RouterArena tables are never read.
3. Prompts that hold a question of GSM8K in `zeroeval` are part of that published test set: figures for GSM8K
   must not be quoted with these weights.
"""

import hashlib
import sys
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow.parquet as pq

from turnout.catalog.complexity import FEATURES, Card, Metric, Weights, vector
from turnout.signals.base import words_of
from turnout.signals.canonical.sense import normalise
from turnout.signals.lexical import features

TABLES = ("mmlu_pro/mmlu_pro.parquet", "zeroeval/math.parquet", "llmrouter/llmrouter_default.parquet")
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
N_FOLDS = 5
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Rows(NamedTuple):
    """Prompts of one table and split."""

    x: Floats
    y: Floats


def main() -> None:
    """Fit, measure, write."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    tables = {name.partition("/")[0]: name for name in TABLES}
    train = {name: read(data / path, "train") for name, path in tables.items()}
    dev = {name: read(data / path, "dev") for name, path in tables.items()}
    x = np.vstack([rows.x for rows in train.values()])
    y = np.concatenate([rows.y for rows in train.values()])
    w = np.concatenate([np.full(len(rows.y), 1 / len(rows.y)) for rows in train.values()])
    w *= len(y) / w.sum()
    mean, sd = np.average(x, axis=0, weights=w), x.std(axis=0) + 1e-9
    z = (x - mean) / sd
    ridge = min(RIDGES, key=lambda each: cross_validated(z, y, w, each))
    beta = logistic(z, y, w, ridge)
    metrics = [
        measure(name, rows, beta, (mean, sd), float(train[name].y.mean())) for name, rows in dev.items()
    ]
    slopes = beta[1:] / sd
    weights = Weights(
        bias=round(float(beta[0] - slopes @ mean), 6),
        weights={name: round(float(value), 6) for name, value in zip(FEATURES, slopes, strict=True)},
        means={name: round(float(value), 4) for name, value in zip(FEATURES, mean, strict=True)},
        card=Card(
            fitted_on=date.today().isoformat(),  # noqa: DTZ011  a date, not an instant
            label="share of the table's models that failed on the prompt",
            data={name: digest(data / path) for name, path in tables.items()},
            n_train={name: len(rows.y) for name, rows in train.items()},
            ridge=ridge,
            metrics=tuple(metrics),
            quantiles=quantiles(train, beta, mean, sd),
        ),
    )
    out.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=2) + b"\n")
    print(msgspec.json.format(msgspec.json.encode(weights.card), indent=2).decode())


def read(path: Path, split: str) -> Rows:
    """Return features and the share of models that failed, per distinct prompt."""
    table = pq.read_table(path, columns=["prompt", "score", "split"], filters=[("split", "=", split)])
    grouped = table.group_by("prompt").aggregate([("score", "mean")]).to_pylist()
    grouped.sort(key=lambda row: row["prompt"])
    texts = [normalise(row["prompt"]) for row in grouped]
    x = np.array([vector(features(text, words_of(text))) for text in texts])
    return Rows(x, np.array([1 - min(max(row["score_mean"], 0.0), 1.0) for row in grouped]))


def logistic(z: Floats, y: Floats, w: Floats, ridge: float) -> Floats:
    """Return intercept and slopes of a weighted ridge logistic fit to shares, by Newton steps."""
    x = np.hstack([np.ones((len(z), 1)), z])
    penalty = np.diag([0.0, *([ridge] * z.shape[1])])
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = sigmoid(x @ beta)
        gradient = x.T @ (w * (p - y)) + penalty @ beta
        if np.abs(gradient).max() < 1e-6 * len(y):
            break
        beta -= np.linalg.solve((x * (w * p * (1 - p))[:, None]).T @ x + penalty, gradient)
    return beta


def cross_validated(z: Floats, y: Floats, w: Floats, ridge: float) -> float:
    """Return the mean held-out log loss of a ridge strength."""
    fold = np.arange(len(y)) % N_FOLDS
    losses = []
    for k in range(N_FOLDS):
        beta = logistic(z[fold != k], y[fold != k], w[fold != k], ridge)
        losses.append(log_loss(predict(z[fold == k], beta), y[fold == k], w[fold == k]))
    return float(np.mean(losses))


def predict(z: Floats, beta: Floats) -> Floats:
    """Return predicted shares."""
    return sigmoid(beta[0] + z @ beta[1:])


def sigmoid(u: Floats) -> Floats:
    """Return 1 / (1 + exp(-u))."""
    return 1 / (1 + np.exp(-np.clip(u, -30, 30)))


def log_loss(p: Floats, y: Floats, w: Floats) -> float:
    """Return the weighted log loss of shares."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.average(y * np.log(p) + (1 - y) * np.log(1 - p), weights=w))


def measure(name: str, rows: Rows, beta: Floats, scale: tuple[Floats, Floats], base: float) -> Metric:
    """Return how well dev prompts of a table are told apart, beside its constant and prompt length."""
    p = predict((rows.x - scale[0]) / scale[1], beta)
    ones = np.ones(len(rows.y))
    return Metric(
        table=name,
        n=len(rows.y),
        rank_correlation=round(spearman(p, rows.y), 4),
        rank_correlation_length=round(spearman(rows.x[:, FEATURES.index("chars")], rows.y), 4),
        log_loss=round(log_loss(p, rows.y, ones), 4),
        log_loss_constant=round(log_loss(base * ones, rows.y, ones), 4),
    )


def spearman(a: Floats, b: Floats) -> float:
    """Return the rank correlation, ties by their mean rank."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: Floats) -> Floats:
    """Return mean ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means = ends - (counts - 1) / 2
    return np.asarray(means[inverse], dtype=np.float64)


def quantiles(train: dict[str, Rows], beta: Floats, mean: Floats, sd: Floats) -> tuple[float, ...]:
    """Return the deciles of the score over training prompts, each table with the same weight."""
    scores = np.concatenate(
        [np.quantile(predict((r.x - mean) / sd, beta), np.linspace(0, 1, 201)) for r in train.values()]
    )
    return tuple(round(float(q), 4) for q in np.quantile(scores, np.linspace(0.1, 0.9, 9)))


def digest(path: Path) -> str:
    """Return the digest of a file."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
