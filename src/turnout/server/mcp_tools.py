"""The tools of the gateway's MCP server. Floor 6.

Each stands for something the data plane serves already and goes through the same function: `route` and
`explain` are `/v1/explain`, `recommend` is `/v1/recommend`, `usage` is what a key may know of itself. No tool
sends anything to a model.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from turnout.codecs.base import Dialect
from turnout.engine.books import Books
from turnout.engine.engine import Engine
from turnout.errors import InvalidRequest, NotFound
from turnout.server.explain import explain
from turnout.server.inbound import Inbound
from turnout.server.recommend import Asking, recommend
from turnout.server.views import caller_view
from turnout.stores.base import Journal
from turnout.stores.ledger.base import FOREVER, Fixed
from turnout.stores.sums import Sum, SumQuery, Sums
from turnout.types.ask import Ask
from turnout.types.json import Json, JsonObject
from turnout.types.limits import Budget, Quota
from turnout.types.principal import Principal
from turnout.types.record import Record
from turnout.types.usage import usd

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Tree = Mapping[str, object]
MOST_DAYS: Final = 366


class RouteArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """What `route` takes: either of the two."""

    prompt: str | None = None
    request: Tree | None = None
    model: Name = "auto"


class RecommendArgs(Struct, frozen=True, forbid_unknown_fields=True, rename=None):
    """What `recommend` takes; read again, and strictly, by the endpoint's own reader."""

    prompt: str | None = None
    request: Tree | UnsetType = UNSET
    features: Tree | UnsetType = UNSET
    dialect: Literal["openai", "anthropic", "gemini"] | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    candidates: list[Name] | UnsetType = UNSET
    constraints: Tree | UnsetType = UNSET
    top_k: int | UnsetType = UNSET


class ExplainArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """What `explain` takes: the id of a request that was served, or one to be decided now."""

    request_id: Annotated[str, Meta(max_length=64)] | None = None
    endpoint: str = "chat"
    request: Tree | None = None
    model: Name | UnsetType = UNSET


class UsageArgs(Struct, frozen=True, forbid_unknown_fields=True):
    """What `usage` takes."""

    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = 30


class Asker(Struct, frozen=True):
    """Who asks, with which headers, under which id, and from where."""

    inbound: Inbound
    principal: Principal
    request_id: str
    address: str


