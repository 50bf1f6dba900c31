"""One request's guards, asked in order: what they find, and what follows from it. Floor 4.

Theory of operation.

1. The posts are asked one after another over all texts of a stage. The first that blocks ends the round;
   those behind it are recorded as `skipped`. A post sees a text as the ones before it left it.
2. Findings of pure guards are remembered by a keyed digest of the text: an agent sends its whole history
   again with every turn. Places are remembered, never text. Bounded.
3. Long texts are checked in pieces, and between two pieces other requests have their turn.
4. A guard that asks a model or an address may fail. `on_failure` says what that means; both are recorded.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from turnout.engine.exchange import Call, CallHandler, Clock, Exchange
from turnout.engine.facts import with_facts
from turnout.errors import GuardBlocked, TurnoutError
from turnout.guards.base import (
    Action,
    Asking,
    Calling,
    Context,
    Finding,
    Formed,
    Mode,
    OfAnswer,
    Post,
    Source,
    apart,
    moved,
    pieces,
)
from turnout.guards.vault import Vault
from turnout.strategies.accept.schema import schema_faults
from turnout.types.ask import Findings
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.json import Json
from turnout.types.record import GuardView

REMEMBERED: Final = 4_096
RANK: Final[dict[Action, int]] = {
    "pass": 0,
    "monitor": 1,
    "failed_open": 2,
    "flag": 3,
    "redact": 4,
    "block": 5,
    "failed_closed": 5,
    "skipped": 0,
}
Seen = Literal["in", "out", "stream"]
Send = Callable[[Post, HttpRequest], Awaitable[HttpResponse]]
"""Carries a guard's call to its address, with its credential."""


class Memo:
    """Findings by digest of the text, of one process."""

    __slots__ = ("_found", "_key")

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Finding, ...]] = {}
        self._key = secrets.token_bytes(32)

    def key(self, post: Post, text: str, context: Context) -> bytes:
        """Return the digest of a question."""
        person = f"{post.name}\0{context.stage}\0{context.source}\0".encode()
        digest = hashlib.blake2b(person, key=self._key, digest_size=16)
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, key: bytes) -> tuple[Finding, ...] | None:
        """Return what was found, and note the use."""
        found = self._found.pop(key, None)
        if found is not None:
            self._found[key] = found
        return found

    def put(self, key: bytes, found: tuple[Finding, ...]) -> None:
        """Remember; the one used least recently goes where there is no room."""
        self._found[key] = found
        if len(self._found) > REMEMBERED:
            self._found.pop(next(iter(self._found)))


class Means(msgspec.Struct, frozen=True):
    """What asking takes."""

    clock: Clock
    call: CallHandler
    """The attempt ring: calls to models are measured, priced and recorded as any."""
    deployments: Mapping[str, Deployment]
    send: Send
    memo: Memo


class Tally:
    """What one post did at one stage."""

    __slots__ = ("action", "duration_s", "found", "post", "score", "stage")

    def __init__(self, post: Post, stage: Seen) -> None:
        self.post = post
        self.stage = stage
        self.action: Action = "pass"
        self.found: dict[str, int] = {}
        self.duration_s = 0.0
        self.score: float | None = 0.0
        """Of its surest finding; None = it could not be asked."""

    def note(self, findings: Iterable[Finding], action: Action) -> None:
        """Count findings and keep the gravest action."""
        for each in findings:
            self.found[each.kind] = self.found.get(each.kind, 0) + 1
            if self.score is not None:
                self.score = max(self.score, each.score)
        if RANK[action] > RANK[self.action]:
            self.action = action

    def view(self) -> GuardView:
        """Return what is recorded."""
        return GuardView(
            name=self.post.name,
            type=self.post.guard.name,
            stage=self.stage,
            action=self.action,
            found=self.found,
            duration_s=self.duration_s,
        )


class Blocked(GuardBlocked):
    """A guard refused; told apart from one that a call inside raised."""


