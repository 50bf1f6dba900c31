"""Portkey's gateway configurations become routes."""

import pytest
import yaml

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.importers.portkey import import_portkey
from turnout.importers.report import Note

CATALOG = Catalog.load()
CHAT = {
    "strategy": {"mode": "fallback", "on_status_codes": [429]},
    "retry": {"attempts": 9},
    "request_timeout": 20000,
    "targets": [
        {"provider": "openai", "virtual_key": "v-1", "override_params": {"model": "gpt-5.4"}},
        {"provider": "@anthropic", "override_params": {"model": "claude-haiku-4-5"}},
    ],
}
SPREAD = {
    "strategy": {"mode": "loadbalance"},
    "cache": {"mode": "simple"},
    "targets": [
        {"provider": "openai", "weight": 0.7, "override_params": {"model": "gpt-5.4"}},
        {"provider": "google", "weight": 0.3, "override_params": {"model": "gemini-2.5-flash"}},
    ],
}


def test_configurations_become_routes_of_their_names() -> None:
    found = import_portkey({"chat": CHAT, "spread": SPREAD}, CATALOG)
    assert found.config == {
        "version": 1,
        "routes": [
            {
                "name": "chat",
                "models": ["openai/gpt-5.4", "anthropic/claude-haiku-4-5"],
                "strategy": {"type": "priority"},
                "max_retries": 5,
                "total_s": 20.0,
            },
            {
                "name": "spread",
                "models": ["openai/gpt-5.4", "gemini/gemini-2.5-flash"],
                "strategy": {
                    "type": "weighted",
                    "weights": {"openai/gpt-5.4": 0.7, "gemini/gemini-2.5-flash": 0.3},
                },
            },
        ],
    }
    assert not found.refused
    assert Note("chat.retry.attempts", "approximated", "5 at most") in found.notes
    assert Note("spread.cache", "ignored", "answers are the same without it") in found.notes


def test_one_configuration_without_a_name_is_what_auto_means() -> None:
    found = import_portkey({"provider": "openai", "override_params": {"model": "gpt-5.4"}}, CATALOG)
    assert found.config == {
        "version": 1,
        "routes": [{"name": "portkey", "models": ["openai/gpt-5.4"], "strategy": {"type": "priority"}}],
        "default_route": "portkey",
    }


def test_the_result_is_a_configuration_that_compiles() -> None:
    found = import_portkey({"chat": CHAT, "spread": SPREAD}, CATALOG)
    config = parse_config(yaml.safe_dump(found.config), env={})
    assert list(compile_snapshot(config, CATALOG, {}, credentials=False).routes) == ["chat", "spread"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ({"provider": "openai"}, "x.targets[0].override_params.model"),
        ({"provider": "nobody", "override_params": {"model": "m"}}, "x.targets[0].provider"),
        ({"override_params": {"model": "gpt-nonesuch"}}, "x.targets[0].override_params.model"),
        (
            {"provider": "openai", "override_params": {"model": "gpt-5.4", "temperature": 0}},
            "x.targets[0].override_params.temperature",
        ),
        (
            {"provider": "openai", "custom_host": "http://x", "override_params": {"model": "gpt-5.4"}},
            "x.targets[0].custom_host",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused_with_its_path(target: dict, path: str) -> None:
    spare = {"provider": "openai", "override_params": {"model": "gpt-5.4-mini"}}
    found = import_portkey({"x": {"targets": [target, spare]}}, CATALOG)
    assert [note.path for note in found.notes if note.fate == "refused"] == [path]
    assert found.config["routes"][0]["models"][-1] == "openai/gpt-5.4-mini"


def test_conditions_and_guardrails_are_refused() -> None:
    found = import_portkey(
        {"x": {**CHAT, "strategy": {"mode": "conditional", "conditions": []}, "input_guardrails": ["g"]}},
        CATALOG,
    )
    refused = {note.path for note in found.notes if note.fate == "refused"}
    assert refused == {"x.strategy.mode", "x.strategy.conditions", "x.input_guardrails"}


def test_a_file_without_configurations_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no configuration"):
        import_portkey({}, CATALOG)


@pytest.mark.parametrize(
    ("word", "vendor"),
    [("mistral-ai", "mistral"), ("together-ai", "together"), ("azure-openai", "azure"), ("x-ai", "xai")],
)
def test_portkeys_words_for_providers_are_known(word: str, vendor: str) -> None:
    found = import_portkey({"provider": word, "override_params": {"model": "m"}}, CATALOG)
    assert found.config["routes"][0]["models"] == [f"{vendor}/m"]
