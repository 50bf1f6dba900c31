"""What is listened to, made of the sections `quality` and `feedback`. Floor 5."""

from collections.abc import Container, Sequence

from turnout.config import Config
from turnout.config.quality import SampleConfig
from turnout.types.deployment import Deployment
from turnout.types.quality import Judge, Listening, Sample
from turnout.types.usage import NanoUsd


def make_listening(
    config: Config, deployments: Sequence[Deployment], routes: Container[str], problems: list[str]
) -> Listening:
    """Return what is listened to; what is wrong goes to `problems`."""
    samples: dict[str, Sample] = {}
    for at, row in enumerate(config.quality.samples):
        path = f"quality.samples[{at}]"
        if row.route not in routes:
            problems.append(f"{path}.route: no route {row.route!r}")
        if row.route in samples:
            problems.append(f"{path}.route: {row.route!r} is sampled twice")
        samples[row.route] = _sample(row, path, deployments, problems)
    return Listening(
        samples=samples,
        budget_nusd=NanoUsd(round(config.quality.budget_usd * 1e9)),
        max_running=config.quality.max_running,
        implicit=config.feedback.implicit,
    )


def _sample(row: SampleConfig, path: str, deployments: Sequence[Deployment], problems: list[str]) -> Sample:
    judges = [
        found
        for at, name in enumerate(row.judges)
        if (found := _named(name, f"{path}.judges[{at}]", deployments, problems)) is not None
    ]
    if not row.judges:
        problems.append(f"{path}.judges: name at least one model that judges")
    against = None
    if row.against is not None:
        against = _named(row.against, f"{path}.against", deployments, problems)
    return Sample(
        route=row.route,
        share=row.share,
        judges=tuple(Judge(each.id, each.vendor.name, each.model.id) for each in judges),
        rubric=row.rubric,
        against=None if against is None else against.id,
        same_vendor=row.same_vendor,
        earlier=row.earlier_chars,
    )


def _named(name: str, path: str, deployments: Sequence[Deployment], problems: list[str]) -> Deployment | None:
    found = next((each for each in deployments if name in (each.id, each.model.id)), None)
    if found is None:
        problems.append(f"{path}: no model {name!r}; add it to models")
    return found
