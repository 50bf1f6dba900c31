"""Extension points: from a group and a name to an object. Floor 1.

Theory of operation.

1. A *group* is an entry-point group (`turnout.codecs`, …); inside it a *name* stands for one object:
   a class, an instance or a factory, whatever the group's protocol asks for.
2. Three sources, first match wins: what was registered by call, what Turnout brings (`BUILTINS`), what
   installed distributions offer as entry points. An installed package can therefore add a name, never
   silently replace one.
3. Nothing is imported before it is asked for: a source holds either the object or its address, `module` or
   `module:attribute`. Installed distributions are searched only for a name that the first two lack.
4. Whatever goes wrong is one `ConfigError` of one line that names the group, the name and, for a
   third-party plug-in, the distribution that brought it.
"""

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from turnout.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILTINS: Final[Mapping[str, Mapping[str, str]]] = {
    "turnout.codecs": {
        "ollama": "turnout.codecs.ollama:Ollama",
        "openai_chat": "turnout.codecs.openai_chat:OpenAIChat",
        "openai_responses": "turnout.codecs.openai_responses:OpenAIResponses",
        "anthropic": "turnout.codecs.anthropic:Anthropic",
        "bedrock": "turnout.codecs.bedrock:Bedrock",
        "cohere": "turnout.codecs.cohere:Cohere",
        "gemini": "turnout.codecs.gemini:Gemini",
        "prompt": "turnout.codecs.prompt:Prompt",
    },
    "turnout.dialects": {
        "ollama": "turnout.codecs.ollama:OllamaDialect",
        "ollama_generate": "turnout.codecs.ollama:OllamaGenerateDialect",
        "openai_chat": "turnout.codecs.openai_chat:OpenAIChatDialect",
        "openai_completions": "turnout.codecs.openai_chat:OpenAICompletionsDialect",
        "openai_responses": "turnout.codecs.openai_responses:OpenAIResponsesDialect",
        "anthropic": "turnout.codecs.anthropic:AnthropicDialect",
        "bedrock": "turnout.codecs.bedrock:BedrockDialect",
        "cohere": "turnout.codecs.cohere:CohereDialect",
        "gemini": "turnout.codecs.gemini:GeminiDialect",
    },
    "turnout.strategies": {
        "background": "turnout.strategies.presets.background:InBackground",
        "balanced": "turnout.strategies.presets.choosing:Balanced",
        "benchmarks": "turnout.strategies.presets.choosing:ByBenchmarks",
        "best": "turnout.strategies.presets.choosing:BestQuality",
        "cascade": "turnout.strategies.presets.combining:CheapFirst",
        "cheapest": "turnout.strategies.presets.choosing:Cheapest",
        "complexity": "turnout.strategies.presets.tiers:ByComplexity",
        "consensus": "turnout.strategies.presets.combining:Consensus",
        "fastest": "turnout.strategies.presets.choosing:Fastest",
        "hedge": "turnout.strategies.presets.combining:HedgeFastest",
        "intent": "turnout.strategies.intent:ByIntent",
        "learned": "turnout.strategies.presets.learned:ByLearned",
        "least_busy": "turnout.strategies.presets.balancing:LeastLoaded",
        "pipeline": "turnout.strategies.pipeline:Pipeline",
        "priority": "turnout.strategies.priority:Priority",
        "round_robin": "turnout.strategies.presets.balancing:Rotating",
        "schedule": "turnout.strategies.presets.schedule:Schedule",
        "slo_tiers": "turnout.strategies.presets.tiers:SloTiers",
        "threshold": "turnout.strategies.presets.tiers:Threshold",
        "two_choices": "turnout.strategies.presets.balancing:PowerOfTwo",
        "rules": "turnout.strategies.rules:Rules",
        "weighted": "turnout.strategies.weighted:Weighted",
    },
    "turnout.filters": {
        "allowed": "turnout.strategies.filters:Allowed",
        "capable": "turnout.strategies.filters:Capable",
        "fits": "turnout.strategies.filters:Fits",
        "healthy": "turnout.strategies.filters:Healthy",
        "priced": "turnout.strategies.filters:Priced",
    },
    "turnout.scorers": {
        "benchmarks": "turnout.strategies.scorers.benchmarks:Benchmarks",
        "complexity": "turnout.strategies.scorers.complexity:Complexity",
        "constant": "turnout.strategies.scorers.rank:Constant",
        "cost": "turnout.strategies.scorers.cost:Cost",
        "latency": "turnout.strategies.scorers.latency:Latency",
        "learned": "turnout.strategies.scorers.learned:Learned",
        "load": "turnout.strategies.scorers.load:Load",
        "quality": "turnout.strategies.scorers.quality:Quality",
        "rank": "turnout.strategies.scorers.rank:Rank",
        "throughput": "turnout.strategies.scorers.throughput:Throughput",
    },
    "turnout.orders": {
        "best": "turnout.strategies.orders.best:Best",
        "least_busy": "turnout.strategies.orders.balance:LeastBusy",
        "round_robin": "turnout.strategies.orders.balance:RoundRobin",
        "tiers": "turnout.strategies.orders.tiers:Tiers",
        "two_choices": "turnout.strategies.orders.balance:TwoChoices",
        "weighted": "turnout.strategies.orders.draw:WeightedDraw",
    },
    "turnout.shapes": {
        "cascade": "turnout.strategies.shapes.cascade:Stepped",
        "fanout": "turnout.strategies.shapes.race:Fan",
        "hedge": "turnout.strategies.shapes.race:Hedged",
        "sequence": "turnout.strategies.shapes.fallback:Chain",
        "single": "turnout.strategies.shapes.fallback:Single",
    },
    "turnout.modifiers": {
        "background": "turnout.strategies.modifiers:Background",
        "paced": "turnout.strategies.modifiers:Paced",
        "sticky": "turnout.strategies.modifiers:Sticky",
    },
    "turnout.signals": {
        "canonical": "turnout.signals.canonical:CANONICAL",
        "complexity": "turnout.signals.complexity:COMPLEXITY",
        "embed.blend": "turnout.signals.embed:EMBED_BLEND",
        "embed.hash": "turnout.signals.embed:EMBED_HASH",
        "embed.minilm": "turnout.signals.embed:EMBED_MINILM",
        "embed.static": "turnout.signals.embed:EMBED_STATIC",
        "guard.flagged": "turnout.signals.guard:FLAGGED",
        "guard.found": "turnout.signals.guard:FOUND",
        "guard.http": "turnout.signals.guard:HTTP",
        "guard.injection": "turnout.signals.guard:INJECTION",
        "guard.judge": "turnout.signals.guard:JUDGE",
        "guard.links": "turnout.signals.guard:LINKS",
        "guard.moderation": "turnout.signals.guard:MODERATION",
        "guard.named": "turnout.signals.guard:NAMED",
        "guard.pii": "turnout.signals.guard:PII",
        "guard.presidio": "turnout.signals.guard:PRESIDIO",
        "guard.secrets": "turnout.signals.guard:SECRETS",
        "guard.words": "turnout.signals.guard:WORDS",
        "has.code": "turnout.signals.flags:HAS_CODE",
        "has.images": "turnout.signals.flags:HAS_IMAGES",
        "has.math": "turnout.signals.flags:HAS_MATH",
        "has.tools": "turnout.signals.flags:HAS_TOOLS",
        "lang": "turnout.signals.language:LANG",
        "lexical": "turnout.signals.lexical:LEXICAL",
        "load": "turnout.signals.load:LOAD",
        "script": "turnout.signals.language:SCRIPT",
        "session": "turnout.signals.session:SESSION",
        "surface": "turnout.signals.surface:SURFACE",
        "time": "turnout.signals.time:TIME",
        "tokens.exact": "turnout.signals.tokens.exact:TOKENS_EXACT",
        "tokens.in": "turnout.signals.tokens:TOKENS_IN",
        "tokens.out_hat": "turnout.signals.tokens:TOKENS_OUT_HAT",
        "trajectory": "turnout.signals.trajectory:TRAJECTORY",
        "wants.json": "turnout.signals.flags:WANTS_JSON",
    },
    "turnout.trainers": {
        "head": "turnout.learn.head:ClassifierHead",
        "kmeans": "turnout.learn.kmeans:KMeans",
        "knn": "turnout.learn.knn:Knn",
        "mf": "turnout.learn.mf:MatrixFactorisation",
        "pooled": "turnout.learn.pooled_fit:PooledLogistic",
        "sw_bt": "turnout.learn.sw_bt:SimilarBattles",
    },
    "turnout.quality_models": {
        "head": "turnout.learn.head:Head",
        "kmeans": "turnout.learn.kmeans:CellMeans",
        "knn": "turnout.learn.knn:NearestPrompts",
        "mf": "turnout.learn.mf:Factors",
        "pooled": "turnout.learn.pooled:Pooled",
        "sw_bt": "turnout.learn.sw_bt:Battles",
    },
    "turnout.encoders": {
        "blend": "turnout.learn.encoders.blend:load",
        "hash": "turnout.learn.encoders.hashed:load",
        "minilm": "turnout.learn.encoders.minilm:load",
        "static": "turnout.learn.encoders.static:load",
    },
    "turnout.guards": {
        "canary": "turnout.guards.canary:Canary",
        "grounding": "turnout.guards.grounding:Grounding",
        "http": "turnout.guards.remote:Remote",
        "injection": "turnout.guards.injection:Injection",
        "judge": "turnout.guards.judge:Judge",
        "links": "turnout.guards.links:Links",
        "moderation": "turnout.guards.remote:Moderation",
        "pii": "turnout.guards.pii:Pii",
        "presidio": "turnout.guards.presidio:Presidio",
        "schema": "turnout.guards.schema:Schema",
        "secrets": "turnout.guards.secrets:Secrets",
        "words": "turnout.guards.words:Words",
    },
    "turnout.layers": {},
    "turnout.stores": {},
    "turnout.reducers": {
        "majority": "turnout.strategies.reduce:Majority",
        "best_of": "turnout.strategies.reduce:BestOf",
        "synthesise": "turnout.strategies.reduce:Synthesise",
    },
    "turnout.acceptors": {
        "finish": "turnout.strategies.accept:Finish",
        "regex": "turnout.strategies.accept:Regex",
        "length": "turnout.strategies.accept:Length",
        "json_schema": "turnout.strategies.accept:JsonSchema",
        "tool_args": "turnout.strategies.accept:ToolArgs",
        "logprob": "turnout.strategies.accept:Logprob",
        "self_report": "turnout.strategies.accept:SelfReport",
        "judge": "turnout.strategies.accept:Judge",
        "agreement": "turnout.strategies.accept:Agreement",
        "combine": "turnout.strategies.accept:Combine",
        "worth": "turnout.strategies.accept:Worth",
    },
}
"""Group -> name -> address of what Turnout itself brings. A new built-in is one line here.

A codec is a package with a `CODEC` and a `DIALECT`; everywhere else the object is the thing itself.
"""

