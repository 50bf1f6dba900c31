"""OpenRouter's presets and request bodies become routes."""

import pytest

from turnout.catalog.catalog import Catalog
from turnout.errors import ConfigError
from turnout.importers.openrouter import import_openrouter
from turnout.importers.report import Note

CATALOG = Catalog.load()
HAIKU, MINI = "anthropic/claude-haiku-4.5", "openai/gpt-5-mini"


def routes(tree):
    return import_openrouter(tree, CATALOG).config["routes"]


def notes(tree):
    return import_openrouter(tree, CATALOG).notes


def test_a_body_becomes_a_route_its_fallbacks_in_order_and_each_model_at_its_maker_first():
    body = {"model": HAIKU, "models": [MINI, "meta-llama/llama-3.3-70b-instruct"], "route": "fallback"}
    found = import_openrouter({"chat": body}, CATALOG)
    assert found.config == {
        "version": 1,
        "routes": [
            {
                "name": "chat",
                "models": [
                    "anthropic/claude-haiku-4-5",
                    f"openrouter/{HAIKU}",
                    MINI,
                    f"openrouter/{MINI}",
                    "openrouter/meta-llama/llama-3.3-70b-instruct",
                ],
                "strategy": {"type": "priority"},
            }
        ],
        "aliases": {"@preset/chat": "turnout/chat"},
        "default_route": "chat",
    }
    assert {note.fate for note in found.notes} == {"mapped"}


def test_the_list_of_the_api_is_read_with_its_versions():
    row = {
        "slug": "copy",
        "name": "Copy",
        "id": "1",
        "designated_version": {"system_prompt": "Be brief.", "config": {"model": MINI, "temperature": 1}},
    }
    found = import_openrouter({"data": [row, {"slug": "two", "config": {"models": [HAIKU]}}]}, CATALOG)
    assert [route["name"] for route in found.config["routes"]] == ["copy", "two"]
    assert found.refused
    assert Note(
        "data[0].designated_version.config.temperature", "refused", "a request says it; let clients send it"
    ) in (found.notes)
    assert any(note.path.endswith("system_prompt") and note.fate == "refused" for note in found.notes)


@pytest.mark.parametrize(
    ("provider", "models"),
    [
        ({"only": ["Anthropic"]}, ["anthropic/claude-haiku-4-5"]),
        ({"ignore": ["anthropic"]}, [f"openrouter/{HAIKU}"]),
        ({"order": ["amazon-bedrock"], "allow_fallbacks": False}, [f"openrouter/{HAIKU}"]),
        ({"order": ["Anthropic"]}, ["anthropic/claude-haiku-4-5", f"openrouter/{HAIKU}"]),
    ],
)
def test_providers_choose_among_the_places_of_a_model(provider, models):
    assert routes({"model": HAIKU, "provider": provider})[0]["models"] == models


@pytest.mark.parametrize(
    ("body", "strategy"),
    [
        ({"model": MINI, "provider": {"sort": "price"}}, {"type": "cheapest"}),
        ({"model": MINI, "provider": {"sort": {"by": "latency"}}}, {"type": "fastest", "measure": "ttft"}),
        ({"model": f"{MINI}:nitro"}, {"type": "pipeline", "score": [{"type": "throughput"}]}),
    ],
)
def test_an_order_becomes_a_strategy(body, strategy):
    assert routes(body)[0]["strategy"] == strategy


def test_what_cannot_be_kept_is_told_key_by_key():
    provider = {
        "data_collection": "deny",
        "quantizations": ["fp8"],
        "require_parameters": True,
        "max_price": {"prompt": 1, "completion": "5", "image": 2},
        "order": ["nobody"],
        "sort": "price",
        "preferred_max_latency": 3,
    }
    tree = {
        "models": [f"{MINI}:online", HAIKU, "openrouter/auto"],
        "provider": provider,
        "transforms": ["middle-out"],
        "plugins": [{"id": "web"}],
    }
    (route,) = routes(tree)
    assert route["unsupported_params"] == "reject"
    assert route["filter"][-1] == {"type": "priced", "max_cost_per_1k": 0.005}
    assert sorted((note.path, note.fate) for note in notes(tree)) == [
        ("model", "refused"),
        ("models", "approximated"),
        ("plugins", "refused"),
        ("provider.data_collection", "refused"),
        ("provider.max_price.completion", "approximated"),
        ("provider.max_price.image", "refused"),
        ("provider.max_price.prompt", "approximated"),
        ("provider.order", "approximated"),
        ("provider.preferred_max_latency", "ignored"),
        ("provider.quantizations", "refused"),
        ("provider.require_parameters", "mapped"),
        ("provider.sort", "mapped"),
        ("transforms", "refused"),
    ]


def test_a_file_without_a_model_is_no_preset():
    with pytest.raises(ConfigError, match="no preset with a model"):
        import_openrouter({"chat": {"temperature": 1}}, CATALOG)
