"""How long a provider asks us to wait, read from response headers. Floor 2."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(r"\w+, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SPAN_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_NUMBER = re.compile(r"\d+(\.\d+)?")


def wait_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which the provider wants to be asked again; None = it did not say.

    Reads `retry-after-ms`, then `retry-after` as seconds or as an HTTP date (counted from the answer's own
    `date`, so no clock is needed), then the longest `x-ratelimit-reset-*` whose `remaining` is 0.

    Args:
        headers: Of the answer, lower-case names.
    """
    ms = headers.get("retry-after-ms", "")
    if _NUMBER.fullmatch(ms):
        return float(ms) / 1000
    after = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(after):
        return float(after)
    then, now = _instant(after), _instant(headers.get("date", ""))
    if then and now:
        return max(0.0, (then - now).total_seconds())
    resets = [
        span_s(headers.get(f"x-ratelimit-reset-{unit}", ""))
        for unit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{unit}") == "0"
    ]
    return max((wait for wait in resets if wait is not None), default=None)


def span_s(text: str) -> float | None:
    """Read a duration such as `6ms`, `1m30s` or `20.5s`; None if it is none."""
    found = _SPAN.fullmatch(text.strip()) if text else None
    if found is None or not any(found.groups()):
        return None
    return sum(float(n) * unit for n, unit in zip(found.groups(), _SPAN_UNITS_S, strict=True) if n)


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Return the provider's own `x-should-retry`; None = it did not say."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))


def _instant(text: str) -> datetime | None:
    found = _HTTP_DATE.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return None
    day, _, year, hour, minute, second = found.groups()
    month = _MONTHS.index(found[2]) + 1
    try:
        return datetime(int(year), month, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
