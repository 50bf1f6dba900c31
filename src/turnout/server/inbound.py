"""What request headers say: the part of an `Ask` that is not in the body. Floor 6.

One table maps a header name to the field it fills (docs/design/WIRE.md section 5), so that reading headers
costs one dictionary look-up each. Ours win over peers' names for the same thing, whatever their order.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from turnout.errors import InvalidRequest, TurnoutError
from turnout.server.cache_wishes import PEERS as CACHE_PEERS


class Inbound(Struct, kw_only=True):
    """Values read from headers; None = not sent. Mutable while it is filled, by one function."""

    client_request_id: str | None = None
    route: str | None = None
    session: str | None = None
    surface: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    end_user: str | None = None
    timeout_s: float | None = None
    ttft_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    retries: int | None = None
    max_cost_nusd: int | None = None
    min_quality: float | None = None
    allow: tuple[str, ...] = ()
    explain: str | None = None
    log_content: bool = True
    traceparent: str | None = None
    tracestate: str | None = None
    keys: tuple[str, ...] = ()
    """Credentials in any carrier; more than one only if equal."""
    dialect_headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: str = ""
    content_length: int | None = None
    content_encoding: str = ""
    cache: str | None = None
    """`default`, `bypass`, `refresh` or `only`; read by the cache layer where a route has one."""
    cache_ttl_s: float | None = None
    cache_key: str | None = None
    cache_keeps: bool = True
    cache_asked: bool = False
    cache_control: str = ""
    compress: str | None = None
    """`default`, `off`, `lossless` or `fit`; read by the compression where a route has one."""
    hops: str | None = None
    """`x-turnout-hop`: instance ids the request has passed through."""
    csrf: str | None = None
    """`x-turnout-csrf`: what a page of ours sends along with what it changes."""
    idempotency_key: str | None = None
    asks: bool = False
    """Whether any header beyond what every request has was understood."""
    ours: frozenset[str] = frozenset()
    """Fields that a header of ours filled: they win over what peers' fields in the body say."""
    otel: tuple[str, str] = ("", "")
    """Trace id and parent span of a peer's headers: a `traceparent` in two pieces."""


Reader = Callable[[str, str], Any]
_MAX_SESSION = 256
_MAX_TAGS = 20
_MAX_METADATA_KEYS = 16
_MAX_METADATA_BYTES = 2048
_MAX_TIMEOUT_MS = 24 * 3600 * 1000
_MAX_ID = 64
_N_TRACE, _N_SPAN = 32, 16
"""Hexadecimal digits of a trace id and of a span id."""
_MAX_YEAR_S = 366 * 24 * 3600


def _text(name: str, value: str, limit: int = _MAX_SESSION) -> str:
    if not value or len(value) > limit:
        raise InvalidRequest(f"header {name}: expected 1–{limit} characters", param=name)
    return value


def _tags(name: str, value: str) -> tuple[str, ...]:
    tags = tuple(tag.strip() for tag in value.split(",") if tag.strip())
    if len(tags) > _MAX_TAGS:
        raise InvalidRequest(f"header {name}: at most {_MAX_TAGS} tags", param=name)
    return tags


