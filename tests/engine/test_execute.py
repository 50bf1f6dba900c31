"""Sequence and Cascade: what follows a failure, and what follows a rejected answer."""

import asyncio

import pytest

from tests.engine.kit import Turn, rig
from turnout.config import parse_config
from turnout.errors import (
    AllAttemptsFailed,
    CapacityExhausted,
    ContentFiltered,
    ModelNotFound,
    ProviderAuth,
    ProviderOverloaded,
    RequestTooLarge,
    StreamInterrupted,
    TimeoutTotal,
)

DOWN = Turn(status=529)
AUTH = Turn(status=401, error="authentication_error")
NO_RETRY = ", max_retries: 0"


async def test_the_next_deployment_answers_when_the_first_fails():
    r = await rig({"a": [AUTH], "b": [Turn(words=("from b",))]})
    assert await r.text() == "from b"
    record = (
        r.journal.tail(1)[0] if hasattr(r.journal, "tail") else (await r.journal.get("req_" + "0" * 25 + "1"))
    )
    assert [(a.deployment, a.error) for a in record.attempts] == [("a/m", "provider_auth"), ("b/m", None)]
    assert record.decision.reason == "fallback_error"
    assert record.outcome.n_fallbacks == 1


async def test_a_retry_asks_the_same_deployment_before_any_fallback():
    r = await rig({"a": [DOWN, Turn(words=("second try",))], "b": [Turn()]})
    assert await r.text() == "second try"
    assert (r.transport.calls("a"), r.transport.calls("b")) == (2, 0)


async def test_a_callers_mistake_is_not_tried_elsewhere():
    r = await rig({"a": [Turn(status=413, error="request_too_large")], "b": [Turn()]})
    with pytest.raises(RequestTooLarge):
        await r.text()
    assert r.transport.calls("b") == 0


async def test_a_filtered_prompt_goes_on_only_where_the_route_opted_in():
    refused = Turn(raises=ContentFiltered("refused"))
    closed = await rig({"a": [refused], "b": [Turn()]})
    with pytest.raises(ContentFiltered):
        await closed.text()
    opened = await rig({"a": [refused], "b": [Turn(words=("b",))]}, ", fallback_on: [content_filtered]")
    assert await opened.text() == "b"


async def test_a_prompt_too_long_goes_only_to_a_larger_window():
    long = Turn(status=400, error="invalid_request_error", message="prompt is too long: 9 tokens > 8")
    config = "providers:\n" + "\n".join(
        f"  {h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}" for h in "abc"
    )
    config += (
        "\nmodels:\n  - {model: a/m, context_window: 100}\n  - {model: b/m, context_window: 100}\n"
        "  - {model: c/m, context_window: 200}\nroutes: [{name: r, models: [a/m, b/m, c/m]}]\n"
        "egress: {allow_http: [a, b, c]}\n"
    )
    r = await rig(
        {"a": [long], "b": [Turn()], "c": [Turn(words=("c",))]}, config=parse_config(config, env={})
    )
    assert await r.text() == "c"
    assert r.transport.calls("b") == 0


async def test_failures_of_one_class_are_told_as_that_class_and_mixed_ones_as_all_failed():
    same = await rig({"a": [DOWN], "b": [DOWN]}, NO_RETRY)
    with pytest.raises(ProviderOverloaded) as caught:
        await same.text()
    assert [(n, model, word) for n, model, word, _ in caught.value.attempts] == [
        (1, "a/m", "provider_overloaded"),
        (2, "b/m", "provider_overloaded"),
    ]
    mixed = await rig({"a": [DOWN], "b": [AUTH]}, NO_RETRY)
    with pytest.raises(AllAttemptsFailed):
        await mixed.text()


async def test_after_commit_nothing_else_is_tried():
    r = await rig({"a": [Turn(cut_after=1)], "b": [Turn()]})
    with pytest.raises(StreamInterrupted):
        await r.stream()
    assert r.transport.calls("b") == 0
    assert r.transport.n_open == 0


async def test_a_stream_cut_before_any_content_falls_back():
    r = await rig({"a": [Turn(cut_after=0)], "b": [Turn(words=("b",))]}, NO_RETRY)
    assert await r.stream() == ["b"]


async def test_a_broken_stream_is_continued_by_another_model_where_the_route_says_so():
    r = await rig(
        {"a": [Turn(words=("one", " two"), cut_after=1)], "b": [Turn(words=(" three",))]},
        ", stream_recovery: continue",
    )
    assert await r.stream() == ["one", " three"]
    assert b'"one"' in r.transport.sent[1].body
    record = await r.journal.get("req_" + "0" * 25 + "1")
    assert record.warnings == ("stream_continued",)
    assert [a.deployment for a in record.attempts] == ["a/m", "b/m"]
    assert r.transport.n_open == 0


async def test_the_deadline_ends_all_attempts():
    r = await rig({"a": [Turn(head_s=50)], "b": [Turn()]}, ", total_s: 3")
    with pytest.raises(TimeoutTotal):
        await r.text()
    assert asyncio.get_running_loop().time() == pytest.approx(3)
    assert r.transport.calls("b") == 0


async def test_a_client_that_leaves_cancels_the_attempt_and_is_recorded():
    r = await rig({"a": [Turn(head_s=50)]})
    task = asyncio.ensure_future(r.text())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await r.journal.get("req_" + "0" * 25 + "1")
    assert record.outcome.error == "client_closed"
    assert [a.outcome for a in record.attempts] == ["cancelled"]


async def test_deployments_that_are_all_down_are_refused_without_being_asked():
    r = await rig({"a": [AUTH]}, NO_RETRY)
    with pytest.raises(ProviderAuth):
        await r.text()
    with pytest.raises(CapacityExhausted) as caught:
        await r.text()
    assert caught.value.retry_after_s > 0
    assert r.transport.calls("a") == 1


async def test_an_unknown_model_is_named_with_the_nearest_one():
    r = await rig({"alpha": [Turn()]})
    with pytest.raises(ModelNotFound) as caught:
        await r.text("alpha/n")
    assert str(caught.value) == "the model 'alpha/n' is not served here; did you mean 'alpha/m'?"
    with pytest.raises(ModelNotFound):
        await r.text("turnout/nope")
