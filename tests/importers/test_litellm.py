"""LiteLLM's `config.yaml` becomes ours: WIRE.md section 11, key by key."""

import re

import msgspec
import pytest
import yaml

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.importers.litellm import import_litellm
from turnout.importers.report import Note

CATALOG = Catalog.load()
GPT = "- {model_name: gpt, litellm_params: {model: openai/gpt-4o}}"
CLAUDE = "- {model_name: claude, litellm_params: {model: anthropic/claude-haiku-4-5}}"


def imported(text):
    """The configuration (which must compile) and the notes by path."""
    found = import_litellm(yaml.safe_load(text), CATALOG)
    config = yaml.safe_dump(found.config)
    env = dict.fromkeys(re.findall(r"\$\{env:([^}]*)\}", config), "https://set.invalid")
    compile_snapshot(parse_config(config, env=env), CATALOG, {}, credentials=False)
    assert len({note.path for note in found.notes}) == len(found.notes)
    return found.config, {note.path: note for note in found.notes}


def model(params, info="{}"):
    text = f"model_list: [{{model_name: x, litellm_params: {params}, model_info: {info}}}]"
    config, notes = imported(text)
    return config.get("models", [{}])[0], config, notes


def test_one_deployment_becomes_an_alias() -> None:
    config, notes = imported(f"model_list:\n{CLAUDE}")
    assert config == {
        "version": 1,
        "providers": {"anthropic": {}},
        "models": [{"model": "anthropic/claude-haiku-4-5"}],
        "aliases": {"claude": "anthropic/claude-haiku-4-5"},
    }
    assert set(notes) == {"model_list[0].model_name", "model_list[0].litellm_params.model"}


def test_a_group_becomes_a_route_with_an_alias_and_its_weights() -> None:
    config, _ = imported(
        """
model_list:
- {model_name: gpt, litellm_params: {model: openai/gpt-4o, weight: 3}}
- {model_name: gpt, litellm_params: {model: openai/gpt-4o, rpm: 1}, model_info: {id: second}}
"""
    )
    assert config["routes"] == [
        {
            "name": "gpt",
            "models": ["openai/gpt-4o", "second"],
            "strategy": {"type": "weighted", "weights": {"openai/gpt-4o": 3, "second": 1}},
        }
    ]
    assert config["aliases"] == {"gpt": "turnout/gpt"}


@pytest.mark.parametrize(
    ("theirs", "ours", "fate"),
    [
        ("simple-shuffle", "weighted", "mapped"),
        ("least-busy", "least_busy", "mapped"),
        ("latency-based-routing", "fastest", "mapped"),
        ("usage-based-routing-v2", "two_choices", "approximated"),
        ("cost-based-routing", "cheapest", "mapped"),
        ("house-made", "weighted", "refused"),
    ],
)
def test_routing_strategies(theirs, ours, fate) -> None:
    config, notes = imported(f"model_list:\n{GPT}\n{GPT}\nrouter_settings: {{routing_strategy: {theirs}}}")
    assert config["routes"][0]["strategy"]["type"] == ours
    assert notes["router_settings.routing_strategy"].fate == fate


def test_order_becomes_a_priority_list() -> None:
    config, _ = imported(
        """
model_list:
- {model_name: gpt, litellm_params: {model: openai/gpt-4o, order: 2}}
- {model_name: gpt, litellm_params: {model: openai/gpt-4o-mini, order: 1}}
"""
    )
    route = config["routes"][0]
    assert (route["models"], route["strategy"]) == (
        ["openai/gpt-4o-mini", "openai/gpt-4o"],
        {"type": "priority"},
    )


def test_fallbacks_are_asked_only_after_the_groups_own() -> None:
    config, notes = imported(
        f"""
model_list:
{GPT}
{CLAUDE}
router_settings:
  fallbacks: [{{gpt: [claude]}}]
  content_policy_fallbacks: [{{gpt: [claude, gone]}}]
  max_fallbacks: 1
"""
    )
    assert config["routes"] == [
        {
            "name": "gpt",
            "models": ["openai/gpt-4o", "anthropic/claude-haiku-4-5"],
            "strategy": {
                "type": "weighted",
                "weights": {"anthropic/claude-haiku-4-5": 0, "openai/gpt-4o": 1.0},
                "max_fallbacks": 1,
            },
            "fallback_on": ["content_filtered"],
        }
    ]
    assert config["aliases"] == {"gpt": "turnout/gpt", "claude": "anthropic/claude-haiku-4-5"}
    assert notes["router_settings.content_policy_fallbacks[0].gpt"] == Note(
        "router_settings.content_policy_fallbacks[0].gpt", "refused", "the fallback 'gone' was not imported"
    )


def test_default_fallbacks_hold_for_every_group() -> None:
    config, _ = imported(f"model_list:\n{GPT}\n{CLAUDE}\nlitellm_settings: {{default_fallbacks: [claude]}}")
    assert [route["name"] for route in config["routes"]] == ["gpt"]


def test_secrets_stay_references() -> None:
    config, notes = imported(
        """
model_list:
- {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: os.environ/MY_KEY}}
- {model_name: b, litellm_params: {model: openai/gpt-4o-mini, api_key: sk-in-clear-123}}
- {model_name: c, litellm_params: {model: openai/own, api_base: 'http://10.0.0.1/v1', api_key: sk-own-456}}
- {model_name: d, litellm_params: {model: groq/x, extra_headers: {Authorization: Bearer abc, x-team: red}}}
general_settings: {master_key: sk-master-789}
environment_variables: {OPENAI_API_KEY: sk-env-000}
"""
    )
    text = msgspec.json.encode(config).decode()
    assert [row.get("secret") for row in config["models"]] == [
        "${env:MY_KEY}",
        "${env:OPENAI_API_KEY}",
        "${env:OPENAI_2_API_KEY}",
        None,
    ]
    assert not re.search(r"sk-|abc", text + "".join(note.say for note in notes.values()))
    assert config["providers"]["groq"]["headers"] == {"x-team": "red"}
    assert notes["model_list[3].litellm_params.extra_headers"].fate == "refused"


