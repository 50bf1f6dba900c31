"""What a judge's grade is worth, learned from answers that were also scored without it. Floor 6.

A judge's 8 of 10 is not a probability of 0.8. Where at least `LEAST` answers have both a grade and a score of
their own, grades become E[score | grade] by a rising fit; with fewer they stay raw, and are said to be.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from turnout.evaluate.collect.rows import Row
from turnout.learn.base import Floats
from turnout.learn.isotonic import fit_isotonic

LEAST: Final = 50
"""ROUTING.md section 3.3."""
Key = tuple[str, str, str, int]


class Calibrated(Struct, frozen=True):
    """New scores for judged rows, and what to tell about them."""

    scores: Mapping[Key, float]
    told: str


def calibrate_judge(rows: Sequence[Row], judge: str) -> Calibrated | None:
    """Return the calibrated scores of the rows this judge graded; None where it graded none.

    Args:
        rows: A finished collection.
        judge: Whose grades.
    """
    judged = [row for row in rows if row.judge == judge and row.score is not None]
    both = [row for row in rows if not row.judge and row.score is not None and row.judge_score is not None]
    if not judged and not both:
        return None
    grades = np.array([row.judge_score for row in both], dtype=np.float64)
    scores = np.array([row.score for row in both], dtype=np.float64)
    if len(both) < LEAST or np.ptp(grades) == 0:
        return Calibrated(
            {}, f"uncalibrated: {len(both)} answers have a score of their own, {LEAST} are needed"
        )
    curve = fit_isotonic(grades, scores)
    raw = float(((grades - scores) ** 2).mean())
    fitted = float(((_left_out(grades, scores) - scores) ** 2).mean())
    if fitted >= raw:
        return Calibrated(
            {}, f"kept raw: calibration on {len(both)} answers does not lower its error ({raw:.3f})"
        )
    new = {
        row.key: float(curve.at(np.array([row.score if row.judge_score is None else row.judge_score]))[0])
        for row in judged
    }
    return Calibrated(
        new, f"calibrated on {len(both)} answers; squared error {raw:.3f} before, {fitted:.3f} after"
    )


def _left_out(grades: Floats, scores: Floats) -> Floats:
    """Return each score as predicted by a fit that did not see it: five folds, by position."""
    predicted = np.empty_like(scores)
    fold = np.arange(scores.size) % 5
    for k in range(5):
        held = fold == k
        predicted[held] = fit_isotonic(grades[~held], scores[~held]).at(grades[held])
    return predicted