def _list(name: str, value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _metadata(name: str, value: str) -> Mapping[str, str]:
    if len(value) > _MAX_METADATA_BYTES:
        raise InvalidRequest(f"header {name}: at most {_MAX_METADATA_BYTES} bytes", param=name)
    try:
        found = msgspec.json.decode(value, type=dict[str, str | int | float | bool | None])
    except msgspec.DecodeError:
        raise InvalidRequest(f"header {name}: expected a flat JSON object", param=name) from None
    if len(found) > _MAX_METADATA_KEYS:
        raise InvalidRequest(f"header {name}: at most {_MAX_METADATA_KEYS} keys", param=name)
    return {
        key: item if isinstance(item, str) else msgspec.json.encode(item).decode()
        for key, item in found.items()
    }


def _number(name: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise InvalidRequest(f"header {name}: expected a number from {low:g} to {high:g}", param=name)
    return number


def _ms(name: str, value: str) -> float:
    return _number(name, value, 1, _MAX_TIMEOUT_MS) / 1000


def _seconds(name: str, value: str) -> float:
    return _number(name, value, 0.001, _MAX_TIMEOUT_MS / 1000)


def _ttl(name: str, value: str) -> float:
    return _number(name, value, 0, _MAX_YEAR_S)


def _retries(name: str, value: str) -> int:
    if value not in {"0", "1", "2", "3", "4", "5"}:
        raise InvalidRequest(f"header {name}: expected 0–5", param=name)
    return int(value)


def _usd(name: str, value: str) -> int:
    return round(_number(name, value, 0, 1e6) * 1e9)


def _share(name: str, value: str) -> float:
    return _number(name, value, 0, 1)


def _explain(name: str, value: str) -> str:
    if value not in {"none", "summary", "full"}:
        raise InvalidRequest(f"header {name}: expected none, summary or full", param=name)
    return value


def _cache(name: str, value: str) -> str:
    if value not in {"default", "bypass", "refresh", "only"}:
        raise InvalidRequest(f"header {name}: expected default, bypass, refresh or only", param=name)
    return value


def _compress(name: str, value: str) -> str:
    if value not in {"default", "off", "lossless", "fit"}:
        raise InvalidRequest(f"header {name}: expected default, off, lossless or fit", param=name)
    return value


def _imported_route(name: str, value: str) -> str:
    if value.lstrip().startswith("{"):
        raise refused(name)
    return _text(name, value)


def _peer_explain(name: str, value: str) -> str:
    return "summary" if value == "enabled" else "none"


def _log(name: str, value: str) -> bool:
    if value not in {"off", "hash"}:
        raise InvalidRequest(f"header {name}: expected off or hash", param=name)
    return False


def _redact(name: str, value: str) -> bool:
    return value.lower() != "true"


def _payload(name: str, value: str) -> bool:
    return value.lower() != "false"


_HEX = frozenset("0123456789abcdef")
_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def _request_id(name: str, value: str) -> str:
    if not 0 < len(value) <= _MAX_ID or not _ID.issuperset(value):
        raise InvalidRequest(
            f"header {name}: expected 1–{_MAX_ID} of A–Z, a–z, 0–9, '.', '_', '-'", param=name
        )
    return value


def _hex(name: str, value: str) -> str:
    return value if _HEX.issuperset(value) else ""


OURS: dict[bytes, tuple[str, Reader]] = {
    b"x-turnout-route": ("route", _text),
    b"x-turnout-session": ("session", _text),
    b"x-turnout-surface": ("surface", _text),
    b"x-turnout-tags": ("tags", _tags),
    b"x-turnout-metadata": ("metadata", _metadata),
    b"x-turnout-end-user": ("end_user", _text),
    b"x-turnout-timeout-ms": ("timeout_s", _ms),
    b"x-turnout-ttft-timeout-ms": ("ttft_timeout_s", _ms),
    b"x-turnout-idle-timeout-ms": ("idle_timeout_s", _ms),
    b"x-turnout-retries": ("retries", _retries),
    b"x-turnout-max-cost-usd": ("max_cost_nusd", _usd),
    b"x-turnout-min-quality": ("min_quality", _share),
    b"x-turnout-allow": ("allow", _list),
    b"x-turnout-explain": ("explain", _explain),
    b"x-turnout-log-content": ("log_content", _log),
    b"x-turnout-cache": ("cache", _cache),
    b"x-turnout-cache-ttl-s": ("cache_ttl_s", _ttl),
    b"x-turnout-compress": ("compress", _compress),
    b"x-turnout-hop": ("hops", _text),
    b"x-turnout-csrf": ("csrf", _text),
    b"x-request-id": ("client_request_id", _request_id),
    b"idempotency-key": ("idempotency_key", _text),
    b"traceparent": ("traceparent", _text),
    b"tracestate": ("tracestate", lambda n, v: _text(n, v, 512)),
}
PEERS: dict[bytes, tuple[str, Reader]] = {
    b"x-merge-routing-policy-id": ("route", _text),
    b"x-portkey-config": ("route", _imported_route),
    b"x-session-id": ("session", _text),
    b"x-claude-code-session-id": ("session", _text),
    b"x-bf-session-id": ("session", _text),
    b"cf-aig-session-id": ("session", _text),
    b"otari-conversation-id": ("session", _text),
    b"x-litellm-tags": ("tags", _tags),
    b"x-litellm-spend-logs-metadata": ("metadata", _metadata),
    b"x-portkey-metadata": ("metadata", _metadata),
    b"cf-aig-metadata": ("metadata", _metadata),
    b"x-litellm-customer-id": ("end_user", _text),
    b"x-litellm-end-user-id": ("end_user", _text),
    b"x-litellm-timeout": ("timeout_s", _seconds),
    b"x-litellm-stream-timeout": ("ttft_timeout_s", _seconds),
    b"x-portkey-request-timeout": ("timeout_s", _ms),
    b"cf-aig-request-timeout": ("ttft_timeout_s", _ms),
    b"x-litellm-num-retries": ("retries", _retries),
    b"cf-aig-max-attempts": ("retries", _retries),
    b"cf-aig-allowed-models": ("allow", _list),
    b"cf-aig-allowed-providers": ("allow", _list),
    **CACHE_PEERS,
    b"x-openrouter-metadata": ("explain", _peer_explain),
    b"x-litellm-enable-message-redaction": ("log_content", _redact),
    b"cf-aig-collect-log-payload": ("log_content", _payload),
}
LABELS: dict[bytes, str] = {
    b"x-openrouter-title": "app",
    b"x-title": "app",
    b"http-referer": "app",
    b"x-portkey-trace-id": "trace",
}
"""Peers' headers that name something and ask for nothing -> the metadata key they are kept under."""
OTEL: dict[bytes, int] = {b"cf-aig-otel-trace-id": 0, b"cf-aig-otel-parent-span-id": 1}
KEY_CARRIERS = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"x-turnout-key"})
REFUSED = frozenset(
    {
        b"x-portkey-custom-host",
        b"x-portkey-forward-headers",
        b"helicone-target-url",
        b"helicone-openai-api-base",
    }
)
REFUSED_PREFIX = b"x-bf-eh-"
_PROPERTY = b"helicone-property-"
_PREFIXES = (b"anthropic-", b"x-turnout-", REFUSED_PREFIX, _PROPERTY)
TRANSPORT = frozenset({b"content-type", b"content-length", b"content-encoding"})
_OF_EVERY_REQUEST = KEY_CARRIERS | TRANSPORT
_SINGLE = _OF_EVERY_REQUEST | frozenset(OURS)
_KNOWN = _SINGLE | frozenset(PEERS) | REFUSED | frozenset(LABELS) | frozenset(OTEL)