def test_an_own_address_without_a_key_is_shown_none() -> None:
    _, config, _ = model("{model: openai/own, api_base: 'http://10.0.0.1/v1'}")
    assert config["providers"] == {
        "openai": {"base_url": "http://10.0.0.1/v1", "allow_http": True, "auth": "none", "vendor": "openai"}
    }


def test_azure_gets_its_v1_address_and_the_base_model_its_facts() -> None:
    row, config, notes = model(
        "{model: azure/mine, api_base: 'https://r.openai.azure.com/', api_key: os.environ/A,"
        " api_version: 2024-06-01}",
        "{base_model: azure/gpt-4o}",
    )
    assert row == {"model": "azure/gpt-4o", "upstream_model": "mine", "secret": "${env:A}"}
    assert config["providers"]["azure"]["base_url"] == "https://r.openai.azure.com/openai/v1"
    assert config["providers"]["azure"]["api_version"] == "2024-06-01"
    assert notes["model_list[0].litellm_params.api_version"].fate == "mapped"


def test_prices_per_token_become_usd_per_million_exactly() -> None:
    row, _, _ = model(
        "{model: openai/own}",
        "{input_cost_per_token: 1.25e-06, output_cost_per_token: 1e-05,"
        " cache_read_input_token_cost: 0.000000125}",
    )
    assert row["price"] == {"input": "1.25", "output": "10", "cache_read": "0.125"}


def test_facts_correct_the_catalogue() -> None:
    row, _, _ = model(
        "{model: openai/own, max_parallel_requests: 4, timeout: 20, stream_timeout: 3,"
        " region_name: eu, tags: [a]}",
        "{max_input_tokens: 1000, max_output_tokens: 100, supports_function_calling: true,"
        " supports_vision: true, supports_response_schema: false, mode: chat, id: one}",
    )
    assert row == {
        "id": "one",
        "model": "openai/own",
        "region": "eu",
        "tags": ["a"],
        "limits": {"max_concurrency": 4},
        "timeouts": {"total_s": 20, "first_byte_s": 3},
        "context_window": 1000,
        "max_output": 100,
        "capabilities": ["tools"],
        "modalities": ["image", "text"],
    }


def test_settings() -> None:
    config, notes = imported(
        f"""
model_list:
{GPT}
{GPT}
router_settings:
  {{num_retries: 3, allowed_fails: 2, cooldown_time: 20, model_group_alias: {{best: {{model: gpt}}}}}}
litellm_settings: {{request_timeout: 120, drop_params: false, callbacks: [prometheus, otel], cache: true}}
general_settings: {{global_max_parallel_requests: 50}}
"""
    )
    assert config["timeouts"] == {"total_s": 120}
    assert config["max_retries"] == 3
    assert config["breaker"] == {"consecutive_failures": 3, "open_for_s": 20}
    assert config["server"] == {"max_open": 50, "metrics_port": 9090}
    assert config["aliases"] == {"gpt": "turnout/gpt", "best": "turnout/gpt"}
    assert config["routes"][0]["unsupported_params"] == "reject"
    assert notes["litellm_settings.cache"].fate == "ignored"


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        ("guardrails: [{guardrail_name: pii}]", "guardrails"),
        ("mcp_servers: {a: {command: rm}}", "mcp_servers"),
        ("general_settings: {custom_auth: mine.py}", "general_settings.custom_auth"),
        ("general_settings: {pass_through_endpoints: []}", "general_settings.pass_through_endpoints"),
        ("router_settings: {enable_tag_filtering: true}", "router_settings.enable_tag_filtering"),
        ("router_settings: {model_group_alias: {a: gone}}", "router_settings.model_group_alias.a"),
    ],
)
def test_what_answers_depend_on_is_refused_aloud(rest, path) -> None:
    _, notes = imported(f"model_list:\n{GPT}\n{rest}")
    assert notes[path].fate == "refused"
    assert notes[path].say


@pytest.mark.parametrize("name", ["sagemaker/x", "auto_router/complexity", "nobody/x", "mystery"])
def test_a_model_that_cannot_be_called_is_refused(name) -> None:
    found = import_litellm(
        yaml.safe_load(f"model_list:\n- {{model_name: x, litellm_params: {{model: {name}, rpm: 3}}}}\n{GPT}"),
        CATALOG,
    )
    assert found.refused
    assert [row["model"] for row in found.config["models"]] == ["openai/gpt-4o"]
    assert found.notes[1].path == "model_list[0].litellm_params.model"


def test_a_key_nobody_knows_is_told() -> None:
    _, notes = imported(f"model_list:\n{GPT}\nlitellm_settings: {{surprise: 1}}\nnews: 2")
    assert notes["litellm_settings.surprise"].fate == notes["news"].fate == "ignored"


@pytest.mark.parametrize("text", ["{}", "model_list: 3", "model_list: [3]", "[]"])
def test_what_is_no_such_file_is_one_line(text) -> None:
    with pytest.raises(ConfigError):
        import_litellm(yaml.safe_load(text), CATALOG)
