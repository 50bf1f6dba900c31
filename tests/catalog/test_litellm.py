"""The price map of litellm becomes models, row by row."""

import json

import pytest

from turnout.catalog.litellm import convert, read_map
from turnout.errors import ConfigError
from turnout.types.deployment import Model
from turnout.types.usage import Price, Tier


def model(key, **row):
    """Convert one row; None when it is left out."""
    row = {"litellm_provider": "openai", "mode": "chat", **row}
    return next(iter(convert(read_map(json.dumps({key: row}).encode())).models.values()), None)


def name(key, provider, **row):
    found = model(key, litellm_provider=provider, **row)
    return found.id if found else None


def price(**row):
    return model("gpt-x", **row).price


def capabilities(**row):
    return model("gpt-x", **row).capabilities


def test_a_row_becomes_a_model():
    found = model(
        "gpt-x",
        max_input_tokens=128_000,
        max_output_tokens=16_384,
        input_cost_per_token=2.5e-06,
        output_cost_per_token=1e-05,
        cache_read_input_token_cost=1.25e-06,
        input_cost_per_token_batches=1.25e-06,
        output_cost_per_token_batches=5e-06,
        search_context_cost_per_query={"search_context_size_medium": 0.01},
        deprecation_date="2027-01-14",
        supports_function_calling=True,
        supports_vision=True,
        supports_response_schema=True,
    )
    assert found == Model(
        id="openai/gpt-x",
        context_window=128_000,
        max_output=16_384,
        price=Price(
            input=2_500_000,
            output=10_000_000,
            cache_read=1_250_000,
            per_search=10_000_000_000,
            batch_share=0.5,
            source="litellm",
        ),
        modalities_in=frozenset({"text", "image"}),
        capabilities=frozenset(
            {
                "tools",
                "tool_choice",
                "parallel_tools",
                "json_schema",
                "json_object",
                "system",
                "streaming",
                "logprobs",
            }
        ),
        retires_on="2027-01-14",
        source="litellm",
    )


@pytest.mark.parametrize(
    ("key", "provider", "expected"),
    [
        ("gpt-x", "openai", "openai/gpt-x"),
        ("together_ai/meta-llama/Llama-4", "together_ai", "together/meta-llama/Llama-4"),
        ("azure/eu/gpt-4o", "azure", "azure/gpt-4o@eu"),
        ("azure/global-standard/gpt-4o", "azure", "azure/gpt-4o@global-standard"),
        (
            "bedrock/us-gov-west-1/anthropic.claude-v2:1",
            "bedrock",
            "bedrock/anthropic.claude-v2:1@us-gov-west-1",
        ),
        ("us.anthropic.claude-x-v1:0", "bedrock_converse", "bedrock/us.anthropic.claude-x-v1:0"),
        ("vertex_ai/claude-x@20250929", "vertex_ai-anthropic_models", "vertex_ai/claude-x@20250929"),
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks_ai", "fireworks/accounts/fireworks/models/x"),
        ("groq/openai/gpt-oss-20b", "groq", "groq/openai/gpt-oss-20b"),
        ("fireworks_ai/x", "fireworks_ai", None),
        ("ft:gpt-4o", "openai", None),
        ("together-ai-21.1b-41b", "together_ai", None),
        ("bedrock/us-east-1/1-month-commitment/anthropic.claude-v2:1", "bedrock", None),
        ("bedrock/*/x", "bedrock", None),
        ("openai/container", "openai", None),
        ("some-model", "a_host_nobody_knows", None),
        ("two words", "openai", None),
    ],
)
def test_a_key_becomes_provider_slash_model_or_is_left_out(key, provider, expected):
    assert name(key, provider) == expected


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"mode": "chat"}, "chat"),
        ({"mode": "chat", "supported_endpoints": ["/v1/responses"]}, "other"),
        ({"mode": "responses"}, "other"),
        ({"mode": "responses", "supported_endpoints": ["/v1/responses", "/v1/chat/completions"]}, "chat"),
        ({"mode": "embedding"}, "embedding"),
    ],
)
def test_a_model_that_chat_completions_does_not_serve_is_of_another_kind(row, kind):
    assert model("gpt-x", **row).kind == kind


@pytest.mark.parametrize("mode", ["video_generation", "ocr", "search", None])
def test_other_kinds_of_models_are_left_out(mode):
    assert model("gpt-x", mode=mode) is None


@pytest.mark.parametrize(
    ("row", "kind", "price"),
    [
        (
            {"mode": "rerank", "input_cost_per_query": 0.002, "input_cost_per_token": 0},
            "rerank",
            {"per_search": 2 * 10**9},
        ),
        ({"mode": "image_edit", "output_cost_per_image": 0.04}, "image", {"per_image": 4 * 10**10}),
        (
            {"mode": "image_generation", "input_cost_per_token": 5e-6, "output_cost_per_image_token": 4e-5},
            "image",
            {"input": 5_000_000, "image_out": 40_000_000},
        ),
        (
            {"mode": "audio_speech", "input_cost_per_character": 1.5e-5},
            "speech",
            {"per_character": 15_000_000},
        ),
        (
            {"mode": "audio_transcription", "input_cost_per_second": 1e-4},
            "transcription",
            {"per_second": 10**8},
        ),
        (
            {"mode": "audio_transcription", "input_cost_per_second": 1e-4, "input_cost_per_token": 2.5e-6}
            | {"output_cost_per_token": 1e-5},
            "transcription",
            {"input": 2_500_000, "output": 10_000_000},
        ),
    ],
)
def test_a_model_for_one_operation_is_sold_by_the_token_or_else_by_its_unit(row, kind, price):
    found = model("gpt-x", **row)
    assert (found.kind, found.capabilities) == (kind, frozenset({kind}))
    assert found.price == Price(**{"input": 0, "output": 0, **price}, source="litellm")


