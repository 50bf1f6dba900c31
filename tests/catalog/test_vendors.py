"""Rows of vendors.toml, and what recorded traffic says about them."""

import json
import re
from urllib.parse import urlsplit

import pytest

from turnout.catalog.vendors import (
    find_vendor,
    is_free,
    maker_of,
    parse_vendors,
    placeholders,
    vendor,
    vendors,
)
from turnout.errors import ConfigError
from turnout.types.deployment import Quirks, Vendor

REQUEST_FIELDS = {
    *(
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "metadata",
        "modalities",
        "n",
        "parallel_tool_calls",
    ),
    *(
        "prediction",
        "presence_penalty",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream_options",
        "tool_choice",
    ),
    *("tools", "top_logprobs", "user"),
}
PATHS = {
    "openai_chat": "/chat/completions",
    "anthropic": "/messages",
    "gemini": "/models/",
    "cohere": "/chat",
    "bedrock": "/model/",
    "ollama": "/api/chat",
}
RECORDED = [
    ("anthropic", "anthropic"),
    ("bedrock-mantle", "bedrock_mantle"),
    ("bedrock", "bedrock"),
    ("cerebras", "cerebras"),
    ("cohere", "cohere"),
    ("deepseek", "deepseek"),
    ("gemini", "gemini"),
    ("gemini", "gemini_openai"),
    ("groq", "groq"),
    ("mistral", "mistral"),
    ("ollama", "ollama_cloud"),
    ("ollama", "ollama_native"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("other", "together"),
    ("perplexity", "perplexity"),
    ("zai", "zai"),
]


def records(shared, name):
    with (shared / "wire" / f"{name}.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


def read(text):
    """Return a recorded body; none for one whose recording is damaged."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def calls(shared, file, row, path=""):
    """Recorded calls to the place where the codec of a row would send them."""
    place = re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(row.base_url + (path or PATHS[row.codec])))
    return [r for r in records(shared, file) if r["method"] == "POST" and re.match(place, r["url"])]


def problem(text):
    with pytest.raises(ConfigError) as caught:
        parse_vendors(text, "v.toml")
    return caught.value.problems


def test_there_are_at_least_25_openai_compatible_vendors_and_the_others():
    codecs = [row.codec for row in vendors().values()]
    assert codecs.count("openai_chat") >= 25
    assert (vendor("anthropic").codec, vendor("gemini").codec) == ("anthropic", "gemini")


@pytest.mark.parametrize("name", vendors())
def test_a_row_has_a_safe_address_a_page_and_a_date(name):
    row = vendors()[name]
    address = urlsplit(row.base_url)
    assert address.scheme == "https" or address.hostname == "127.0.0.1"
    assert not row.base_url.endswith("/")
    assert urlsplit(row.docs).scheme == "https"
    assert re.fullmatch(r"2\d{3}-\d\d-\d\d", row.seen)


@pytest.mark.parametrize("name", vendors())
def test_a_row_names_a_known_codec_a_key_and_known_fields(name):
    row = vendors()[name]
    assert row.codec in PATHS
    assert bool(row.env) == (row.auth != "none")
    assert row.quirks.unsupported <= REQUEST_FIELDS
    assert row.quirks.max_tokens_field in {"max_tokens", "max_completion_tokens"}
    assert row.quirks.reasoning_field in {"reasoning", "reasoning_content"}
    assert row.quirks.stream_usage or row.codec == "openai_chat"


def test_no_name_alias_or_prefix_means_two_vendors():
    rows = vendors().values()
    names = [name for row in rows for name in (row.name, *row.aliases)]
    prefixes = [prefix for row in rows for prefix in row.makes]
    assert len(names) == len(set(names))
    assert len(prefixes) == len(set(prefixes))


def test_an_alias_finds_the_vendor():
    assert find_vendor("together_ai") == vendor("together")


def test_an_unknown_vendor_suggests_the_nearest():
    with pytest.raises(ConfigError, match=re.escape("no vendor 'opnai'; did you mean \"openai\"?")):
        vendor("opnai")


def test_the_maker_of_a_bare_id_is_known_by_its_prefix():
    makers = [maker_of(name) for name in ("claude-next", "gpt-9", "o3-mini", "gemini-9-pro", "llama-3")]
    assert [maker.name if maker else None for maker in makers] == [
        "anthropic",
        "openai",
        "openai",
        "gemini",
        None,
    ]


def test_an_address_with_placeholders_names_them():
    assert placeholders(vendor("azure").base_url) == ("resource",)
    assert placeholders(vendor("openai").base_url) == ()


def test_only_models_on_an_own_server_are_free():
    names = ("ollama/qwen3", "llamacpp/any", "ollama/gpt-oss:120b-cloud", "ollama_cloud/qwen3", "groq/qwen3")
    assert [is_free(name) for name in names] == [True, True, False, False, False]


def test_a_row_is_read_with_its_defaults():
    row = parse_vendors(
        '[acme]\nbase_url = "https://acme.example/v1"\n[acme.quirks]\njson_schema = false\n', "v.toml"
    )
    assert row == {
        "acme": Vendor(
            name="acme",
            base_url="https://acme.example/v1",
            codec="openai_chat",
            quirks=Quirks(json_schema=False),
        )
    }


def test_unknown_keys_are_refused_with_the_nearest_known():
    text = '[acme]\nbase_url = "https://acme.example"\nbase_ulr = "x"\n[acme.quirks]\nunsuported = []\n'
    assert problem(text) == (
        "v.toml: [acme] has an unknown key 'base_ulr'; did you mean \"base_url\"?",
        "v.toml: [acme] has an unknown key 'unsuported'; did you mean \"unsupported\"?",
    )


def test_a_row_without_an_address_is_refused():
    assert problem("[acme]\nenv = []\n") == ("v.toml: [acme] Object missing required field `base_url`",)


def test_what_is_not_a_table_is_refused():
    assert problem("acme = 1\n") == ("v.toml: acme is not a table; expected [acme]",)


def test_broken_toml_is_refused():
    (line,) = problem("[acme")
    assert line.startswith("v.toml is not TOML: ")


@pytest.mark.parametrize(("file", "name"), RECORDED)
def test_recorded_calls_went_where_the_row_says(shared, file, name):
    assert calls(shared, file, vendor(name))


@pytest.mark.parametrize("name", ["azure", "azure_ai"])
def test_recorded_calls_to_azure_used_the_versionless_address(shared, name):
    assert calls(shared, "azure", vendor(name), "/responses")


@pytest.mark.parametrize(
    ("file", "name"), [pair for pair in RECORDED if pair[1] not in {"anthropic", "gemini"}]
)
def test_recorded_reasoning_came_in_the_field_the_row_says(shared, file, name):
    row = vendor(name)
    other = {"reasoning": '"reasoning_content":', "reasoning_content": '"reasoning":'}[
        row.quirks.reasoning_field
    ]
    assert not [record["id"] for record in calls(shared, file, row) if other in record["response_body"]]


@pytest.mark.parametrize(("file", "name"), RECORDED)
def test_no_recorded_call_that_worked_used_a_field_the_row_calls_unsupported(shared, file, name):
    row = vendor(name)
    worked = [
        body for r in calls(shared, file, row) if r["status"] == 200 and (body := read(r["request_body"]))
    ]
    assert not [
        body.keys() & row.quirks.unsupported for body in worked if body.keys() & row.quirks.unsupported
    ]


def test_recorded_tool_ids_of_mistral_have_the_length_the_row_says(shared):
    row = vendor("mistral")
    answers = [
        json.loads(r["response_body"]) for r in calls(shared, "mistral", row) if r["response_body"][0] == "{"
    ]
    messages = [choice["message"] for answer in answers for choice in answer.get("choices", ())]
    lengths = {len(call["id"]) for message in messages for call in message.get("tool_calls") or ()}
    assert lengths == {row.quirks.tool_id_length}
