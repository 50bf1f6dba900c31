"""What was promised, against what was seen."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from benchmarks.fleet.field import Seen
from benchmarks.fleet.runs import FLOOR
from benchmarks.fleet.traffic import FIRST_BYTE_S, Sent
from turnout.types.record import Attempt

TOO_BUSY = 0.25
"""Share of the clairvoyant time that the harness may add: with more of the same on both sides, any two
choices look alike, and nothing is said."""
OUTAGE_SINCE = 30.0
"""When the outages of the scenarios begin, in seconds of the script."""


class Verdict(Struct, frozen=True, kw_only=True):
    """One promise."""

    promise: str
    target: str
    measured: str
    met: bool | None
    """None = nothing was measured; `why` says why not."""
    why: str = ""


def verdicts(runs: Sequence[Seen]) -> list[Verdict]:
    """Return the verdict on every promise whose runs are there."""
    by_name = {seen.run.name: seen for seen in runs}
    found: list[Verdict] = []
    for names, judge in _JUDGES.items():
        if all(name in by_name for name in names):
            found += judge(*(by_name[name] for name in names))
    return found


def _fastest(seen: Seen) -> list[Verdict]:
    sums = seen.sums
    best, floor_s = sums.clairvoyant_s, max(0.0, sums.floor_s or 0.0)
    ratio = sums.mean_ttft_s / (best + floor_s)
    chosen = _scripted(seen) / best
    busy = floor_s > TOO_BUSY * best
    harness = (
        ""
        if sums.floor_s is None
        else (
            f"the harness itself adds {floor_s:.3f} s to every answer, the clairvoyant's too "
            f"({sums.mean_ttft_s / best:.3f} against the script without it); "
        )
    )
    return [
        Verdict(
            promise="fastest: mean TTFT against a clairvoyant choice",
            target="≤ 1.10",
            measured=f"{ratio:.3f}",
            met=None if busy else ratio <= 1.10,
            why=("the machine was too busy: " if busy else "")
            + f"{harness}{chosen:.3f} by the script of whoever answered: choice alone, without retries; "
            f"loop late by {sums.lag_p50_ms:.2f} ms (p50), {sums.lag_p99_ms:.1f} ms (p99)",
        )
    ]


def _scripted(seen: Seen) -> float:
    found = [
        value
        for each in seen.sent
        if each.answered_by is not None
        and (value := seen.rows[each.answered_by].script.expected(each.at)) < FIRST_BYTE_S
    ]
    return sum(found) / len(found)


def _cheapest(seen: Seen) -> list[Verdict]:
    below = {name for name, row in seen.rows.items() if row.quality < FLOOR}
    wrong = sum(a.deployment in below for each in seen.sent for a in each.attempts)
    return [
        Verdict(
            promise=f"cheapest: calls below the floor of {FLOOR}",
            target="0",
            measured=str(wrong),
            met=wrong == 0,
            why=f"{len(below)} of {len(seen.rows)} upstreams are below; fallbacks count too",
        )
    ]


def _vendor_down(steady: Seen, *downs: Seen) -> list[Verdict]:
    found: list[Verdict] = []
    for down in downs:
        share = down.sums.n_errors / down.sums.n
        added = down.sums.p99_ttft_s - steady.sums.p99_ttft_s
        found += [
            Verdict(
                promise=f"{down.run.name} (one of three): client-visible errors",
                target="≤ 0.1 %",
                measured=f"{share:.3%}",
                met=share <= 0.001,
                why=", ".join(f"{word} {n}" for word, n in down.sums.errors.items()),
            ),
            Verdict(
                promise=f"{down.run.name} (one of three): p99 TTFT added",
                target=f"≤ {FIRST_BYTE_S:g} s (one timeout)",
                measured=f"{added:.2f} s",
                met=added <= FIRST_BYTE_S,
            ),
        ]
    return found


def _outage(seen: Seen) -> list[Verdict]:
    during = [each for each in seen.sent if each.at >= OUTAGE_SINCE]
    calls = sum(_was_sent(a) for each in during for a in each.attempts)
    ratio = calls / len(during)
    first = [each for each in during if each.at < OUTAGE_SINCE + 10]
    burst = sum(_was_sent(a) for each in first for a in each.attempts) / max(1, len(first))
    return [
        Verdict(
            promise=f"{seen.run.name}: calls sent per request",
            target="≤ 1.2",
            measured=f"{ratio:.3f}",
            met=ratio <= 1.2,
            why=f"{burst:.2f} in the first 10 s, before the breakers have opened",
        )
    ]


def _was_sent(attempt: Attempt) -> bool:
    """Tell whether a call left the house: a breaker's refusal is recorded, and sends nothing."""
    return attempt.error != "capacity_exhausted"


def _hedge(alone: Seen, hedged: Seen) -> list[Verdict]:
    cut = 1 - hedged.sums.p99_ttft_s / alone.sums.p99_ttft_s
    extra = hedged.sums.calls_per_request / alone.sums.calls_per_request - 1
    return [
        Verdict(
            promise="hedge: p99 TTFT cut",
            target="≥ 30 %",
            measured=f"{cut:.0%}",
            met=cut >= 0.30,
            why=f"{alone.sums.p99_ttft_s:.2f} s alone, {hedged.sums.p99_ttft_s:.2f} s hedged",
        ),
        Verdict(
            promise="hedge: extra calls",
            target="≤ 10 %",
            measured=f"{extra:.1%}",
            met=extra <= 0.10,
            why="of the calls the same load makes unhedged, as the upstreams counted",
        ),
    ]


def _even(steady: Seen) -> list[Verdict]:
    shares = steady.sums.shares.values()
    spread = max(shares) / min(shares) if len(shares) == len(steady.rows) else float("inf")
    return [
        Verdict(
            promise="round_robin: largest over smallest share, all healthy",
            target="≤ 1.02",
            measured=f"{spread:.3f}",
            met=spread <= 1.02,
        )
    ]


def _best(seen: Seen) -> list[Verdict]:
    steady = max(
        row.quality
        for row in seen.rows.values()
        if not row.script.errors and all(spell.down is None for spell in row.script.spells)
    )
    mean = sum(seen.rows[name].quality * share for name, share in seen.sums.shares.items())
    return [
        Verdict(
            promise="best: mean quality of who answered, against the best upstream that never fails",
            target=f"≥ {steady:.2f}",
            measured=f"{mean:.3f}",
            met=mean >= steady,
            why="the two better ones are down or fail for a while, and are demoted then",
        )
    ]


_JUDGES: Mapping[tuple[str, ...], Callable[..., list[Verdict]]] = {
    ("fastest",): _fastest,
    ("cheapest",): _cheapest,
    ("best",): _best,
    ("steady",): _even,
    ("steady", "vendor hangs", "vendor closes"): _vendor_down,
    ("all answer 503",): _outage,
    ("all hang",): _outage,
    ("tailed, alone", "tailed, hedged"): _hedge,
}


def visible(seen: Seen) -> list[Sent]:
    """Return the requests whose client saw a failure that no upstream's content filter explains."""
    return [each for each in seen.sent if each.error is not None and not each.sensitive]
