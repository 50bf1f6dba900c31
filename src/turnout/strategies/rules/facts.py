"""What a rule may ask about, of which kind its value is, and where it is read. Floor 2.

A value is read off the `Scene`. None = unknown: not said, not measured, or a signal that is absent.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, Literal

from msgspec import Struct

from turnout.registry import did_you_mean, names
from turnout.strategies.base import Context
from turnout.strategies.rules.ast import Fact
from turnout.strategies.rules.windows import DAYS
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate
from turnout.types.json import Json
from turnout.types.moment import moment_in
from turnout.types.signal import Canonical

TEXT: Final = "text"
"""The fact that holds the words of the request."""
VERDICTS: Final = "rules.text"
"""The signal that holds what rules asked of those words, answered."""

Kind = Literal["number", "text", "truth", "list", "any"]


class Scene(Struct, frozen=True):
    """What conditions are tested on."""

    context: Context
    candidates: Sequence[Candidate]


Read = Callable[[Scene], Json]


class Source(Struct, frozen=True):
    """How one fact is had."""

    kind: Kind
    read: Read
    needs: frozenset[str] = frozenset()
    """Signals that it is read off."""


def _signal(name: str, kind: Kind) -> Source:
    def read(scene: Scene) -> Json:
        found = scene.context.signals.get(name)
        return None if found is None or found.error is not None else found.value

    return Source(kind, read, frozenset({name}))


def _part(name: str, path: str) -> Source:
    """Return one entry of a signal whose value is a mapping."""

    def read(scene: Scene) -> Json:
        found = scene.context.signals.get(name)
        if found is None or found.error is not None or not isinstance(found.value, Mapping):
            return None
        return found.value.get(path)

    return Source("any", read, frozenset({name}))


def _language(scene: Scene) -> Json:
    found = scene.context.signals.get("lang")
    return None if found is None or found.error is not None or found.value == "und" else found.value


def _text(scene: Scene) -> Json:
    found = scene.context.signals.get("canonical")
    return found.intent if isinstance(found, Canonical) else None


def _surface(scene: Scene) -> Json:
    surface = scene.context.surface
    return surface.name if surface is not None else scene.context.ask.surface


def _visibility(scene: Scene) -> Json:
    surface, visibility = scene.context.surface, scene.context.ask.visibility
    return visibility if visibility is not None or surface is None else surface.visibility


def _session_model(scene: Scene) -> Json:
    session = scene.context.session
    if session is None:
        return None
    return next(
        (c.deployment.model.id for c in scene.candidates if c.id == session.deployment), session.deployment
    )


def _budget_left(scene: Scene) -> Json:
    moment = moment_in(scene.context.signals)
    return None if moment is None else moment.budget_left


def _priority(scene: Scene) -> Json:
    return scene.context.ask.metadata.get("priority")


def _tenant(scene: Scene) -> Json:
    principal = scene.context.ask.principal
    return principal.organisation or principal.project or principal.key_id


def _max_out(scene: Scene) -> Json:
    return scene.context.max_tokens_out


def _idle_s(scene: Scene) -> Json:
    session = scene.context.session
    return None if session is None else session.idle_s


def _n_tools(scene: Scene) -> Json:
    return scene.context.request.facts.n_tools


def _stream(scene: Scene) -> Json:
    request = scene.context.request
    return isinstance(request, ChatRequest) and request.stream


_PLAIN: Final[Mapping[str, Source]] = {
    "tokens.in": Source("number", lambda scene: scene.context.n_tokens_in, frozenset({"tokens.in"})),
    "tokens.max_out": Source("number", _max_out),
    "turn": _part("trajectory", "turn"),
    "has.code": _signal("has.code", "truth"),
    "has.tools": _signal("has.tools", "truth"),
    "has.images": _signal("has.images", "truth"),
    "has.math": _signal("has.math", "truth"),
    "wants.json": _signal("wants.json", "truth"),
    "lang": Source("text", _language, frozenset({"lang"})),
    "surface": Source("text", _surface),
    "visibility": Source("text", _visibility),
    "priority": Source("text", _priority),
    "tenant": Source("text", _tenant),
    "tags": Source("list", lambda scene: scene.context.ask.tags),
    "session.model": Source("text", _session_model),
    "session.idle_s": Source("number", _idle_s),
    "budget.left_share": Source("number", _budget_left),
    "n_tools": Source("number", _n_tools),
    "stream": Source("truth", _stream),
    TEXT: Source("text", _text, frozenset({"canonical"})),
}
_FAMILIES: Final = ("tags[…]", "meta.…", "signal.…", "time.hour", "time.weekday", "peak(…)", "model.is_up(…)")


def source_of(fact: Fact, zone: tzinfo) -> Source:
    """Return how a fact is had.

    Raises:
        ValueError: There is no such fact, or no such signal.
    """
    if fact.key:
        return _keyed(fact)
    if fact.name in _PLAIN:
        return _PLAIN[fact.name]
    head, _, rest = fact.name.partition(".")
    if head == "signal" and rest:
        return _of_signal(rest)
    if fact.name == "time.hour":
        return Source("number", lambda scene: scene.context.at.astimezone(zone).hour)
    if fact.name == "time.weekday":
        return Source("text", lambda scene: DAYS[scene.context.at.astimezone(zone).weekday()])
    known = [*_PLAIN, "time.hour", "time.weekday", "peak", "model.is_up", "tags", "meta", "signal"]
    hint = did_you_mean(fact.name, known) or f"; known: {', '.join((*_PLAIN, *_FAMILIES))}"
    raise ValueError(f"no fact {fact.name!r}{hint}")


def _keyed(fact: Fact) -> Source:
    key = fact.key
    if fact.name == "meta":
        return Source("text", lambda scene: scene.context.ask.metadata.get(key))
    return Source("text", lambda scene: _tag(scene.context.ask.tags, key))


def _tag(tags: Sequence[str], key: str) -> Json:
    """Return the value of the tag `key:value` or `key=value`; "" of the bare tag `key`."""
    for tag in tags:
        if tag.startswith(key) and tag[len(key) : len(key) + 1] in ("", ":", "="):
            return tag[len(key) + 1 :]
    return None


def _of_signal(rest: str) -> Source:
    vectors = (f"embed.{name}" for name in ("remote", *names("turnout.encoders")))
    known = tuple(dict.fromkeys((*names("turnout.signals"), *vectors, "intent", "intent.scores")))
    if rest in known:
        return _signal(rest, "any")
    name, dot, path = rest.rpartition(".")
    if dot and name in known:
        return _part(name, path)
    raise ValueError(f"no signal {rest!r}{did_you_mean(rest, known) or '; known: ' + ', '.join(known)}")