def test_a_moderation_without_a_price_and_pictures_by_quality_are_told_apart():
    assert model("gpt-x", mode="moderation", input_cost_per_token=0).price is None
    assert name("hd/1024-x-1024/dall-e-3", "openai") is None


def test_a_model_that_talks_and_draws_is_a_chat_model_that_makes_pictures():
    both = ["/v1/chat/completions", "/v1/images/generations"]
    found = model("gpt-x", mode="image_generation", supported_endpoints=both)
    assert (found.kind, found.modalities_out) == ("chat", frozenset({"text", "image"}))


def test_limits_that_add_up_to_the_window_are_an_input_limit_and_a_window():
    found = model("gpt-x", max_input_tokens=272_000, max_output_tokens=128_000)
    assert (found.context_window, found.max_input, found.max_output) == (400_000, 272_000, 128_000)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"input_cost_per_token": 0, "output_cost_per_token": 0},
        {"input_cost_per_token": 0.0, "output_cost_per_token": 1e-06},
        {"input_cost_per_token": 1e-06},
        {"input_cost_per_token": 1e-06, "output_cost_per_token": 0.0},
    ],
)
def test_a_price_that_is_absent_or_zero_is_not_known(row):
    assert price(**row) is None


def test_a_zero_among_known_prices_is_not_known():
    row = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 0.0}
    assert price(**row) == Price(input=1_000_000, output=2_000_000, source="litellm")


def test_an_embedding_has_no_output_to_pay_for():
    found = model(
        "e", mode="embedding", input_cost_per_token=2e-08, output_cost_per_token=0.0, output_vector_size=64
    )
    assert (found.price, found.embedding_dimensions) == (Price(input=20_000, output=0, source="litellm"), 64)


def test_a_model_on_an_own_server_is_free_and_one_in_its_makers_cloud_is_not_known():
    own = model(
        "ollama/llama3", litellm_provider="ollama", input_cost_per_token=0.0, output_cost_per_token=0.0
    )
    cloud = model("ollama/llama3-cloud", litellm_provider="ollama", input_cost_per_token=0.0)
    assert (own.price, cloud.price) == (Price(input=0, output=0, source="litellm"), None)


def test_prices_above_a_size_become_tiers_in_rising_order():
    row = {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "input_cost_per_token_above_200k_tokens": 4e-06,
        "output_cost_per_token_above_200k_tokens": 8e-06,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 16e-06,
        "input_cost_per_token_above_128k_tokens": 3e-06,
        "input_cost_per_token_above_128k_tokens_priority": 9e-06,
    }
    assert price(**row).tiers == (
        Tier(128_000, 3_000_000, 2_000_000),
        Tier(200_000, 4_000_000, 8_000_000, None, None, 16_000_000),
    )


def test_listed_tiers_give_the_base_price_too():
    listed = [
        {"range": [0, 256e3], "input_cost_per_token": 4e-07, "output_cost_per_token": 1.2e-06},
        {
            "range": [256e3, 1e6],
            "input_cost_per_token": 1.2e-06,
            "output_cost_per_token": 3.6e-06,
            "output_cost_per_reasoning_token": 1.2e-05,
        },
    ]
    assert price(tiered_pricing=listed) == Price(
        input=400_000,
        output=1_200_000,
        tiers=(Tier(256_000, 1_200_000, 3_600_000, None, None, None, 12_000_000),),
        source="litellm",
    )


def test_the_batch_share_is_the_larger_of_input_and_output():
    row = {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "input_cost_per_token_batches": 5e-07,
        "output_cost_per_token_batches": 1.5e-06,
    }
    assert price(**row).batch_share == 0.75


def test_capabilities_without_any_flag_are_not_known():
    assert capabilities() is None


def test_an_absent_flag_denies_what_must_be_offered_and_grants_what_nearly_all_offer():
    assert capabilities(supports_vision=True) == {"system", "streaming", "json_object", "logprobs"}


def test_a_flag_that_is_false_denies():
    flags = {
        "supports_function_calling": True,
        "supports_tool_choice": False,
        "supports_system_messages": False,
    }
    assert capabilities(**flags) == {"tools", "parallel_tools", "streaming", "json_object", "logprobs"}


def test_modalities_come_from_lists_and_flags():
    found = model(
        "gpt-x",
        supported_modalities=["text", "audio"],
        supports_pdf_input=True,
        supports_video_input=True,
        supported_output_modalities=["text", "image"],
    )
    assert (found.modalities_in, found.modalities_out) == (
        {"text", "audio", "document", "video"},
        {"text", "image"},
    )


def test_the_key_with_the_provider_in_it_wins():
    rows = {
        "deepseek/deepseek-x": {"litellm_provider": "deepseek", "mode": "chat", "max_input_tokens": 2},
        "deepseek-x": {"litellm_provider": "deepseek", "mode": "chat", "max_input_tokens": 1},
    }
    assert convert(rows).models["deepseek/deepseek-x"].context_window == 2


def test_a_row_whose_price_is_not_exact_is_refused_by_name():
    row = b'{"gpt-x":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1.5e-13}}'
    assert convert(read_map(row)).refused == ("gpt-x: 1.5E-13 USD has more than 12 decimal places",)


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"a": 1}'])
def test_what_is_no_map_is_refused(data):
    with pytest.raises(ConfigError, match="not a price map of litellm"):
        read_map(data)
