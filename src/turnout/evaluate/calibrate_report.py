"""What a certificate gives, what it costs, and how soon a broken one is noticed. Floor 6."""

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from turnout.evaluate.metrics import generator
from turnout.learn.calibrate import alarm_delay
from turnout.learn.certificate import Certificate

WORSE = (2.5, 3.5, 6.0)
"""True losses, in multiples of the promised one, of which the delay is told (ROUTING.md 5.4)."""
GAMES, LONGEST = 60, 8_000
"""Simulated runs, and compared requests in each: enough for a median."""


class Delay(Struct, frozen=True, kw_only=True):
    """How soon a loss is noticed."""

    loss: float
    compared: int | None
    """Requests drawn for comparison until the alarm, in the median; None: more than were simulated."""
    requests: int | None
    days: float | None


class Report(Struct, frozen=True, kw_only=True):
    """Everything `turnout calibrate` says."""

    certificate: Certificate
    saving_share_paid: float
    """Share of the reference's bill that the naive threshold would save beyond the certified one."""
    n_other: int
    delays: tuple[Delay, ...]
    warnings: tuple[str, ...]


def report(
    certificate: Certificate, n_other: int, shadow_share: float, volume: float, warnings: Sequence[str]
) -> Report:
    """Return what there is to say of a certificate.

    Args:
        certificate: As issued.
        n_other: Requests the thresholds come from.
        shadow_share: Share of requests that will be compared.
        volume: Requests a day.
        warnings: What deserves a look.
    """
    told = list(warnings)
    if certificate.n < certificate.n_min:
        told.append(
            f"{certificate.n} items can show nothing: at least {certificate.n_min} are needed for a loss of "
            f"{certificate.epsilon:g} at confidence {1 - certificate.delta:g}"
        )
    few = [segment for segment in certificate.segments if segment.scope == "marginal only"]
    told += [f"surface {each.name!r}: {each.n} of {each.n_min} items; marginal only" for each in few]
    scorer = certificate.scorer
    if scorer.kind == "judge" and not scorer.gold_overlap:
        told.append("the judge was compared with no gold label: the promise is about the judge")
    return Report(
        certificate=certificate,
        saving_share_paid=certificate.naive.saving_share - certificate.observed.saving_share,
        n_other=n_other,
        delays=tuple(_delays(certificate, shadow_share, volume)) if certificate.tau is not None else (),
        warnings=tuple(told),
    )


def _delays(certificate: Certificate, shadow_share: float, volume: float) -> Iterator[Delay]:
    """Yield how soon losses are noticed, with as many wins as the sample showed."""
    for times in WORSE:
        loss = min(1.0, times * certificate.epsilon)
        won = min(certificate.observed.wins / certificate.n, (1 - loss) / 2)
        u = generator(f"delay {certificate.sample.sha256}", round(times * 10)).random((GAMES, LONGEST))
        games = np.where(u < loss + won, 1.0, np.where(u < loss + 2 * won, -1.0, 0.0))
        compared = alarm_delay(games, certificate.epsilon)
        requests = None if compared is None or shadow_share <= 0 else round(compared / shadow_share)
        days = None if requests is None or volume <= 0 else requests / volume
        yield Delay(loss=loss, compared=compared, requests=requests, days=days)


def lines(found: Report) -> Iterator[str]:
    """Yield a report as people read it."""
    c = found.certificate
    yield f"reference {c.reference}; candidates {', '.join(c.candidates)}"
    yield (
        f"{c.n} {c.unit}s, thresholds from {found.n_other} others; a mean loss of at most {c.epsilon:g} "
        f"with confidence {1 - c.delta:g}, by {c.method}"
    )
    rows = (
        ("", "certified", "naive"),
        ("threshold", _number(c.tau), _number(c.naive.tau)),
        ("share routed", _percent(c.observed.share_routed), _percent(c.naive.share_routed)),
        ("saved of the bill", _percent(c.observed.saving_share), _percent(c.naive.saving_share)),
        ("observed loss", f"{c.observed.loss:.4f}", ""),
        ("loss exceeded in", f"at most {_percent(c.delta)}", "about half of all samples"),
    )
    for name, certified, naive in rows:
        yield f"{name:20}{certified:>16}  {naive:>26}".rstrip()
    yield f"the promise costs {_percent(found.saving_share_paid)} of the reference's bill"
    if c.n_for_more is None:
        yield f"5 % more traffic: not with eight times as many {c.unit}s as now; a better predictor is needed"
    else:
        yield f"5 % more traffic: about {c.n_for_more} {c.unit}s"
    for segment in c.segments:
        yield (
            f"surface {segment.name}: {segment.n} {c.unit}s, {segment.scope}, threshold "
            f"{_number(segment.tau)}, {_percent(segment.share_routed)} routed"
        )
    for delay in found.delays:
        yield f"a loss of {delay.loss:.3g} is noticed {_after(delay)}"
    yield f"valid until {c.expires:%Y-%m-%d}; void earlier on: {', '.join(c.invalid_if)}"


def _after(delay: Delay) -> str:
    if delay.compared is None:
        return f"only after more than {LONGEST} compared requests"
    text = f"after about {delay.compared} compared requests"
    if delay.requests is not None:
        text += f", {delay.requests} served"
    return text if delay.days is None else f"{text}, {delay.days:.1f} days"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
