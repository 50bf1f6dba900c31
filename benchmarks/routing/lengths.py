"""Predicted lengths and seconds of answers against recorded ones: `python -m benchmarks.routing.lengths`.

Fitted on `train`, measured on `dev`; static vectors and surface measures, as live. AlpacaEval counts
characters, BFCL tokens and seconds. The yardstick is the best constant a model: its mean, its 90 % quantile,
its median time.
"""

import numpy as np

from benchmarks.routing.matrices import Matrix, matrix, rows_of, vectors, write
from turnout.learn.base import Floats, Queries
from turnout.learn.outcomes import fit_lengths, fit_speeds, pinball

FEWEST = 200
"""Answers that a model must have on the train split."""


def lengths(found: Matrix, queries: Queries, column: str) -> tuple[dict, Floats]:
    train, dev = found.part("train"), found.part("dev")
    values = found.values[column]
    enough = np.flatnonzero((~np.isnan(values[train])).sum(axis=0) >= FEWEST)
    models = tuple(found.models[m] for m in enough)
    values = values[:, enough]
    model = fit_lengths(models, rows_of(queries, train), values[train])
    predicted, actual = model.predict(rows_of(queries, dev)), values[dev]
    known = ~np.isnan(actual)
    covered = np.array([(actual <= predicted.upper)[known[:, m], m].mean() for m in range(len(models))])
    level, bar = np.nanmean(values[train], axis=0), np.nanquantile(values[train], 0.9, axis=0)
    constant = np.broadcast_to(level, actual.shape), np.broadcast_to(bar, actual.shape)
    off = [float(np.abs(guess - actual)[known].mean()) for guess in (predicted.mean, constant[0])]
    loss = [pinball(actual[known], guess[known], 0.9) for guess in (predicted.upper, constant[1])]
    ratio = np.array(
        [actual[known[:, m], m].sum() / predicted.mean[known[:, m], m].sum() for m in range(len(models))]
    )
    result = {
        "models": len(models),
        "prompts_train_dev": [int(train.size), int(dev.size)],
        "coverage_of_90_percent_bound": {
            "all": round(float((actual <= predicted.upper)[known].mean()), 4),
            "models_5_50_95_percentile": np.quantile(covered, [0.05, 0.5, 0.95]).round(4).tolist(),
        },
        "pinball_at_0.9_ours_constant": np.round(loss, 2).tolist(),
        "mean_absolute_error_ours_constant": np.round(off, 2).tolist(),
        "actual_over_predicted_total": {
            "all": round(float(actual[known].sum() / predicted.mean[known].sum()), 4),
            "models_within_0.8_1.25": round(float(((ratio > 0.8) & (ratio < 1.25)).mean()), 3),
        },
    }
    return result, enough


def seconds(found: Matrix, queries: Queries) -> dict:
    train, dev = found.part("train"), found.part("dev")
    tokens, times = found.values["output_tokens"], found.values["latency_s"]
    both = ~np.isnan(tokens) & ~np.isnan(times)
    enough = np.flatnonzero(both[train].sum(axis=0) >= FEWEST)
    models = tuple(found.models[m] for m in enough)
    tokens, times = tokens[:, enough], times[:, enough]
    speed = fit_speeds(models, tokens[train], times[train])
    n_out = fit_lengths(models, rows_of(queries, train), tokens[train]).predict(rows_of(queries, dev)).mean
    median = np.broadcast_to(np.nanmedian(times[train], axis=0), times[dev].shape)
    known = ~np.isnan(times[dev])
    off = [
        float(np.abs(guess - times[dev])[known].mean())
        for guess in (speed.seconds(n_out), speed.seconds(np.nan_to_num(tokens[dev])), median)
    ]
    names = ("from_predicted_tokens", "from_actual_tokens", "median_of_the_model")
    return {
        "models": len(models),
        "mean_absolute_error_s": dict(zip(names, np.round(off, 3).tolist(), strict=True)),
    }


def main() -> None:
    alpaca = matrix("alpaca_eval/preferences.parquet", ["output_chars"])
    bfcl = matrix("bfcl/bfcl_v1.parquet", ["output_tokens", "latency_s"])
    asked = vectors(bfcl.prompts)
    write(
        "lengths",
        {
            "alpaca_eval_characters": lengths(alpaca, vectors(alpaca.prompts), "output_chars")[0],
            "bfcl_tokens": lengths(bfcl, asked, "output_tokens")[0],
            "bfcl_seconds": seconds(bfcl, asked),
        },
    )


if __name__ == "__main__":
    main()
