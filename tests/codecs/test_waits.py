"""How long a provider asks us to wait."""

import pytest

from turnout.codecs.waits import should_retry, span_s, wait_s


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, None),
        ({"retry-after": "Wed, 41 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1m30s"}, None),
    ],
)
def test_the_wait_is_read_from_headers(headers: dict[str, str], wait: float | None) -> None:
    assert wait_s(headers) == wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6ms", 0.006),
        ("20.5s", 20.5),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("2d", 172_800.0),
        ("", None),
        ("x", None),
    ],
)
def test_spans_are_read(text: str, seconds: float | None) -> None:
    assert span_s(text) == seconds


def test_the_providers_own_word_on_retrying_is_kept() -> None:
    assert [should_retry({"x-should-retry": word}) for word in ("true", "false", "?")] == [True, False, None]
