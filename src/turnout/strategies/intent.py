"""`intent`: what the user wants picks the models. Floor 2.

1. The signal `intent` names one of the artifact's labels, or `none`. A label picks models, a strategy for
   them, or both; a label without an entry, `none` and an absent signal get `otherwise`.
2. An entry whose models were all dropped by filters is passed over: an outage of what is best for an intent
   must not turn into a failure.
3. An intent says what is asked, not how well a model answers it: that is for the strategy under the entry.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from turnout import plan as plans
from turnout.errors import ConfigError
from turnout.registry import did_you_mean
from turnout.strategies.base import Bindable, Choice, Context, Draw, Setting, Strategy
from turnout.types.deployment import Candidate

SIGNAL = "intent"
NONE = "none"
MAX_FALLBACKS = 9


class Pick(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an intent picks."""

    models: tuple[str, ...] = ()
    """Deployment or model ids, first choice first; empty = all of the route's."""
    use: Strategy | None = None
    """Chooses among them; none = the first that answers."""

    def __post_init__(self) -> None:
        if not self.models and self.use is None:
            raise ValueError(": name models: or use:, or both")

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Choose among the candidates it names, at least one."""
        if self.use is not None:
            return self.use.choose(context, candidates, draw)
        return _in_order(context, candidates)

    def among(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return the candidates it names, in its order."""
        if not self.models:
            return candidates
        found: dict[str, Candidate] = {}
        for name in self.models:
            for candidate in candidates:
                if name in (candidate.id, candidate.deployment.model.id):
                    found.setdefault(candidate.id, candidate)
        return tuple(found.values())

    def bind(self, path: str, setting: Setting) -> "Pick":
        """Return the pick made ready for its pool. Raises `ConfigError`."""
        known = dict.fromkeys(name for d in setting.pool for name in (d.id, d.model.id))
        problems = [
            f"{path}.models[{at}]: {name!r} is not in the route's models{did_you_mean(name, known)}"
            for at, name in enumerate(self.models)
            if name not in known
        ]
        if problems:
            raise ConfigError(tuple(problems))
        use: object = self.use
        if not isinstance(use, Bindable):
            return self
        pool = tuple(d for d in setting.pool if not self.models or {d.id, d.model.id} & set(self.models))
        try:
            use = use.bind(msgspec.structs.replace(setting, pool=pool))
        except ConfigError as error:
            raise ConfigError(tuple(f"{path}.use.{line}" for line in error.problems)) from None
        return msgspec.structs.replace(self, use=use)


class ByIntent(Struct, frozen=True, tag="intent", kw_only=True, forbid_unknown_fields=True):
    """Routes by what the user wants."""

    artifact: str
    """File written by `turnout fit intent`; its card lies beside it."""
    intents: dict[str, Pick]
    """Label -> what it picks."""
    otherwise: Pick | None = None
    """What every other request gets; none = the route's models as declared."""

    def __post_init__(self) -> None:
        if not self.intents:
            raise ValueError("intents: name at least one")
        if NONE in self.intents:
            raise ValueError(f"intents.{NONE}: requests without an intent get otherwise:")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "intent"

    @property
    def needs(self) -> frozenset[str]:
        """The intent, and the signals of the strategies it picks."""
        return frozenset({SIGNAL}).union(*(pick.use.needs for pick in self._picks() if pick.use is not None))

    def _picks(self) -> Iterable[Pick]:
        return (*self.intents.values(), *(() if self.otherwise is None else (self.otherwise,)))

    def bind(self, setting: Setting) -> "ByIntent":
        """Open the artifact, refuse labels and models that there are not, make strategies ready.

        Raises:
            ConfigError: The artifact cannot be used, or an entry does not fit it or the route.
        """
        if setting.files is None:
            raise ConfigError(("artifact: no file can be opened here",))
        labels = setting.files.intents(self.artifact)
        problems = [
            f"intents.{label}: not an intent of {self.artifact}{did_you_mean(label, labels)}"
            for label in self.intents
            if label not in labels
        ]
        intents: dict[str, Pick] = {}
        for label, pick in self.intents.items():
            try:
                intents[label] = pick.bind(f"intents.{label}", setting)
            except ConfigError as error:
                problems.extend(error.problems)
        otherwise = self.otherwise
        try:
            otherwise = otherwise and otherwise.bind("otherwise", setting)
        except ConfigError as error:
            problems.extend(error.problems)
        if problems:
            raise ConfigError(tuple(problems))
        return msgspec.structs.replace(self, intents=intents, otherwise=otherwise)

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return what the request's intent picks."""
        found = context.signals.get(SIGNAL)
        label = found.value if found is not None and isinstance(found.value, str) else NONE
        pick = self.intents.get(label)
        if pick is not None:
            named = pick.among(candidates)
            if named:
                choice = pick.choose(context, named, draw)
                return msgspec.structs.replace(choice, reason="rule_matched", rule=label)
        if self.otherwise is None:
            return _in_order(context, candidates)
        named = self.otherwise.among(candidates)
        return self.otherwise.choose(context, named or candidates, draw)


def _in_order(context: Context, candidates: Sequence[Candidate]) -> Choice:
    n = 1 + MAX_FALLBACKS if context.ask.prefer.allow_fallbacks else 1
    nodes = tuple(plans.Try(candidate.id) for candidate in candidates[:n])
    plan = nodes[0] if len(nodes) == 1 else plans.Sequence(nodes)
    return Choice(plan=plan, reason="default_abstain", propensity=1.0)