def understood(name: bytes) -> bool:
    """Tell whether a header of this name says anything here."""
    return name in _KNOWN or name.startswith(_PREFIXES)


def read(headers: Iterable[tuple[bytes, bytes]]) -> Inbound:
    """Read the headers of one request (names in lower case, as ASGI gives them).

    Raises `InvalidRequest` for a bad or duplicate value and for headers that would set an address.
    """
    found = Inbound()
    seen: set[bytes] = set()
    for name, value in headers:
        if name not in _KNOWN:
            if name.startswith(_PREFIXES):
                found.asks = True
                _unknown(found, name, value)
            continue
        if name in _SINGLE:
            if name in seen:
                raise InvalidRequest(f"header {name.decode()} was sent twice", param=name.decode())
            seen.add(name)
        if name in _OF_EVERY_REQUEST:
            _take_usual(found, name, value.decode("latin-1").strip())
        else:
            found.asks = True
            _take(found, name, value)
    trace, span = found.otel
    if found.traceparent is None and len(trace) == _N_TRACE and len(span) == _N_SPAN:
        found.traceparent = f"00-{trace}-{span}-01"
    return found


def _take_usual(found: Inbound, name: bytes, value: str) -> None:
    if name == b"content-type":
        found.content_type = value
    elif name == b"content-length":
        found.content_length = int(value) if value.isascii() and value.isdigit() else None
    elif name == b"content-encoding":
        found.content_encoding = value.lower()
    else:
        is_bearer = name == b"authorization" and value[:7].lower() == "bearer "
        found.keys = (*found.keys, value[7:].strip() if is_bearer else value)


def _take(found: Inbound, name: bytes, raw: bytes) -> None:
    value = raw.decode("latin-1").strip()
    label = name.decode()
    if name in OURS:
        field, reader = OURS[name]
        setattr(found, field, reader(label, value))
        found.ours |= {field}
    elif name in PEERS:
        _take_from_peer(found, name, value)
    elif name in LABELS:
        _label(found, LABELS[name], value)
    elif name in OTEL:
        piece = _hex(label, value.lower())
        found.otel = (piece, found.otel[1]) if OTEL[name] == 0 else (found.otel[0], piece)
    else:
        raise refused(label)


def _take_from_peer(found: Inbound, name: bytes, value: str) -> None:
    """Fill a field unless a header of ours has; read the value all the same, as bad ones are refused."""
    field, reader = PEERS[name]
    read_value = reader(name.decode(), value)
    if field in found.ours:
        return
    if field == "log_content":
        found.log_content = found.log_content and bool(read_value)  # callers only tighten (S-63)
    elif field == "metadata":
        found.metadata = {**found.metadata, **read_value}
    else:
        setattr(found, field, read_value)


def _label(found: Inbound, key: str, value: str) -> None:
    if (
        "metadata" not in found.ours
        and key not in found.metadata
        and len(found.metadata) < _MAX_METADATA_KEYS
    ):
        found.metadata = {**found.metadata, key: value[:_MAX_SESSION]}


def _unknown(found: Inbound, name: bytes, value: bytes) -> None:
    label = name.decode("latin-1")[:64]
    if name.startswith(b"anthropic-"):
        found.dialect_headers = (*found.dialect_headers, (name, value))
    elif name.startswith(REFUSED_PREFIX):
        raise refused(label)
    elif name.startswith(_PROPERTY):
        _label(found, label.removeprefix(_PROPERTY.decode()), value.decode("latin-1").strip())
    elif not name.startswith(b"x-turnout-internal-"):
        raise InvalidRequest(f"header {label} is not known", param=label)


def speaks_anthropic(inbound: Inbound) -> bool:
    """Tell whether headers are of a client of that dialect."""
    return any(name == b"anthropic-version" for name, _ in inbound.dialect_headers)


def refused(label: str) -> TurnoutError:
    """Return the failure for a header that names an address or forwards headers (S-10)."""
    return InvalidRequest(
        f"header {label} is refused: clients never set an address", param=label, code="forbidden_header"
    )
