"""What every failure has, and whose fault it can be. Floor 0."""

from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

IR: Final = "invalid_request_error"
SE: Final = "server_error"
QUOTA: Final = "insufficient_quota"
"""Types of OpenAI's format that stand in many rows."""


class Domain(StrEnum):
    """Whose fault a failure is: the one question an operator asks first."""

    CALLER = "caller"
    POLICY = "policy"
    PROVIDER = "provider"
    GATEWAY = "gateway"


class Fallback(StrEnum):
    """Whether the next node of a plan may be tried after a failure of this class."""

    NO = "no"
    YES = "yes"
    OPT_IN = "opt_in"
    """Only where the route asks for it."""
    LARGER_WINDOW = "larger_window"
    """Only on a deployment whose context window is larger than the one that refused."""


class Retry(StrEnum):
    """Whether the same deployment may be asked again after a failure of this class."""

    NO = "no"
    YES = "yes"
    ONCE = "once"
    AFTER_WAIT = "after_wait"
    """After the wait that the provider named, if the deadline allows it."""
    OTHER_KEY = "other_key"
    """Only with another credential of the same provider."""
    CLIENT = "client"
    """Not by Turnout; the client may try again."""


class Row(Struct, frozen=True):
    """One line of the taxonomy: how a class of failure is shown and what may follow it."""

    word: str
    status: int
    openai_type: str
    openai_code: str
    anthropic_type: str
    gemini_status: str
    anthropic_status: int = 0
    """HTTP status on Anthropic's paths where it differs; 0 = the same as `status`."""
    retry: Retry = Retry.NO
    fallback: Fallback = Fallback.NO


class Upstream(Struct, frozen=True, kw_only=True):
    """What an upstream said when it failed: kept as evidence, quoted only where WIRE.md 9.1 allows."""

    status: int = 0
    body: bytes = b""
    """At most 64 KiB; may hold text of the caller, so it never enters a log."""
    wire: str = ""
    """Wire format the body is in, for word-for-word relay to a client of the same dialect."""
    should_retry: bool | None = None
    """The upstream's own `x-should-retry`, if it sent one."""


class TurnoutError(Exception):
    """Base of every failure Turnout raises to a caller.

    Attributes:
        domain: Whose fault it is; fixed per branch of the tree.
        row: The line of the taxonomy; fixed per class.
        message: What was wrong, where, what to do. Never holds a secret or a prompt.
        param: Path of the offending field, if one can be named.
        code: A finer machine word than `row.openai_code`, if one is known.
        retry_after_s: Seconds until another try makes sense; None = unknown.
        upstream: What the provider said, for provider failures.
        attempts: The attempts made: (n, model, class word, status).
    """

    domain: ClassVar[Domain]
    row: ClassVar[Row]

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.upstream = upstream
        self.attempts: tuple[tuple[int, str, str, int], ...] = ()


class ConfigError(Exception):
    """A configuration that cannot be used. Message: path, what is wrong, what to do. One line each.

    Raised while loading, never while serving; not part of the wire taxonomy.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CallerError(TurnoutError):
    """The request cannot be served as it stands; sending it again changes nothing."""

    domain = Domain.CALLER


class PolicyError(TurnoutError):
    """The operator's rules forbid the request, now or at all."""

    domain = Domain.POLICY


class ProviderError(TurnoutError):
    """An upstream failed, refused, or answered something that cannot be used."""

    domain = Domain.PROVIDER


class GatewayError(TurnoutError):
    """Turnout itself could not serve the request."""

    domain = Domain.GATEWAY
