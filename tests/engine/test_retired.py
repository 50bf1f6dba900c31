"""Retired models: replaced by their successors from the day on, and said so."""

from datetime import UTC, datetime

import msgspec

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.engine.exchange import Exchange
from turnout.engine.route import Router
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Stats

MODELS = {
    "p/old": {"retires_on": "2026-06-01", "successors": ["p/new", "q/other"]},
    "p/new": {"retires_on": "2027-01-01", "successors": ["p/newest"]},
    "p/newest": {},
    "p/end": {"retires_on": "2026-01-01"},
    "q/other": {},
    "p/wordy": {"retires_on": "2026-06-01", "successors": ["p/terse"]},
    "p/terse": {"max_output": 100},
}
CATALOG = Catalog.parse(
    msgspec.json.encode(
        {
            "as_of": "2026-01-01",
            "sources": {"s": "table"},
            "models": {n: {**m, "source": "s"} for n, m in MODELS.items()},
        }
    ),
    "test",
)


def chosen(day, models, name="turnout/r", **asked):
    rows = "\n".join(f"  {p}: {{base_url: 'http://127.0.0.1:1/v1', auth: none}}" for p in "pq")
    config = parse_config(
        f"providers:\n{rows}\nmodels: [{models}]\nroutes: [{{name: r, models: [{models}]}}]", env={}
    )
    snapshot = compile_snapshot(config, CATALOG, {})
    request = ChatRequest(model=name, messages=(), **asked)
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    exchange = Exchange(request, Ask(request_id="req_1"), started=0.0, at=at, seed=0)
    routed = Router(snapshot, lambda _: Stats()).decide(exchange)
    decision = routed.decision(exchange)
    assert set(decision.chosen) <= set(snapshot.deployments)
    return decision.chosen, exchange.warnings


def test_before_its_day_a_model_is_asked() -> None:
    assert chosen("2026-05-31", "p/old, q/other") == (("p/old", "q/other"), [])


def test_from_its_day_on_its_successors_stand_in_its_place() -> None:
    assert chosen("2026-06-01", "p/old") == (("p/new",), ["model_retired"])


def test_a_configured_successor_of_another_provider_stands_in_too() -> None:
    assert chosen("2026-06-01", "p/old, q/other") == (("p/new", "q/other"), ["model_retired"])


def test_a_retired_successor_is_followed_to_its_own() -> None:
    assert chosen("2027-01-01", "p/old") == (("p/newest",), ["model_retired"])


def test_a_model_named_by_the_caller_is_replaced_as_well() -> None:
    assert chosen("2026-06-01", "p/old", "p/old") == (("p/new",), ["model_retired"])


def test_who_has_no_successor_is_still_tried() -> None:
    assert chosen("2026-06-01", "p/end") == (("p/end",), ["model_retired"])


def test_a_successor_that_cannot_do_what_is_asked_is_left_out() -> None:
    models = "p/wordy, q/other"
    assert chosen("2026-06-01", models, max_tokens=100) == (("p/terse", "q/other"), ["model_retired"])
    assert chosen("2026-06-01", models, max_tokens=500) == (("q/other",), ["model_retired"])
