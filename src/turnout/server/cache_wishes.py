"""What headers ask of the cache: peers' names, `cache-control`, and ours, become one wish. Floor 6."""

import re
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, cast

from turnout.errors import InvalidRequest
from turnout.types.cache import CacheWish

_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)s?")
_MOST_S: Final = 366 * 24 * 3600
_MOST_CHARS: Final = 256
_DIRECTIVE: Final = re.compile(r"([a-z-]+)(?:=\"?(\d{1,9})\"?)?")
Mode = Literal["default", "bypass", "refresh", "only"]


class Headers(Protocol):
    """The part of `inbound.Inbound` that is read here."""

    cache: str | None
    cache_ttl_s: float | None
    cache_key: str | None
    cache_keeps: bool
    cache_asked: bool
    cache_control: str
    ours: frozenset[str]


def _ttl(name: str, value: str) -> float:
    found = _SECONDS.fullmatch(value)
    if found is None or float(found[1]) > _MOST_S:
        raise InvalidRequest(f"header {name}: expected seconds", param=name)
    return float(found[1])


def _key(name: str, value: str) -> str:
    if not 0 < len(value) <= _MOST_CHARS:
        raise InvalidRequest(f"header {name}: expected 1–{_MOST_CHARS} characters", param=name)
    return value


def _skips(name: str, value: str) -> str | None:
    return "bypass" if value.lower() == "true" else None


def _refreshes(name: str, value: str) -> str | None:
    return "refresh" if value.lower() == "true" else None


def _enabled(name: str, value: str) -> bool:
    return value.lower() in ("true", "1", "on")


def _keeps(name: str, value: str) -> bool:
    return value.lower() != "true"


def _as_it_is(name: str, value: str) -> str:
    return value[:_MOST_CHARS].lower()


PEERS: Final[dict[bytes, tuple[str, Callable[[str, str], Any]]]] = {
    b"cache-control": ("cache_control", _as_it_is),
    b"cf-aig-skip-cache": ("cache", _skips),
    b"cf-aig-cache-ttl": ("cache_ttl_s", _ttl),
    b"cf-aig-cache-key": ("cache_key", _key),
    b"x-portkey-cache-force-refresh": ("cache", _refreshes),
    b"helicone-cache-enabled": ("cache_asked", _enabled),
    b"x-openrouter-cache": ("cache_asked", _enabled),
    b"x-openrouter-cache-ttl": ("cache_ttl_s", _ttl),
    b"x-bf-cache-no-store": ("cache_keeps", _keeps),
    b"x-bf-cache-ttl": ("cache_ttl_s", _ttl),
}


def cache_wish(found: Headers) -> CacheWish | None:
    """Return what the headers ask; None: nothing. Raises `InvalidRequest`."""
    mode, keeps, max_age_s = found.cache, found.cache_keeps, None
    for name, number in _DIRECTIVE.findall(found.cache_control):
        if name == "no-store":
            keeps = False
        elif name == "no-cache" or (name == "max-age" and number == "0"):
            mode = mode or "refresh"
        elif name == "max-age" and number:
            max_age_s = float(number)
        elif name == "only-if-cached":
            mode = mode or "only"
    asked = found.cache_asked or found.cache_ttl_s is not None or found.cache_key is not None
    if mode is None and keeps and not asked and max_age_s is None:
        return None
    return CacheWish(
        mode=cast("Mode", mode or "default"),
        ttl_s=found.cache_ttl_s,
        max_age_s=max_age_s,
        keeps=keeps,
        asked=asked,
        key=found.cache_key,
    )
