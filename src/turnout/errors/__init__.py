"""The closed exception tree of Turnout: one file for whose fault a failure is. Floor 0.

Every failure a caller can meet is one class here; each carries one `Row` of the
taxonomy in docs/design/WIRE.md section 9.2. The word of a class is the same in
error bodies, headers, logs, metric labels and Records; adding one is a breaking
change.
"""

from turnout.errors.base import (
    CallerError,
    ConfigError,
    Domain,
    Fallback,
    GatewayError,
    PolicyError,
    ProviderError,
    Retry,
    Row,
    TurnoutError,
    Upstream,
)
from turnout.errors.caller import (
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    InvalidMedia,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    PreconditionFailed,
    ProviderRejected,
    RequestTooLarge,
    Unauthenticated,
    UnsupportedParameter,
)
from turnout.errors.gateway import (
    AllAttemptsFailed,
    CapacityExhausted,
    GatewayOverloaded,
    Internal,
    LoopDetected,
    StoreUnavailable,
    TimeoutTotal,
)
from turnout.errors.policy import (
    BudgetExceeded,
    Forbidden,
    GuardBlocked,
    NoEligibleModel,
    PriceUnknown,
    QuotaExceeded,
    RateLimited,
)
from turnout.errors.provider import (
    InvalidModelOutput,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderUnreachable,
    StreamInterrupted,
    TimeoutConnect,
    TimeoutIdle,
    TimeoutTtft,
)

__all__ = [
    "TAXONOMY",
    "AllAttemptsFailed",
    "BudgetExceeded",
    "CallerError",
    "CapacityExhausted",
    "ConfigError",
    "Conflict",
    "ContentFiltered",
    "ContextLengthExceeded",
    "Domain",
    "Fallback",
    "Forbidden",
    "GatewayError",
    "GatewayOverloaded",
    "GuardBlocked",
    "Internal",
    "InvalidMedia",
    "InvalidModelOutput",
    "InvalidRequest",
    "LoopDetected",
    "ModelNotFound",
    "NoEligibleModel",
    "NotFound",
    "PolicyError",
    "PreconditionFailed",
    "PriceUnknown",
    "ProviderAuth",
    "ProviderBadResponse",
    "ProviderError",
    "ProviderFailed",
    "ProviderModelUnavailable",
    "ProviderOverloaded",
    "ProviderQuotaExhausted",
    "ProviderRateLimited",
    "ProviderRejected",
    "ProviderUnreachable",
    "QuotaExceeded",
    "RateLimited",
    "RequestTooLarge",
    "Retry",
    "Row",
    "StoreUnavailable",
    "StreamInterrupted",
    "TimeoutConnect",
    "TimeoutIdle",
    "TimeoutTotal",
    "TimeoutTtft",
    "TurnoutError",
    "Unauthenticated",
    "UnsupportedParameter",
    "Upstream",
]


def _leaves(cls: type[TurnoutError]) -> list[type[TurnoutError]]:
    below = [leaf for child in cls.__subclasses__() for leaf in _leaves(child)]
    return below or [cls]


TAXONOMY: dict[str, type[TurnoutError]] = {cls.row.word: cls for cls in _leaves(TurnoutError)}
"""Every class by its word; the closed set."""

for _each in (ConfigError, TurnoutError, *TurnoutError.__subclasses__(), *TAXONOMY.values()):
    _each.__module__ = __name__  # tracebacks and pickles name what is imported, not a file
