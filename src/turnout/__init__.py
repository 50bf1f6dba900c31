"""Turnout guides each LLM request to the model that should answer it. Floor 7.

This file is the public API: what it does not name is private. `import turnout` loads nothing; a name's
module is imported when the name is first used, so a program pays only for what it touches.

To publish a name: add it to the imports and to `__all__` (what type checkers read) and to `_NAMES_OF` (what
the interpreter reads). tests/test_architecture.py keeps the three and the written list of names together.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnout.client import Answer, AsyncClient, AsyncStream, Vectors
    from turnout.config import Config, ModelConfig, ProviderConfig, RouteConfig, load_config
    from turnout.engine.engine import Engine
    from turnout.errors import (
        AllAttemptsFailed,
        BudgetExceeded,
        CallerError,
        ConfigError,
        ContentFiltered,
        ContextLengthExceeded,
        GatewayError,
        GuardBlocked,
        InvalidRequest,
        ModelNotFound,
        NoEligibleModel,
        PolicyError,
        ProviderError,
        ProviderOverloaded,
        ProviderRateLimited,
        RateLimited,
        StreamInterrupted,
        TimeoutTotal,
        TurnoutError,
        Unauthenticated,
        UnsupportedParameter,
    )
    from turnout.plan import Cascade, Fanout, Hedge, Plan, Sequence, Try
    from turnout.sync import Client, Stream
    from turnout.types.chat import (
        ChatRequest,
        ChatResponse,
        Media,
        Message,
        OutputFormat,
        Reasoning,
        Refusal,
        Text,
        Thinking,
        Tool,
        ToolCall,
        ToolChoice,
        ToolResult,
    )
    from turnout.types.deployment import Candidate, Deployment, Model, Vendor
    from turnout.types.embed import EmbedRequest, EmbedResponse
    from turnout.types.event import Event, Finish, ReasoningDelta, TextDelta, ToolDelta, UsageUpdate
    from turnout.types.recommendation import Constraints, Features, Ranked, Recommendation
    from turnout.types.record import Attempt, Decision, Outcome, Record
    from turnout.types.secret import Secret
    from turnout.types.usage import Price, Usage

__version__ = "0.1.0"

__all__ = [
    "AllAttemptsFailed",
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "BudgetExceeded",
    "CallerError",
    "Candidate",
    "Cascade",
    "ChatRequest",
    "ChatResponse",
    "Client",
    "Config",
    "ConfigError",
    "Constraints",
    "ContentFiltered",
    "ContextLengthExceeded",
    "Decision",
    "Deployment",
    "EmbedRequest",
    "EmbedResponse",
    "Engine",
    "Event",
    "Fanout",
    "Features",
    "Finish",
    "GatewayError",
    "GuardBlocked",
    "Hedge",
    "InvalidRequest",
    "Media",
    "Message",
    "Model",
    "ModelConfig",
    "ModelNotFound",
    "NoEligibleModel",
    "Outcome",
    "OutputFormat",
    "Plan",
    "PolicyError",
    "Price",
    "ProviderConfig",
    "ProviderError",
    "ProviderOverloaded",
    "ProviderRateLimited",
    "Ranked",
    "RateLimited",
    "Reasoning",
    "ReasoningDelta",
    "Recommendation",
    "Record",
    "Refusal",
    "RouteConfig",
    "Secret",
    "Sequence",
    "Stream",
    "StreamInterrupted",
    "Text",
    "TextDelta",
    "Thinking",
    "TimeoutTotal",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolDelta",
    "ToolResult",
    "Try",
    "TurnoutError",
    "Unauthenticated",
    "UnsupportedParameter",
    "Usage",
    "UsageUpdate",
    "Vectors",
    "Vendor",
    "load_config",
]

_NAMES_OF = {
    "turnout.client": ("Answer", "AsyncClient", "AsyncStream", "Vectors"),
    "turnout.config": ("Config", "ModelConfig", "ProviderConfig", "RouteConfig", "load_config"),
    "turnout.engine.engine": ("Engine",),
    "turnout.sync": ("Client", "Stream"),
    "turnout.errors": (
        "AllAttemptsFailed",
        "BudgetExceeded",
        "CallerError",
        "ConfigError",
        "ContentFiltered",
        "ContextLengthExceeded",
        "GatewayError",
        "GuardBlocked",
        "InvalidRequest",
        "ModelNotFound",
        "NoEligibleModel",
        "PolicyError",
        "ProviderError",
        "ProviderOverloaded",
        "ProviderRateLimited",
        "RateLimited",
        "StreamInterrupted",
        "TimeoutTotal",
        "TurnoutError",
        "Unauthenticated",
        "UnsupportedParameter",
    ),
    "turnout.plan": ("Cascade", "Fanout", "Hedge", "Plan", "Sequence", "Try"),
    "turnout.types.chat": (
        "ChatRequest",
        "ChatResponse",
        "Media",
        "Message",
        "OutputFormat",
        "Reasoning",
        "Refusal",
        "Text",
        "Thinking",
        "Tool",
        "ToolCall",
        "ToolChoice",
        "ToolResult",
    ),
    "turnout.types.deployment": ("Candidate", "Deployment", "Model", "Vendor"),
    "turnout.types.embed": ("EmbedRequest", "EmbedResponse"),
    "turnout.types.event": ("Event", "Finish", "ReasoningDelta", "TextDelta", "ToolDelta", "UsageUpdate"),
    "turnout.types.recommendation": ("Constraints", "Features", "Ranked", "Recommendation"),
    "turnout.types.record": ("Attempt", "Decision", "Outcome", "Record"),
    "turnout.types.secret": ("Secret",),
    "turnout.types.usage": ("Price", "Usage"),
}
"""Module -> the public names that live in it."""

_HOME = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'turnout' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return [*__all__, "__version__"]
