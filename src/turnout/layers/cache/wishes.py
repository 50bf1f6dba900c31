"""What a request asks of the cache, and whether its answer may be kept at all. Floor 4.

Headers were read into `Ask.cache` by the server. The member `cache` of a body says the same in the words of
LiteLLM (`no-cache`, `no-store`, `ttl`, `s-maxage`, `use-cache`, `namespace`) or in ours (`mode`, `ttl_s`,
`max_age_s`, `key`). What the server has found to lose against a header is no longer there.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal, cast

import msgspec

from turnout.engine.exchange import Request
from turnout.errors import InvalidRequest
from turnout.types.ask import Ask
from turnout.types.cache import NO_WISH, CacheRule, CacheWish
from turnout.types.chat import ChatRequest
from turnout.types.json import Json

MODES: Final = ("default", "bypass", "refresh", "only")
_SECONDS: Final = {
    "ttl": "ttl_s",
    "ttl_s": "ttl_s",
    "s-maxage": "max_age_s",
    "s-max-age": "max_age_s",
    "max_age_s": "max_age_s",
}
_FLAGS: Final = frozenset({"no-cache", "no-store", "use-cache"})
_NAMES: Final = {"namespace": "namespace", "key": "key"}
_MOST_S: Final = 366 * 24 * 3600
_MOST_CHARS: Final = 256


def wish_of(ask: Ask) -> CacheWish:
    """Return what a request asks. Raises `InvalidRequest`."""
    wish = ask.cache or NO_WISH
    said = ask.extra.get("cache") if ask.extra else None
    if said is None:
        return wish
    if not isinstance(said, Mapping):
        raise InvalidRequest("cache: expected an object", param="cache")
    changes: dict[str, object] = {}
    for name, value in said.items():
        changes.update(_change(name, value))
    if changes.get("ttl_s"):
        changes["asked"] = True
    return msgspec.structs.replace(wish, **changes)


def _change(name: str, value: Json) -> Mapping[str, object]:
    if value is None:
        return {}
    if name in _SECONDS:
        return {_SECONDS[name]: _seconds(name, value)}
    if name in _NAMES and isinstance(value, str) and 0 < len(value) <= _MOST_CHARS:
        return {_NAMES[name]: value}
    if name == "mode" and value in MODES:
        return {"mode": cast("Literal['default', 'bypass', 'refresh', 'only']", value)}
    if name in _FLAGS and isinstance(value, bool):
        if name == "use-cache":
            return {"asked": True} if value else {"mode": "bypass"}
        if not value:
            return {}
        return {"mode": "refresh"} if name == "no-cache" else {"keeps": False}
    known = [*_SECONDS, *_FLAGS, *_NAMES, "mode"]
    what = "a value it cannot have" if name in known else f"no such member; known are {', '.join(known)}"
    raise InvalidRequest(f"cache.{name[:64]}: {what}", param="cache")


def _seconds(name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"cache.{name}: expected seconds", param="cache")
    if not 0 <= value <= _MOST_S:
        raise InvalidRequest(f"cache.{name}: expected 0 to {_MOST_S} seconds", param="cache")
    return float(value)


def why_not(request: Request, rule: CacheRule, wish: CacheWish) -> str | None:
    """Return why an answer may neither be looked for nor kept (S-71); None: it may."""
    if not isinstance(request, ChatRequest):
        return None
    facts = request.facts
    if facts.server_tools or (facts.n_tools and not rule.tools):
        return "tools"
    if request.temperature and not (rule.sampled or wish.asked):
        return "sampled"
    if request.n is not None and request.n > 1:
        return "several"
    return None
