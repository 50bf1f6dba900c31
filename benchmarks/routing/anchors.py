"""A new model from fifty evaluations: `python -m benchmarks.routing.anchors`.

Leave one model out: the others are fitted on train prompts, the new one joins from 50 anchors, from 50 random
prompts (six draws, same prior, same way to join), from all of them, or not at all. Measured on the dev split:
AIQ over the pool's range of cost (RouterBench), or the mean score of the preferred model where there are no
costs. Gain: above the pool without the model. The mark: anchors reach 90 % of the gain of full training, and
beat random prompts (95 % interval of the paired difference, bootstrap over prompts). The criterion was chosen
within RouterBench's train split, after a run on dev with another one had failed there (docs/adr/038).
"""

import math

import numpy as np
from msgspec import Struct

from benchmarks.routing.matrices import Matrix, matrix, rows_of, vectors, write
from turnout.evaluate.metrics import aiq_range, generator, hull
from turnout.learn.anchors import Normal, choose_anchors, join, prior_of
from turnout.learn.base import Floats, Labels, Queries
from turnout.learn.pooled import Pooled
from turnout.learn.pooled_fit import PooledLogistic

N, DRAWS, TRAIN, RESAMPLES = 50, 6, 1200, 300
TRAINER = PooledLogistic(embedding=30.0, regions=30.0, measures=30.0, residual="off", calibration="off")
PRICES = (0.0, *np.geomspace(1e-2, 1e6, 60))
"""λ swept, in quality per USD."""


class Table(Struct, frozen=True, eq=False):
    name: str
    models: tuple[str, ...]
    train: Queries
    dev: Queries
    train_scores: Floats
    dev_scores: Floats
    costs: Floats | None
    """Mean USD of a call, one a model."""


def table(name: str, path: str, n_models: int | None = None) -> Table:
    has_costs = name == "routerbench"
    found: Matrix = matrix(path, ["score", *(["cost_usd"] if has_costs else [])])
    scores, rng = found.values["score"], generator(name, 0)
    complete = ~np.isnan(scores).any(axis=1)
    train = np.array([i for i in rng.permutation(found.part("train")) if complete[i]])[:TRAIN]
    dev = np.array([i for i in found.part("dev") if complete[i]])[:TRAIN]
    columns = np.arange(len(found.models))
    if n_models is not None:
        columns = np.sort(rng.choice(columns, n_models, replace=False))
    queries = vectors([found.prompts[i] for i in (*train, *dev)])
    split = np.arange(train.size), np.arange(train.size, train.size + dev.size)
    return Table(
        name=name,
        models=tuple(found.models[m] for m in columns),
        train=rows_of(queries, split[0]),
        dev=rows_of(queries, split[1]),
        train_scores=scores[np.ix_(train, columns)],
        dev_scores=scores[np.ix_(dev, columns)],
        costs=np.nanmean(found.values["cost_usd"][train], axis=0)[columns] if has_costs else None,
    )


def features(model: Pooled, queries: Queries) -> Floats:
    reduced = model.scaling.reduced(queries.embeddings)
    return model.scaling.features(queries, reduced, model.scaling.cells.cosines(reduced))


def mean_of(belief: Normal, phi: Floats) -> Floats:
    variance = np.einsum("nd,de,ne->n", phi, belief.covariance, phi, optimize=True)
    return 1 / (1 + np.exp(-(phi @ belief.mean) / np.sqrt(1 + math.pi / 8 * variance)))


def worth(found: Table, predicted: Floats, pool: np.ndarray, rows: np.ndarray) -> float:
    """Return AIQ over the whole table's range of cost, or the mean score of the preferred model."""
    scores = found.dev_scores[np.ix_(rows, pool)]
    if found.costs is None:
        return float(scores[np.arange(rows.size), predicted[rows].argmax(axis=1)].mean())
    costs = found.costs[pool]
    points = []
    for price in PRICES:
        at = (predicted[rows] - price * costs).argmax(axis=1)
        points.append((float(costs[at].mean()), float(scores[np.arange(rows.size), at].mean())))
    curve = hull([cost for cost, _ in points], [quality for _, quality in points])
    return aiq_range(curve, float(found.costs.min()), float(found.costs.max()))


