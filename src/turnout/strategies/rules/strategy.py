"""The strategy itself: rules in order, and what each picks. Floor 2.

Theory of operation.
1. Conditions are read, checked and compiled when the configuration is loaded; a request only calls functions.
2. The first rule that holds wins. Unknown does not hold. A rule whose models were all dropped by filters, or
   are not among the candidates, is passed over, so that an outage does not turn a preference into a failure.
3. A rule narrows the candidates to its models, in its order, and hands them to its strategy, if it names one.
4. When no rule holds, `otherwise` does the same; without it the candidates are asked as declared.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import msgspec
from msgspec import Struct

from turnout import plan as plans
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.strategies.base import Bindable, Choice, Context, Draw, Setting, Strategy
from turnout.strategies.rules.compiled import Condition, Names, Test, compile_condition
from turnout.strategies.rules.facts import Scene
from turnout.strategies.rules.parse import parse
from turnout.strategies.rules.windows import read_window, read_zone
from turnout.types.deployment import Candidate

P = TypeVar("P", "Rule", "Otherwise")
MAX_RULES = 500
MAX_FALLBACKS = 9


class Otherwise(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is picked when no rule holds."""

    models: tuple[str, ...] = ()
    """Deployment or model ids, first choice first; empty = all candidates."""
    use: Strategy | None = None
    """Chooses among them; none = the first that answers."""

    def __post_init__(self) -> None:
        if not self.models and self.use is None:
            raise ValueError(": name models: or use:, or both")


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition and what it picks."""

    when: str
    """Condition in the language of rules (`tokens.in < 500 and not has.code`)."""
    name: str = ""
    """What Records call it; "" = its place, `rules[i]`."""
    models: tuple[str, ...] = ()
    """Deployment or model ids, first choice first; empty = all candidates."""
    use: Strategy | None = None
    """Chooses among them; none = the first that answers."""

    def __post_init__(self) -> None:
        if not self.models and self.use is None:
            raise ValueError(": name models: or use:, or both")
        try:
            parse(self.when)
        except ValueError as error:
            raise ValueError(f"when: {error}") from error


class Rules(Struct, frozen=True, tag="rules", kw_only=True, forbid_unknown_fields=True, dict=True):
    """First match wins."""

    rules: tuple[Rule, ...]
    otherwise: Otherwise | None = None
    zone: str = "UTC"
    """IANA zone of `time.hour`, `time.weekday` and of windows that name none."""
    windows: dict[str, str] = {}
    """Name -> `[days] HH:MM-HH:MM [zone]`, for `peak("name")`; the one called `peak` needs no name."""

    def __post_init__(self) -> None:
        if not 0 < len(self.rules) <= MAX_RULES:
            raise ValueError(f"rules: {len(self.rules)} given; expected 1–{MAX_RULES}")
        read_zone(self.zone)
        for name, text in self.windows.items():
            try:
                read_window(text, self.zone)
            except ValueError as error:
                raise ValueError(f"windows.{name}: {error}") from error
        _ = self.conditions

    @property
    def name(self) -> str:
        """Word for Records."""
        return "rules"

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions of the rules, compiled."""
        context = Names(self.zone, self.windows)
        found: list[Condition] = []
        for at, rule in enumerate(self.rules):
            try:
                found.append(compile_condition(parse(rule.when), context))
            except ValueError as error:
                raise ValueError(f"rules[{at}].when: {error}") from error
        return tuple(found)

    @cached_property
    def _tests(self) -> tuple[tuple[Test, Rule, str], ...]:
        numbered = enumerate(zip(self.conditions, self.rules, strict=True))
        return tuple((each.test, rule, rule.name or f"rules[{at}]") for at, (each, rule) in numbered)

    @cached_property
    def needs(self) -> frozenset[str]:
        """Signals of the conditions and of the strategies they pick."""
        used = [pick.use.needs for pick in self._picks() if pick.use is not None]
        return frozenset().union(*(each.needs for each in self.conditions), *used)

    def _picks(self) -> tuple[Rule | Otherwise, ...]:
        return self.rules if self.otherwise is None else (*self.rules, self.otherwise)

    def bind(self, setting: Setting) -> "Rules":
        """Refuse models that the route does not have; make the strategies of rules ready.

        Raises:
            ConfigError: A rule names a model that is not in the pool, or its strategy cannot work with it.
        """
        problems: list[str] = []
        rules = tuple(_bound(rule, f"rules[{at}]", setting, problems) for at, rule in enumerate(self.rules))
        otherwise = self.otherwise and _bound(self.otherwise, "otherwise", setting, problems)
        if problems:
            raise ConfigError(tuple(problems))
        return msgspec.structs.replace(self, rules=rules, otherwise=otherwise)

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return what the first rule that holds picks."""
        scene = Scene(context, candidates)
        for test, rule, name in self._tests:
            if test(scene) is True:
                named = _named(rule.models, candidates)
                if named:
                    choice = _pick(rule, context, named, draw)
                    return msgspec.structs.replace(choice, reason="rule_matched", rule=name)
        named = _named(self.otherwise.models, candidates) if self.otherwise is not None else candidates
        return _pick(self.otherwise, context, named or candidates, draw)


def _pick(
    pick: Rule | Otherwise | None, context: Context, candidates: Sequence[Candidate], draw: Draw
) -> Choice:
    if pick is not None and pick.use is not None:
        return pick.use.choose(context, candidates, draw)
    n = 1 + MAX_FALLBACKS if context.ask.prefer.allow_fallbacks else 1
    nodes = tuple(plans.Try(candidate.id) for candidate in candidates[:n])
    plan = nodes[0] if len(nodes) == 1 else plans.Sequence(nodes)
    return Choice(plan=plan, reason="default_abstain", propensity=1.0)


def _named(models: Sequence[str], candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return the candidates that are listed, in the order of the list; all of them for an empty one."""
    if not models:
        return candidates
    found: dict[str, Candidate] = {}
    for name in models:
        for candidate in candidates:
            if name in (candidate.id, candidate.deployment.model.id):
                found.setdefault(candidate.id, candidate)
    return tuple(found.values())


def _bound(pick: P, path: str, setting: Setting, problems: list[str]) -> P:
    known = _ids(setting)
    for at, name in enumerate(pick.models):
        if name not in known:
            hint = did_you_mean(name, known)
            problems.append(f"{path}.models[{at}]: {name!r} is not in the route's models{hint}")
    if not isinstance(pick.use, Bindable):
        return pick
    pool = tuple(d for d in setting.pool if not pick.models or {d.id, d.model.id} & set(pick.models))
    try:
        ready = pick.use.bind(msgspec.structs.replace(setting, pool=pool))
    except ConfigError as error:
        problems.extend(f"{path}.use.{problem}" for problem in error.problems)
        return pick
    return msgspec.structs.replace(pick, use=ready)


def _ids(setting: Setting) -> Mapping[str, None]:
    return dict.fromkeys(name for d in setting.pool for name in (d.id, d.model.id))
