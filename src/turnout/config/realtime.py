"""The section `realtime`: sessions of speech over WebSockets. Floor 5."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class RealtimeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/v1/realtime` and Gemini's live sessions: which may be opened, and what they may take."""

    enabled: bool = True
    """They need a model with the capability `realtime`, so that without one there are none."""
    origins: tuple[str, ...] = ()
    """Web pages that may open sessions, such as `https://app.example.com`; programs name no origin."""
    key_in_query: bool = False
    """Whether live sessions of Gemini's format take `?key=`, which Google's client for JavaScript sends. Keys
    in addresses reach the logs of whatever stands before the gateway; its own hold no query."""
    max_message_mib: Annotated[float, Meta(gt=0, le=32)] = 16
    """One message of a client; a longer one ends the session with 1009."""
    max_sessions_per_key: Annotated[int, Meta(ge=1)] = 16
    """At one process; for a limit over all of them, a quota `of: concurrent`."""
    max_session_s: Seconds = 3600
    """Longest session."""
    idle_s: Seconds = 600
    """Longest silence of both sides."""
    ping_s: Seconds = 20
    """How often both sides are asked whether they are there; one that is silent for three is gone."""
    stall_s: Seconds = 30
    """How long a side may take nothing of what waits for it."""