class McpTool(Struct, frozen=True):
    """One tool, as it is shown."""

    name: str
    title: str
    description: str
    takes: type[Struct]
    input: JsonObject
    output: JsonObject
    endpoint: str
    """The closed word of the endpoint it stands for: who may not use that may not use this."""

    @property
    def shown(self) -> JsonObject:
        """Return it as `tools/list` has it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": {"type": "object", "additionalProperties": False, **self.input},
            "outputSchema": {"type": "object", **self.output},
            "annotations": {"title": self.title, "readOnlyHint": True, "openWorldHint": False},
        }


_TEXT: Final[JsonObject] = {"type": "string"}
_MAYBE_TEXT: Final[JsonObject] = {"type": ["string", "null"]}
_OBJECT: Final[JsonObject] = {"type": "object"}
_COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}
_PROMPT: Final[JsonObject] = {"type": "string", "description": "What a user would say; or give `request`."}
_REQUEST: Final[JsonObject] = {
    "type": "object",
    "description": "The body of a chat request in OpenAI's form, with `messages`.",
}
_MODEL: Final[JsonObject] = {
    "type": "string",
    "description": "As a client would name it: a model, an alias, `turnout/<route>` or `auto` (the default).",
}
_CANDIDATE: Final[JsonObject] = {
    "type": "object",
    "properties": {"model": _TEXT, "status": _TEXT, "filters": {"type": "array", "items": _OBJECT}},
    "required": ["model", "status"],
}

TOOLS: Final[Mapping[str, McpTool]] = {
    tool.name: tool
    for tool in (
        McpTool(
            "route",
            "Where would this request go?",
            "Says which model would take a request now, why, and why the others would not. Sends nothing.",
            RouteArgs,
            {"properties": {"prompt": _PROMPT, "request": _REQUEST, "model": _MODEL}},
            {
                "properties": {
                    "model": _MAYBE_TEXT,
                    "route": _TEXT,
                    "strategy": _TEXT,
                    "reason": _TEXT,
                    "input_tokens": _COUNT,
                    "candidates": {"type": "array", "items": _CANDIDATE},
                },
                "required": ["model", "route", "strategy", "reason", "input_tokens", "candidates"],
            },
            "explain",
        ),
        McpTool(
            "recommend",
            "Which models suit this?",
            "Ranks models for a request, best first, under constraints of cost, speed and quality.",
            RecommendArgs,
            {
                "properties": {
                    "prompt": _PROMPT,
                    "request": _REQUEST,
                    "features": {
                        "type": "object",
                        "description": "Numbers instead of words: token counts, modalities, tools, language.",
                    },
                    "dialect": {"enum": ["openai", "anthropic", "gemini"]},
                    "model": _MODEL,
                    "candidates": {"type": "array", "items": _TEXT, "maxItems": 100},
                    "constraints": {
                        "type": "object",
                        "description": "max_cost_usd, max_ttft_ms, min_quality, regions.",
                    },
                    "top_k": {"type": "integer", "minimum": 1, "maximum": 1000},
                }
            },
            {
                "properties": {
                    "schema": _TEXT,
                    "ranked": {"type": "array", "items": _OBJECT},
                    "decision": _OBJECT,
                },
                "required": ["ranked", "decision"],
            },
            "recommend",
        ),
        McpTool(
            "explain",
            "Why was it decided like this?",
            "Shows the decision behind a request of this key by its id, or that of a request not sent yet.",
            ExplainArgs,
            {
                "properties": {
                    "request_id": {"type": "string", "description": "An answer's `x-turnout-request-id`."},
                    "endpoint": {"type": "string", "description": "chat (the default), messages …"},
                    "request": _REQUEST,
                    "model": _MODEL,
                }
            },
            {
                "properties": {
                    "decision": {"type": ["object", "null"]},
                    "attempts": {"type": "array", "items": _OBJECT},
                    "outcome": {"type": ["object", "null"]},
                },
                "required": ["decision", "attempts", "outcome"],
            },
            "explain",
        ),
        McpTool(
            "usage",
            "What has this key used?",
            "Tells what the calling key has spent, by model, and where its own budgets and quotas stand.",
            UsageArgs,
            {"properties": {"days": {"type": "integer", "minimum": 1, "maximum": MOST_DAYS, "default": 30}}},
            {
                "properties": {
                    "key": _MAYBE_TEXT,
                    "since": _MAYBE_TEXT,
                    "total": {"type": ["object", "null"]},
                    "by_model": {"type": "array", "items": _OBJECT},
                    "limits": {"type": "array", "items": _OBJECT},
                },
                "required": ["key", "since", "total", "by_model", "limits"],
            },
            "usage",
        ),
    )
}


class McpTools:
    """The tools over one engine.

    Attributes:
        journal: Where earlier requests are found; None = none are kept.
        books: Returns where limits are counted; None = nothing is.
    """

    __slots__ = ("_dialects", "_engine", "books", "journal")

    def __init__(self, engine: Engine, dialects: Mapping[str, Dialect]) -> None:
        self._engine = engine
        self._dialects = dialects
        self.journal: Journal | None = None
        self.books: Callable[[], Books | None] = lambda: None

    def look_into(self, journal: Journal | None, books: Callable[[], Books | None]) -> None:
        """From now on tell of earlier requests, and of where limits stand."""
        self.journal, self.books = journal, books

    async def call(self, given: Struct, asker: Asker) -> JsonObject:
        """Run a tool. Raises `TurnoutError`."""
        match given:
            case RouteArgs():
                return await self._route(given, asker)
            case RecommendArgs():
                return await self._recommend(given, asker)
            case ExplainArgs():
                return await self._explain(given, asker)
            case UsageArgs():
                return await self._usage(given, asker)
            case _:
                raise TypeError(f"{type(given).__name__} belongs to no tool")

    async def _route(self, given: RouteArgs, asker: Asker) -> JsonObject:
        request = {"model": given.model, **_request(given.prompt, given.request)}
        told = await self._decided({"endpoint": "chat", "request": request}, asker)
        candidates, chosen = told["candidates"], told["chosen"]
        assert isinstance(candidates, list)
        assert isinstance(chosen, list)
        names = {each["id"]: each["model"] for each in candidates}
        sizes = told["input"]
        assert isinstance(sizes, dict)
        return {
            "model": names.get(chosen[0]) if chosen else None,
            "route": told["route"],
            "strategy": told["strategy"],
            "reason": told["reason"],
            "input_tokens": sizes.get("n_tokens", 0),
            "candidates": [
                {"model": each["model"], "status": each["status"], "filters": each.get("filters", [])}
                for each in candidates
            ],
        }

    async def _recommend(self, given: RecommendArgs, asker: Asker) -> JsonObject:
        tree = msgspec.to_builtins(given)
        prompt = tree.pop("prompt", None)
        if prompt is not None:
            tree["request"] = _request(prompt, None if given.request is UNSET else tree["request"])
        asking = Asking(asker.inbound, asker.principal, asker.request_id)
        return _tree(await recommend(self._engine, self._dialects, msgspec.json.encode(tree), asking))

    async def _explain(self, given: ExplainArgs, asker: Asker) -> JsonObject:
        if (given.request_id is None) == (given.request is None):
            raise InvalidRequest("give either request_id or request", param="request_id")
        if given.request_id is not None:
            return _past(await self._own(given.request_id, asker.principal), asker.principal)
        tree = msgspec.to_builtins(given)
        tree.pop("request_id")
        return {"decision": await self._decided(tree, asker), "attempts": [], "outcome": None}

    async def _decided(self, tree: Mapping[str, object], asker: Asker) -> JsonObject:
        asked = (asker.inbound, asker.principal, asker.request_id)
        return _tree(await explain(self._engine, self._dialects, msgspec.json.encode(tree), *asked))

    async def _own(self, request_id: str, principal: Principal) -> Record:
        """Return a Record of the caller's own; another's is as unknown as one that never was."""
        record = None if self.journal is None else await self.journal.get(request_id)
        owner = (principal.key_id, principal.organisation)
        if record is None or (record.principal, record.organisation) != owner:
            raise NotFound(f"there is no request {request_id!r} of this key", param="request_id")
        return record

    async def _usage(self, given: UsageArgs, asker: Asker) -> JsonObject:
        principal = asker.principal
        journal: object = self.journal
        limits = await self._standing(principal)
        if not isinstance(journal, Sums):
            return {"key": principal.key_id, "since": None, "total": None, "by_model": [], "limits": limits}
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        since = now - timedelta(days=given.days)
        query = SumQuery(since=since, key=principal.key_id, organisation=principal.organisation)
        whole = await journal.sums(query)
        rows = await journal.sums(msgspec.structs.replace(query, by=("model",)))
        return {
            "key": principal.key_id,
            "since": since.isoformat().replace("+00:00", "Z"),
            "total": _summed(whole[0] if whole else None),
            "by_model": [{"model": each.group[0] or None, **_summed(each)} for each in rows],
            "limits": limits,
        }

    async def _standing(self, principal: Principal) -> list[Json]:
        """Return where the key's own limits stand: those of its team are its team's to know."""
        limits, books = self._engine.snapshot.limits, self.books()
        callers = limits.callers(Ask(request_id="", principal=principal))
        own = [each for each in callers if each[0] == "key"]
        pairs: list[tuple[Budget | Quota, str]] = [*limits.budgets_of(own), *limits.quotas_of(own)]
        if books is None or not pairs:
            return []
        now = books.now()
        takes = [limits.take(each, subject, 0, now) for each, subject in pairs]
        found: list[Json] = []
        for (each, _), take, used in zip(pairs, takes, await books.ledger.used(takes), strict=True):
            ends = take.span.ends if isinstance(take.span, Fixed) and take.span.ends < FOREVER else None
            money = isinstance(each, Budget)
            most = each.limit_nusd if isinstance(each, Budget) else each.limit
            found.append(
                {
                    "id": each.id,
                    "of": "usd" if isinstance(each, Budget) else each.of,
                    "used": usd(used) if money else used,
                    "limit": usd(most) if money else most,
                    "left": usd(max(most - used, 0)) if money else max(most - used, 0),
                    "resets_at": None if ends is None else datetime.fromtimestamp(ends, UTC).isoformat(),
                }
            )
        return found


def _request(prompt: str | None, request: Tree | None) -> Tree:
    if (prompt is None) == (request is None):
        raise InvalidRequest("give either prompt or request", param="prompt")
    return request if request is not None else {"messages": [{"role": "user", "content": prompt}]}


def _tree(text: bytes) -> JsonObject:
    return msgspec.json.decode(text, type=dict[str, Json])


def _past(record: Record, principal: Principal) -> JsonObject:
    decision = record.decision
    attempts = [
        {"n": a.n, "model": a.model, "outcome": a.outcome, "error": a.error, "status": a.status}
        for a in record.attempts
    ]
    outcome: JsonObject = msgspec.to_builtins(record.outcome)
    view = None if decision is None else caller_view(decision, principal)
    return {"decision": view, "attempts": attempts, "outcome": outcome}


def _summed(each: Sum | None) -> dict[str, Json]:
    if each is None:
        return {"requests": 0, "failed": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": "0"}
    return {
        "requests": each.n,
        "failed": each.n_failed,
        "input_tokens": each.n_input,
        "output_tokens": each.n_output,
        "cost_usd": usd(each.cost_nusd),
    }
