"""The few directions along which long vectors really differ. Floor 2.

Hashed words make vectors of thousands of numbers, nearly all zero. Their leading singular directions, found
without labels, keep what generalises and make the fit as small as that of a short encoder.
Source: Halko, Martinsson and Tropp, "Finding structure with randomness" (arXiv 0909.4061), algorithm 4.4.
"""

from typing import Final

import numpy as np

from turnout.learn.base import Floats

WIDE: Final = 512
"""Vectors up to this length are used as they are."""
RANK: Final = 256
SPARE: Final = 16
"""Directions computed and thrown away: the last ones of a sketch are inexact."""
SAMPLE: Final = 4_000
"""Rows looked at."""


def principal(rows: Floats, rank: int = RANK, seed: int = 0) -> Floats | None:
    """Return d x rank orthonormal directions; None where the vectors are short enough already."""
    n, d = rows.shape
    if d <= WIDE:
        return None
    random = np.random.Generator(np.random.PCG64(seed))
    if n > SAMPLE:
        rows = rows[np.sort(random.choice(n, SAMPLE, replace=False))]
    narrow = rows.astype(np.float32)  # half the time, and far more digits than the sketch has
    sketch = narrow @ random.standard_normal((d, min(rank + SPARE, *narrow.shape)), dtype=np.float32)
    for _ in range(2):
        sketch, _ = np.linalg.qr(narrow.T @ np.linalg.qr(sketch)[0])
        sketch = narrow @ sketch
    sketch, _ = np.linalg.qr(sketch)
    _, _, right = np.linalg.svd(sketch.T @ narrow, full_matrices=False)
    found: Floats = right[:rank].T.astype(np.float64)
    return found
