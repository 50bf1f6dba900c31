import math

import numpy as np

from turnout.learn.measures import MEASURES, measures
from turnout.types.signal import Signal


def test_absent_signals_are_not_numbers() -> None:
    assert np.isnan(measures({})).all()
    assert measures({}).shape == (len(MEASURES),)
    assert np.isnan(measures({"lexical": Signal(value={"chars": 3.0}, error="no_text")})).all()


def test_counts_enter_as_logarithms_and_flags_as_zero_and_one() -> None:
    found = measures(
        {
            "lexical": Signal(value={"chars": 9.0, "distinct": 0.5}),
            "has.code": Signal(value=True, confidence=0.8),
            "wants.json": Signal(value=False),
        }
    )
    told = {
        name: number for name, number in zip(MEASURES, found.tolist(), strict=True) if not math.isnan(number)
    }
    assert told == {"log_chars": math.log1p(9), "distinct": 0.5, "has.code": 1.0, "wants.json": 0.0}
