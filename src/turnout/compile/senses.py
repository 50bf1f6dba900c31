"""The senses of a route: what its strategy needs, each after what it needs itself. Floor 5."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turnout.config import Config
from turnout.errors import ConfigError
from turnout.registry import load, names
from turnout.signals.base import Prepared, Sense
from turnout.signals.strength import StrengthSense
from turnout.strategies.base import OnExpired, Strategy
from turnout.types.moment import MOMENT

if TYPE_CHECKING:
    from turnout.learn.artifact import Artifact

EMBED: Final = "embed."
REMOTE: Final = "embed.remote"
STRENGTH: Final = "strength"


class RouteFiles:
    """What a route's strategy learned from files: opened once, and the signals that come with them."""

    __slots__ = ("senses",)

    def __init__(self) -> None:
        self.senses: dict[str, Sense] = {}
        """Signals of this route alone, by name."""

    def intents(self, path: str) -> tuple[str, ...]:
        """Return the labels of an intent artifact; the route then has its signals. Raises `ConfigError`."""
        # Imported here: a gateway without what was learned needs no numpy.
        from turnout.learn.intent import decode  # noqa: PLC0415
        from turnout.signals.intent import INTENT, senses_of  # noqa: PLC0415

        try:
            arrays, card = Path(path).read_bytes(), Path(path).with_suffix(".json").read_bytes()
        except OSError as error:
            raise ConfigError((f"artifact: {error.filename} cannot be read: {error.strerror}",)) from None
        try:
            model = decode(arrays, card)
        except ConfigError as error:
            raise ConfigError(tuple(f"artifact: {path}: {line}" for line in error.problems)) from None
        known = self.senses.get(INTENT)
        made = {each.name: each for each in senses_of(model)}
        if known is not None and known != made[INTENT]:
            raise ConfigError(("artifact: one route holds one intent artifact; this is the second",))
        self.senses.update(made)
        return model.labels

    def learned(self, path: str, on_expired: OnExpired) -> "Artifact":
        """Return an artifact of predicted quality. Raises `ConfigError`."""
        from turnout.learn.artifact import decode, decode_card  # noqa: PLC0415  as above
        from turnout.signals.canonical.wrappers import EDITION  # noqa: PLC0415
        from turnout.signals.embed import encoder_of  # noqa: PLC0415

        try:
            arrays, card = Path(path).read_bytes(), Path(path).with_suffix(".json").read_bytes()
        except OSError as error:
            raise ConfigError((f"artifact: {error.filename} cannot be read: {error.strerror}",)) from None
        try:
            name = decode_card(card).encoder.name
            return decode(
                arrays,
                card,
                now=datetime.now(UTC),
                on_expired=on_expired,
                encoder=None if name == "remote" else encoder_of(name).id,
                canonicaliser=str(EDITION),
            )
        except ConfigError as error:
            raise ConfigError(tuple(f"artifact: {path}: {line}" for line in error.problems)) from None


def senses_of(
    strategy: Strategy, path: str, config: Config, files: RouteFiles, problems: list[str]
) -> tuple[Sense, ...]:
    """Return the senses a strategy needs, ready to be read; what is wrong goes to `problems`."""
    own = {**files.senses, **_configured(config)}
    found: dict[str, Sense] = {}
    for name in sorted(strategy.needs):
        try:
            _add(name, (), found, own)
        except ConfigError as error:
            problems.extend(f"{path}: {problem}" for problem in error.problems)
    return tuple(found.values())


def _configured(config: Config) -> Mapping[str, Sense]:
    """Return the senses that rows of the configuration describe."""
    found: dict[str, Sense] = {}
    if (strength := config.signals.strength) is not None:
        found[STRENGTH] = StrengthSense(model=strength.model, deadline_s=strength.deadline_s)
    if (remote := config.signals.remote) is not None:
        from turnout.signals.embed import RemoteEmbedSense  # noqa: PLC0415  needs numpy

        found[REMOTE] = RemoteEmbedSense(
            model=remote.model, dimensions=remote.dimensions, deadline_s=remote.deadline_s
        )
    return found


def _add(name: str, asking: tuple[str, ...], found: dict[str, Sense], own: Mapping[str, Sense]) -> None:
    if name in found or name == MOMENT:
        return
    if name in asking:
        raise ConfigError((f"signals need each other in a circle: {' → '.join((*asking, name))}",))
    sense = own.get(name) or _load(name)
    if isinstance(sense, Prepared):
        sense.prepare()
    for need in sorted(sense.needs):
        _add(need, (*asking, name), found, own)
    found[name] = sense


def _load(name: str) -> Sense:
    if name in ("intent", "intent.scores"):
        raise ConfigError((f"{name}: comes with a strategy of type intent in the same route",))
    if name == STRENGTH:
        raise ConfigError((f"{STRENGTH}: say which model judges with signals.strength.model",))
    if name == REMOTE:
        raise ConfigError((f"{REMOTE}: say which model embeds with signals.remote.model",))
    kind = name.removeprefix(EMBED)
    if name != kind and name not in names("turnout.signals") and kind in names("turnout.encoders"):
        from turnout.signals.embed import EmbedSense  # noqa: PLC0415  needs numpy

        return EmbedSense(kind=kind, off_loop=True)  # of an encoder nobody measured
    sense: Sense = load("turnout.signals", name)  # type: ignore[assignment]  # the registry holds senses
    return sense
