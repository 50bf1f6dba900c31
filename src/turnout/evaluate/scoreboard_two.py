"""Two models: the part of a scoreboard that asks how few strong calls are enough. Floor 6."""

import numpy as np

from turnout.evaluate import scoreboard_measure as measure
from turnout.evaluate.metrics import Floats, Interval, apgr_10, apgr_quantiles, cpt, generator, pgr_curve
from turnout.evaluate.scoreboard_evidence import Allows, Evidence
from turnout.evaluate.scoreboard_types import Difference, TwoLine, verdict_of


def two_models(
    evidence: Evidence, gap: Interval | None, allows: Allows
) -> tuple[tuple[str, ...], tuple[TwoLine, ...], list[Difference]]:
    """Return what is refused and why, a line a policy, and the router's area minus each one's."""
    if gap is None or evidence.strong is None or evidence.weak is None or not allows("two models"):
        return (), (), []
    if gap.low <= 0:
        why = (
            f"PGR, APGR and CPT: the gap between {evidence.strong} and {evidence.weak} is {gap.mean:.4f} "
            f"[{gap.low:.4f}, {gap.high:.4f}]: there may be none to recover"
        )
        return (why,), (), []
    wishes = _wishes(evidence)
    bench = evidence.bench
    strong, weak = (bench.scores[:, bench.models.index(name)] for name in (evidence.strong, evidence.weak))
    found = measure.apgr_intervals(
        [wish for _, wish in wishes],
        (strong, weak),
        bench.groups,
        name="apgr",
        seed=evidence.seed,
        n_resamples=evidence.n_resamples,
    )
    has_router = evidence.router.utility is not None
    lines = [
        _two(name, wish, (strong, weak), value if has_router else (value[0], None))
        for (name, wish), value in zip(wishes, found, strict=True)
    ]
    differences = [
        Difference(minus=line.name, of="apgr", value=line.minus, verdict=verdict_of(line.minus))
        for line in lines[1:]
        if line.minus is not None and line.name != "best possible"
    ]
    return (), tuple(lines), differences


def _wishes(evidence: Evidence) -> list[tuple[str, Floats]]:
    """Return each policy's wish to use the strong model; the router's first."""
    bench = evidence.bench
    strong, weak = (bench.models.index(name) for name in (evidence.strong or "", evidence.weak or ""))
    utility = evidence.router.utility
    wishes = [] if utility is None else [(evidence.name, utility[:, strong] - utility[:, weak])]
    lengths = np.array([len(item.prompt) for item in bench.items], dtype=np.float64)
    for name, quality in evidence.forecasts.items():
        known = lengths if name == "prompt length" else quality[:, strong] - quality[:, weak]
        wishes.append((name, known))
    wishes.append(("random", generator("random", evidence.seed).random(bench.n)))
    wishes.append(("best possible", bench.scores[:, strong] - bench.scores[:, weak]))
    return wishes


def _two(
    name: str, wish: Floats, scores: tuple[Floats, Floats], found: tuple[Interval, Interval | None]
) -> TwoLine:
    curve = pgr_curve(wish, *scores)
    return TwoLine(
        name=name,
        apgr=found[0],
        apgr_10=apgr_10(curve),
        apgr_quantiles=apgr_quantiles(wish, *scores),
        cpt_50=cpt(curve, 0.5),
        cpt_80=cpt(curve, 0.8),
        cpt_50_interp=measure.cpt_interp(curve, 0.5),
        cpt_80_interp=measure.cpt_interp(curve, 0.8),
        curve=tuple(np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, curve.size), curve).tolist()),
        minus=found[1],
    )