class Round:
    """The guards of one request."""

    __slots__ = ("_exchange", "_means", "_tallies", "flagged", "posts", "vault")

    def __init__(self, posts: tuple[Post, ...], exchange: Exchange, means: Means) -> None:
        self.posts = posts
        self._exchange = exchange
        self._means = means
        self.vault = Vault()
        self.flagged = False
        self._tallies: list[Tally] = []

    def findings(self) -> Findings:
        """Return what was found in the request so far."""
        types: dict[str, float] = {}
        names: dict[str, float] = {}
        kinds: dict[str, int] = {}
        for tally in self._tallies:
            if tally.stage != "in" or tally.score is None:
                continue
            name = tally.post.guard.name
            types[name] = max(types.get(name, 0.0), tally.score)
            names[tally.post.name] = tally.score
            for kind, n in tally.found.items():
                kinds[kind] = max(kinds.get(kind, 0), n)  # two guards may find the same
        return Findings(types, names, kinds, self.flagged)

    async def check(
        self,
        items: Sequence[tuple[Source, str]],
        context: Context,
        *,
        reversible: bool,
        answers: Sequence[str] = (),
    ) -> dict[tuple[Source, str], str]:
        """Ask every post about every text of a stage; return the texts that changed.

        `answers`: what each choice says as a whole. Raises `GuardBlocked`.
        """
        now = {item: item[1] for item in items}
        said: list[tuple[Source, str]] = [("answer", text) for text in answers]
        posts = [post for post in self.posts if context.stage in post.stages]
        for at, post in enumerate(posts):
            tally = Tally(post, context.stage)
            self._tallies.append(tally)
            began_s = self._means.clock()
            blocked: Blocked | None = None
            try:
                for item in said if isinstance(post.guard, OfAnswer) else items:
                    about = msgspec.structs.replace(context, source=item[0])
                    if post.hears(about):
                        text = now.get(item, item[1])
                        now[item] = await self._one(post, text, about, tally, reversible=reversible)
            except Blocked as error:
                blocked = error
            tally.duration_s = self._means.clock() - began_s
            self._exchange.guards.append(tally.view())
            if blocked is not None:
                self._exchange.guards += [skipped(left, context.stage) for left in posts[at + 1 :]]
                raise blocked
        return {item: now[item] for item in items if now[item] != item[1]}

    async def _one(self, post: Post, text: str, about: Context, tally: Tally, *, reversible: bool) -> str:
        try:
            found = await self.find(post, text, about)
        except (TurnoutError, ValueError, msgspec.MsgspecError):
            return self._failed(post, text, tally)
        if not found:
            return text
        return self.act(post, text, found, tally, reversible=reversible)

    def _failed(self, post: Post, text: str, tally: Tally) -> str:
        self._exchange.warnings.append("guard_failed")
        tally.score = None
        if post.on_failure == "open":
            tally.note((), "failed_open")
            return text
        tally.note((), "failed_closed")
        raise Blocked(f"the guard {post.name} could not be asked, and is set to refuse then")

    def act(self, post: Post, text: str, found: Sequence[Finding], tally: Tally, *, reversible: bool) -> str:
        """Do what the post's mode says about findings; return the text as it goes on."""
        tally.note(found, post.mode)
        self._note(post.mode)
        if post.mode == "block":
            kinds = ", ".join(sorted({each.kind for each in found}))
            what = "answer" if tally.stage != "in" else "request"
            raise Blocked(f"the guard {post.name} refused the {what}: {kinds}")
        if post.mode != "redact":
            return text
        out: list[str] = []
        at = 0
        for each in found:
            value = text[each.start : each.end]
            instead = self.vault.hide(each.kind, value) if reversible else f"<{each.kind.upper()}>"
            out += (text[at : each.start], instead)
            at = each.end
        return "".join([*out, text[at:]])

    def _note(self, mode: Mode) -> None:
        if mode == "flag" and not self.flagged:
            self.flagged = True
            self._exchange.warnings.append("guard_flagged")

    async def find(self, post: Post, text: str, about: Context) -> tuple[Finding, ...]:
        """Return what a guard finds. Raises `TurnoutError` or `ValueError` when it cannot be asked."""
        guard = post.guard
        if isinstance(guard, OfAnswer) and not guard.applies(about):
            return ()
        if isinstance(guard, Formed):
            return _misses(guard, text, about)
        if isinstance(guard, Asking):
            return await self._asked(post, guard, text, about)
        if isinstance(guard, Calling):
            response = await self._means.send(post, guard.request(text, about))
            return guard.response(text, response.status, response.body)
        if about.schema is not None or about.system:
            return guard.check(text, about)  # depends on more than the text: not remembered
        memo = self._means.memo
        key = memo.key(post, text, about)
        found = memo.get(key)
        if found is None:
            found = await _in_pieces(post, text, about)
            memo.put(key, found)
        return found

    async def _asked(self, post: Post, guard: Asking, text: str, about: Context) -> tuple[Finding, ...]:
        deployment = self._means.deployments[post.deployment]
        question: ChatRequest = with_facts(guard.ask(text, about))
        call = Call(self._exchange, deployment, question, now=self._means.clock())
        async with self._means.call(call) as reply:
            answer = await reply.response()
        return guard.verdict(text, answer)


def _misses(guard: Formed, text: str, about: Context) -> tuple[Finding, ...]:
    """Return how an answer misses its form. Raises `SchemaUnusable`, a `ValueError`, where nobody can say."""
    schema = guard.form(about)
    try:
        value: Json = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return (Finding(0, len(text), "not_json"),)
    if schema is not None and schema_faults(value, schema):
        return (Finding(0, len(text), "schema_violated"),)
    return ()


async def _in_pieces(post: Post, text: str, about: Context) -> tuple[Finding, ...]:
    guard = post.guard
    found: list[Finding] = []
    for start, piece in pieces(text, guard.hold_back):
        if start:
            await asyncio.sleep(0)
        found += moved(guard.check(piece, about), start)
    return apart(found)


def skipped(post: Post, stage: Seen) -> GuardView:
    """Return the record of a post that was not asked."""
    tally = Tally(post, stage)
    tally.action = "skipped"
    return tally.view()
