"""A map of routing_rules becomes routes."""

import pytest

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.importers.report import Note
from turnout.importers.rules import import_rules

CATALOG = Catalog.load()
RULES = {
    "code": {
        "primary": "openai/gpt-4o",
        "fallback": "claude-haiku-4-5",
        "max_cost_per_1k": 0.02,
        "max_latency_ms": 2000,
    },
    "default": {"primary": "openai/gpt-4o-mini"},
}


def test_a_rule_becomes_a_route_in_its_order_with_its_caps() -> None:
    found = import_rules({"routing_rules": RULES}, CATALOG)
    assert found.config == {
        "version": 1,
        "routes": [
            {
                "name": "code",
                "models": ["openai/gpt-4o", "anthropic/claude-haiku-4-5"],
                "strategy": {
                    "type": "pipeline",
                    "score": [{"type": "rank"}],
                    "shape": {"type": "sequence", "vendor_first": False},
                    "filter": [{"type": "priced", "max_cost_per_1k": 0.02}],
                    "slo": {"ttft_s": 2.0, "total_s": 2.0},
                },
            },
            {
                "name": "default",
                "models": ["openai/gpt-4o-mini"],
                "strategy": {
                    "type": "pipeline",
                    "score": [{"type": "rank"}],
                    "shape": {"type": "sequence", "vendor_first": False},
                },
            },
        ],
        "aliases": {"code": "turnout/code", "default": "turnout/default"},
        "default_route": "default",
    }
    assert not found.refused


def test_the_result_is_a_configuration_that_compiles() -> None:
    import yaml

    found = import_rules(RULES, CATALOG)
    config = parse_config(yaml.safe_dump(found.config), env={})
    snapshot = compile_snapshot(config, CATALOG, {}, credentials=False)
    assert list(snapshot.routes) == ["code", "default"]


def test_an_unknown_model_is_refused_with_a_hint() -> None:
    found = import_rules({"x": {"primary": "gpt-4oo", "fallback": ["openai/gpt-4o"], "odd": 1}}, CATALOG)
    assert found.refused
    assert found.config["routes"][0]["models"] == ["openai/gpt-4o"]
    assert Note("x.odd", "ignored", "this importer does not know the key; look at it by hand") in found.notes


@pytest.mark.parametrize("tree", [{}, {"routing_rules": {}}, {"routing_rules": 3}, {"x": 3}])
def test_no_rules_is_an_error(tree) -> None:
    with pytest.raises(ConfigError):
        import_rules(tree, CATALOG)
