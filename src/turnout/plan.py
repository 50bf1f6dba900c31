"""What to do with a request, as an immutable tree. Floor 0.

A strategy returns a Plan; the executor interprets it against real upstreams, the simulator against
recorded outcomes. The set of nodes is closed; they nest freely.
"""

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from typing import Literal, Protocol, assert_never, runtime_checkable

from msgspec import Struct

from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.json import Json


class Verdict(Struct, frozen=True):
    """What an acceptor makes of an answer."""

    accept: bool
    confidence: float | None = None
    reason: str = ""


class Question(Struct, frozen=True):
    """A call that a judge needs made: the executor makes it, measures and bills it."""

    request: ChatRequest
    to: str
    """Deployment id."""


@runtime_checkable
class Accept(Protocol):
    """Decides whether a finished answer is good enough. Pure."""

    @property
    def name(self) -> str:
        """Word for Records and tables."""
        ...

    def ask(self, request: ChatRequest, answer: ChatResponse) -> Question | None:
        """Return the call this acceptor needs, or None."""
        ...

    def verdict(self, request: ChatRequest, answer: ChatResponse, judgement: ChatResponse | None) -> Verdict:
        """Judge `answer`; `judgement` is what the asked call returned, None if there was none."""
        ...


class Reduction(Struct, frozen=True):
    """What a reducer made of several answers."""

    answer: ChatResponse
    winner: int | None = None
    """Index of the answer taken as it is; None = a new one was made."""
    agreement: float | None = None
    reason: str = ""


@runtime_checkable
class Reduce(Protocol):
    """Makes one answer of several. Pure."""

    @property
    def name(self) -> str:
        """Word for Records and tables."""
        ...

    def ask(self, request: ChatRequest, answers: Seq[ChatResponse]) -> Question | None:
        """Return the call this reducer needs, or None."""
        ...

    def reduce(
        self, request: ChatRequest, answers: Seq[ChatResponse], judgement: ChatResponse | None
    ) -> Reduction:
        """Combine `answers` (at least one; failures are left out), in the plan's order."""
        ...

    def decided(self, request: ChatRequest, answers: Seq[ChatResponse], n_left: int) -> bool:
        """Tell whether the `n_left` answers still running cannot change the result."""
        ...


class Try(Struct, frozen=True, tag="try"):
    """Ask one deployment."""

    deployment: str


class Sequence(Struct, frozen=True, tag="sequence"):
    """Ask in order; the next one only when the one before *failed*."""

    nodes: tuple["Plan", ...]


class Cascade(Struct, frozen=True, tag="cascade"):
    """Ask in order; the next one when the answer of the one before is *rejected* (or it failed).

    Non-final steps are collected; the final step streams and is not judged.
    """

    nodes: tuple["Plan", ...]
    accept: Accept


class Hedge(Struct, frozen=True, tag="hedge"):
    """Ask `first`; if it has not committed after `delay_s`, ask `second` too; the first to commit wins."""

    first: "Plan"
    second: "Plan"
    delay_s: float


class Fanout(Struct, frozen=True, tag="fanout"):
    """Ask all at once and reduce what they answer to one."""

    nodes: tuple["Plan", ...]
    reduce: Reduce


Plan = Try | Sequence | Cascade | Hedge | Fanout


def walk(plan: Plan) -> Iterator[Plan]:
    """Yield the node and everything below it, depth first, in plan order."""
    yield plan
    for child in children(plan):
        yield from walk(child)


def children(plan: Plan) -> tuple[Plan, ...]:
    """Return the nodes directly below, in plan order."""
    match plan:
        case Try():
            return ()
        case Sequence() | Cascade() | Fanout():
            return plan.nodes
        case Hedge():
            return (plan.first, plan.second)
        case _:
            assert_never(plan)


def deployments(plan: Plan) -> tuple[str, ...]:
    """Return the deployment ids a plan names, each once, in the order of first mention."""
    if isinstance(plan, Try):
        return (plan.deployment,)
    if isinstance(plan, Sequence):
        named = [node.deployment for node in plan.nodes if isinstance(node, Try)]
        if len(named) == len(plan.nodes):  # as nearly all plans
            return tuple(dict.fromkeys(named))
    found: dict[str, None] = {}
    nodes = list(children(plan))  # a stack, as generators that call each other cost more than all the rest
    nodes.reverse()
    while nodes:
        node = nodes.pop()
        if isinstance(node, Try):
            found[node.deployment] = None
        else:
            nodes += reversed(children(node))
    return tuple(found)


def kind(plan: Plan) -> Literal["single", "sequence", "cascade", "hedge", "fanout"]:
    """Return the word for the root node, as Records show it."""
    match plan:
        case Try():
            return "single"
        case Sequence():
            return "sequence" if len(plan.nodes) > 1 else "single"
        case Cascade():
            return "cascade"
        case Hedge():
            return "hedge"
        case Fanout():
            return "fanout"
        case _:
            assert_never(plan)


def to_json(plan: Plan) -> Json:
    """Write a plan as the tree that Records, `/v1/explain` and the dashboard show."""
    match plan:
        case Try():
            return {"try": plan.deployment}
        case Sequence():
            return {
                "sequence": [
                    {"try": node.deployment} if isinstance(node, Try) else to_json(node)
                    for node in plan.nodes
                ]
            }
        case Cascade():
            return {"cascade": [to_json(node) for node in plan.nodes], "accept": plan.accept.name}
        case Hedge():
            return {"hedge": [to_json(plan.first), to_json(plan.second)], "delay_s": plan.delay_s}
        case Fanout():
            return {"fanout": [to_json(node) for node in plan.nodes], "reduce": plan.reduce.name}
        case _:
            assert_never(plan)