def left_out(found: Table, new: int, whole: Pooled) -> dict[str, list[Floats]]:
    """Return predictions of the dev prompts by way of joining; several where prompts are drawn."""
    others = np.delete(np.arange(len(found.models)), new)
    known = TRAINER.fit(
        Labels(
            models=tuple(found.models[m] for m in others),
            queries=found.train,
            scores=found.train_scores[:, others],
        )
    )
    phi, asked = features(known, found.train), features(known, found.dev)
    prior = prior_of(known.posterior.weights, 1 / known.posterior.scale**2)
    scores = found.train_scores[:, new]
    rng = generator(f"{found.name} {new}", 0)
    rest = known.predict(found.dev).mean
    chosen = choose_anchors(prior, phi, known.home(found.train.embeddings), N).rows
    draws = [rng.choice(phi.shape[0], N, replace=False) for _ in range(DRAWS)]

    def joined(rows: np.ndarray) -> Floats:
        return np.insert(rest, new, mean_of(join(prior, phi[rows], scores[rows]), asked), axis=1)

    return {
        "without": [rest],
        "anchors": [joined(chosen)],
        "random": [joined(rows) for rows in draws],
        "everything, same prior": [joined(np.arange(phi.shape[0]))],
        "everything": [whole.predict(found.dev).mean],
    }


def measured(found: Table) -> dict:
    whole = TRAINER.fit(Labels(models=found.models, queries=found.train, scores=found.train_scores))
    n, models = found.dev.n, np.arange(len(found.models))
    ways = [left_out(found, new, whole) for new in models]

    def values(rows: np.ndarray) -> dict[str, Floats]:
        """Return the worth of each way, one a model left out."""
        return {
            way: np.array(
                [
                    np.mean([
                        worth(found, p, np.delete(models, new) if way == "without" else models, rows)
                        for p in ways[new][way]
                    ])
                    for new in models
                ]
            )
            for way in ways[0]
        }  # fmt: skip

    def shares(rows: np.ndarray) -> dict[str, float]:
        found_now = values(rows)
        return {way: float((found_now[way] - found_now["without"]).sum()) for way in found_now}

    everything = np.arange(n)
    gain = shares(everything)
    rng = generator(f"{found.name} bootstrap", 0)
    resamples = RESAMPLES if found.costs is None else 100  # a curve a draw takes its time
    drawn = [shares(rng.integers(n, size=n)) for _ in range(resamples)]
    difference = np.array([each["anchors"] - each["random"] for each in drawn]) / models.size
    ratio = [each["anchors"] / each["everything"] for each in drawn if each["everything"] > 0]
    spread = np.mean([np.std([worth(found, p, models, everything) for p in way["random"]]) for way in ways])

    def loss(way: str) -> float:
        parts = []
        for new in models:
            y = found.dev_scores[:, new]
            for predicted in ways[new][way]:
                p = np.clip(predicted[:, new], 1e-3, 1 - 1e-3)
                parts.append(float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()))
        return float(np.mean(parts))

    return {
        "models": int(models.size),
        "prompts_train_dev": [found.train.n, n],
        "measure": "aiq_range" if found.costs is not None else "mean score of the preferred model",
        "gain_per_model": {way: round(total / models.size, 5) for way, total in gain.items()},
        "share_of_full_gain": {
            "anchors": round(gain["anchors"] / gain["everything"], 3),
            "random": round(gain["random"] / gain["everything"], 3),
            "anchors_95": np.quantile(ratio, [0.025, 0.975]).round(3).tolist() if ratio else None,
        },
        "anchors_minus_random_95": np.quantile(difference, [0.025, 0.975]).round(5).tolist(),
        "sd_between_random_draws": round(float(spread), 5),
        "log_loss_of_the_new_model": {
            way: round(loss(way), 4) for way in ("anchors", "random", "everything, same prior", "everything")
        },
    }


def main() -> None:
    tables = (
        ("routerbench", "routerbench/routerbench_0shot.parquet", None),
        ("routerdc7", "routerdc7/routerdc7.parquet", None),
        ("mmlu_pro", "mmlu_pro/mmlu_pro.parquet", 8),
    )
    write("anchors", {"n": N, "tables": {name: measured(table(name, path, k)) for name, path, k in tables}})


if __name__ == "__main__":
    main()
