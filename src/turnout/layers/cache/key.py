"""What makes two requests the same: one digest over everything an answer depends on. Floor 4.

Theory of operation (SECURITY.md S-70).

1. A key is SHA-256 over a head and a body. The head says whose request it is, what is configured for it, what
   restricts the choice of a model, and in which form an answer is handed out; the body what is asked.
2. The head is one MessagePack value: it ends where it ends, so no text of a body can pass for part of it.
3. The body is the client's own JSON with its members sorted where bytes may pass through untouched, else the
   conversation in nobody's dialect, so that what is asked in two dialects is asked once.
4. Left out is only what no answer depends on: names of users, sessions and tags, time limits, and what is
   said to the cache itself.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from turnout.engine.exchange import Exchange, Request
from turnout.stores.cache.base import Owner
from turnout.types.ask import Findings
from turnout.types.cache import CacheRule, CacheWish, Scope
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.embed import EmbedRequest
from turnout.types.json import Json
from turnout.types.principal import Principal

EDITION: Final = 1
"""Of what is digested: another number makes every key another one."""
IGNORED: Final = frozenset(
    {"user", "metadata", "turnout", "cache", "session_id", "num_retries", "timeout", "tags", "store"}
    | {"prompt_cache_key", "prompt_cache_retention", "safety_identifier"}
)
_HEAD: Final = msgspec.msgpack.Encoder()
_BODY: Final = msgspec.json.Encoder(order="sorted")


def partition(scope: Scope, principal: Principal, end_user: str | None) -> tuple[str, ...]:
    """Return the tenant whose requests share answers: never more than one organisation, and one customer.

    A key that is in no project, team or organisation stands for itself alone.
    """
    organisation, key_id = principal.organisation or "", principal.key_id or ""
    customer = principal.customer or (end_user or "" if principal.names_customers else "")
    within = {"team": principal.team, "project": principal.project}.get(scope)
    if scope != "key" and within:
        return scope, organisation, within, customer
    if scope in ("organisation", "project") and organisation:
        return "organisation", organisation, "", customer
    return "key", organisation, key_id, customer


def owner_of(principal: Principal) -> Owner:
    """Return whose answer one is that this caller has made."""
    return Owner(principal.organisation or "", principal.project or "", principal.key_id or "")


def is_express(exchange: Exchange, *, echo_model: bool) -> bool:
    """Tell whether the upstream's own bytes may be handed out (engine/attempt.py, 2)."""
    ask = exchange.ask
    return (
        ask.wire is not None
        and exchange.request is exchange.original
        and ask.explain == "none"
        and not echo_model
    )


def head_of(
    exchange: Exchange, rule: CacheRule, wish: CacheWish, *, express: bool, semantic: bool = False
) -> bytes:
    """Return what stands before the body."""
    ask, request = exchange.ask, exchange.request
    form: tuple[object, ...] = ()
    if express:
        assert ask.wire is not None
        stream = isinstance(request, ChatRequest) and request.stream
        form = (ask.wire.format, stream, ask.wire.headers)
    scope = rule.semantic_scope if semantic else rule.scope
    # One name may stand for anything: it means the same to one key alone.
    scope = "key" if wish.key is not None else scope
    return _HEAD.encode(
        (
            EDITION,
            semantic,
            partition(scope, ask.principal, ask.end_user),
            wish.namespace,
            ask.endpoint,
            rule.policy,
            request.model,
            ask.prefer,
            ask.principal.allow,
            ask.surface,
            (ask.diverted, _found(ask.findings)),
            form,
        )
    )


def _found(findings: Findings | None) -> tuple[str, ...]:
    """Return which guards found something: a rule may send such a request elsewhere (S-33)."""
    if findings is None:
        return ()
    return tuple(sorted(name for name, score in findings.names.items() if score > 0))


def key_of(salt: bytes, head: bytes, body: bytes) -> bytes:
    """Return the digest. `salt` makes keys of one installation another's nonsense."""
    return sha256(salt + head + body).digest()


def body_of(exchange: Exchange, wish: CacheWish, *, express: bool) -> bytes:
    """Return what is asked."""
    request, wire = exchange.request, exchange.ask.wire
    if express and wish.key is None:
        assert wire is not None
        body = wire.body
        if not IGNORED.isdisjoint(body):
            body = _without(body)
        return _BODY.encode(body)
    if isinstance(request, ChatRequest) and wish.key is not None:
        return _BODY.encode((wish.key, _rest(request)))
    return canonical(request)


def canonical(request: Request) -> bytes:
    """Return a request in nobody's dialect."""
    if isinstance(request, EmbedRequest):
        form = (request.dimensions, request.encoding, request.alone)
        return _BODY.encode((tuple(request.input), form, _without(request.extra)))
    assert isinstance(request, ChatRequest)
    return _BODY.encode((tuple(request.messages), _rest(request)))


def _rest(request: ChatRequest) -> tuple[object, ...]:
    """Return everything but the messages."""
    return (
        tuple(request.tools),
        request.tool_choice,
        request.parallel_tool_calls,
        request.max_tokens,
        (request.temperature, request.top_p, request.top_k),
        request.stop,
        request.seed,
        request.n,
        (request.presence_penalty, request.frequency_penalty, request.logit_bias),
        (request.logprobs, request.top_logprobs),
        request.output_format,
        request.thinking,
        request.wire,
        _without(request.extra),
        _without(request.kept),
    )


def question_of(request: Request) -> tuple[str, bytes] | None:
    """Return the last user's text, and the digest of all the rest; None where it does not end in one.

    Only text counts: a question with a picture beside it is not one that another answers.
    """
    if not isinstance(request, ChatRequest) or not request.messages:
        return None
    *before, last = request.messages
    if last.role != "user" or len(last.parts) != 1 or not isinstance(last.parts[0], Text):
        return None
    blank = Message(last.role, (Text("", last.parts[0].extra),), last.name, last.extra)
    rest = _BODY.encode((tuple(before), blank, _rest(request)))
    return last.parts[0].text, rest


def _without(fields: Mapping[str, Json]) -> Mapping[str, Json]:
    if IGNORED.isdisjoint(fields):
        return fields
    return {name: value for name, value in fields.items() if name not in IGNORED}