GROUPS: Final = tuple(BUILTINS)
_ADDRESS: Final = re.compile(r"[\w.]+(:[\w.]+)?")


class Registry:
    """Names of one process. The module's functions share one; tests make their own."""

    __slots__ = ("_builtins", "_found", "_loaded", "_registered")

    def __init__(self, builtins: Mapping[str, Mapping[str, str]] = BUILTINS) -> None:
        self._builtins = builtins
        self._registered: dict[tuple[str, str], object] = {}
        self._loaded: dict[tuple[str, str], object] = {}
        self._found: dict[str, Mapping[str, tuple[EntryPoint, ...]]] = {}

    def register(self, group: str, name: str, target: object) -> None:
        """Give an object a name. `target` is the object, or its address (`module:attribute`), imported later.

        Raises:
            ConfigError: The group is unknown, the name is taken, or the address is malformed.
        """
        self._check_group(group)
        if (group, name) in self._registered or name in self._builtins[group]:
            raise ConfigError((f"{group}: {name!r} is already registered; choose another name",))
        if isinstance(target, str) and not _ADDRESS.fullmatch(target):
            raise ConfigError((f"{group}: {name!r} is registered as {target!r}; expected module:attribute",))
        self._registered[group, name] = target

    def load(self, group: str, name: str) -> object:
        """Return the object with this name, importing it the first time.

        Raises:
            ConfigError: The group or name is unknown, or what it stands for cannot be imported.
        """
        key = (group, name)
        if key not in self._loaded:
            self._check_group(group)
            self._loaded[key] = self._resolve(group, name)
        return self._loaded[key]

    def names(self, group: str) -> tuple[str, ...]:
        """Return every name of a group, sorted, without importing what they stand for."""
        self._check_group(group)
        registered = {name for where, name in self._registered if where == group}
        return tuple(sorted(registered | set(self._builtins[group]) | set(self._installed(group))))

    def _check_group(self, group: str) -> None:
        if group not in self._builtins:
            raise ConfigError((f"no extension point {group!r}{did_you_mean(group, self._builtins)}",))

    def _resolve(self, group: str, name: str) -> object:
        target = self._registered.get((group, name), self._builtins[group].get(name))
        if target is None:
            return _load_installed(group, name, self._installed(group).get(name, ()), self.names(group))
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        try:
            return _attribute(module, attribute)
        except Exception as error:
            raise ConfigError((f"{group}: {name!r} cannot be loaded: {_reason(error)}",)) from error

    def _installed(self, group: str) -> Mapping[str, tuple["EntryPoint", ...]]:
        if group not in self._found:
            # Imported here: it costs more than all else in this file, and most processes never need it.
            from importlib.metadata import entry_points  # noqa: PLC0415

            found: dict[str, tuple[EntryPoint, ...]] = {}
            for point in entry_points(group=group):
                found[point.name] = (*found.get(point.name, ()), point)
            self._found[group] = found
        return self._found[group]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?` for the known word that is closest, or "" when none is close."""
    from difflib import get_close_matches  # noqa: PLC0415 (only errors need it)

    near = get_close_matches(word[:200], list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


_REGISTRY = Registry()
register = _REGISTRY.register
load = _REGISTRY.load
names = _REGISTRY.names


def _load_installed(
    group: str, name: str, points: tuple["EntryPoint", ...], known: tuple[str, ...]
) -> object:
    if not points:
        hint = did_you_mean(name, known) or (f"; known: {', '.join(known)}" if known else "")
        raise ConfigError((f"{group}: no {name!r}{hint}",))
    if len(points) > 1:
        owners = " and ".join(sorted(_distribution(point) for point in points))
        raise ConfigError((f"{group}: {name!r} is offered by {owners}; uninstall all but one",))
    try:
        return points[0].load()
    except Exception as error:
        owner = _distribution(points[0])
        raise ConfigError((f"{group}: {name!r} of {owner} cannot be loaded: {_reason(error)}",)) from error


def _distribution(point: "EntryPoint") -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed distribution"


def _attribute(module: str, attribute: str) -> object:
    found: object = import_module(module)
    for part in attribute.split(".") if attribute else ():
        found = getattr(found, part)
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the module {error.name}, which is not installed"
    return f"{type(error).__name__}: {error}".replace("\n", " ")
