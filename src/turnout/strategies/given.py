"""What strategies are given beside a request: pace, rules of the surface, files of what was learned. Floor 2.

Part of the contract in `strategies.base`, which says how it is used.
"""

from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from turnout.types.chat import ChatRequest, ToolResult
from turnout.types.embed import EmbedRequest
from turnout.types.task import TaskRequest
from turnout.types.usage import NanoUsd

if TYPE_CHECKING:  # a gateway without what was learned needs no numpy
    from turnout.learn.artifact import Artifact

OnExpired = Literal["refuse", "warn"]
"""What becomes of an artifact whose time is over."""


class Pace(Struct, frozen=True, kw_only=True):
    """What the budget pacer says at this moment (ROUTING.md 1.5)."""

    lambda_: float
    """Quality per USD."""
    cap_nusd: NanoUsd | None = None
    """Expected cost of one request that keeps the plan; None = no such bound."""


class Surface(Struct, frozen=True, kw_only=True):
    """Rules of a product place. They win over any strategy."""

    name: str
    q_floor: float | None = None
    safety_floor: float | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    eta: float = 0.05
    """Share of requests that may miss the limits above."""
    max_cost_usd: float | None = None
    visibility: Literal["user", "background"] = "user"
    allow: tuple[str, ...] = ()


class Files(Protocol):
    """Files of what was learned, opened when a configuration is loaded."""

    def intents(self, path: str) -> tuple[str, ...]:
        """Return the labels of an intent artifact; the route then has the signal `intent`.

        Raises:
            ConfigError: It cannot be used.
        """
        ...

    def learned(self, path: str, on_expired: OnExpired) -> "Artifact":
        """Return an artifact of predicted quality, checked against what this process reads requests with.

        Raises:
            ConfigError: It cannot be used.
        """
        ...


def in_tool_loop(request: ChatRequest | EmbedRequest | TaskRequest) -> bool:
    """Tell whether the request brings results of tool calls that its model has not answered yet."""
    if not isinstance(request, ChatRequest):
        return False
    if request.facts.n_messages and not request.facts.n_tools:
        return False  # spares the decoding of messages, which is the costly part of a request
    if not request.messages:
        return False
    last = request.messages[-1]
    return last.role == "tool" or any(isinstance(part, ToolResult) for part in last.parts)
