"""What a request loses in another format and back, feature by feature: all of it, for every pair."""

import base64
import json
from collections import Counter

import msgspec
import pytest

from tests.evaluate.translate.requests import OPENAI_CHAT, REQUESTS
from turnout.evaluate.translate.features import features, is_kept
from turnout.evaluate.translate.formats import FORMATS, asked
from turnout.evaluate.translate.pairs import NO_TURN, translate
from turnout.evaluate.translate.says import CAN, causes, is_told
from turnout.evaluate.translate.why import why
from turnout.evaluate.translate.words import unexplained
from turnout.transport.recording import Recorded
from turnout.types.chat import ChatRequest, Media, Message, Text, ToolCall, ToolResult

LOST = {
    ("openai_chat", "openai_responses"): """
        kept 27
        told cache_control frequency_penalty logit_bias message.name presence_penalty reasoning safe_prompt
          seed
    """,
    ("openai_chat", "anthropic"): """
        kept 18
        reshaped response_format.strict text.parts
        told frequency_penalty image.detail logit_bias message.name presence_penalty prompt_cache_key
          reasoning response_format.description response_format.schema safe_prompt seed service_tier
          system.place temperature verbosity
    """,
    ("openai_chat", "gemini"): """
        kept 19
        reshaped response_format.strict text.parts
        told cache_control image.detail logit_bias message.name parallel_tool_calls prompt_cache_key
          reasoning response_format.description safe_prompt service_tier system.place tool.strict user
          verbosity
    """,
    ("openai_chat", "bedrock"): """
        kept 18
        reshaped response_format.strict text.parts
        told frequency_penalty image.detail logit_bias message.name parallel_tool_calls presence_penalty
          prompt_cache_key reasoning response_format.schema safe_prompt seed service_tier system.place user
          verbosity
    """,
    ("openai_chat", "cohere"): """
        kept 23
        reshaped response_format.strict
        told cache_control logit_bias message.name parallel_tool_calls prompt_cache_key reasoning
          response_format.description safe_prompt service_tier user verbosity
    """,
    ("openai_chat", "ollama"): """
        kept 21
        reshaped response_format.strict
        told cache_control image.detail logit_bias message.name parallel_tool_calls prompt_cache_key
          reasoning response_format.description safe_prompt service_tier tool.strict user verbosity
    """,
    ("openai_responses", "openai_chat"): """
        kept 26
        told max_tool_calls message.phase reasoning.redacted thinking.shown thinking.summary
    """,
    ("openai_responses", "anthropic"): """
        kept 21
        reshaped thinking.shown
        told image.detail max_tool_calls message.phase reasoning.redacted response_format.schema
          service_tier text.verbosity thinking.summary top_p
    """,
    ("openai_responses", "gemini"): """
        kept 20
        told document.name image.detail max_tool_calls message.phase parallel_tool_calls reasoning.redacted
          service_tier text.verbosity thinking.summary tool.strict user
    """,
    ("openai_responses", "bedrock"): """
        kept 20
        reshaped thinking.shown
        told image.detail max_tool_calls message.phase parallel_tool_calls reasoning.redacted
          response_format.schema service_tier text.verbosity thinking.summary user
    """,
    ("openai_responses", "cohere"): """
        kept 0
        refused document
    """,
    ("openai_responses", "ollama"): """
        kept 0
        refused document
    """,
    ("anthropic", "openai_chat"): """
        kept 16
        reshaped order text.parts tool_result.media
        told cache_control document.citations reasoning reasoning.signature service_tier
          thinking.budget_tokens tool.cache_control tool.defer_loading tool_result.is_error
    """,
    ("anthropic", "openai_responses"): """
        kept 17
        reshaped order text.parts
        told cache_control document.citations reasoning reasoning.signature service_tier
          thinking.budget_tokens tool.cache_control tool.defer_loading tool_result.is_error
    """,
    ("anthropic", "gemini"): """
        kept 14
        reshaped order text.parts
        told cache_control document.citations document.name parallel_tool_calls reasoning
          reasoning.signature service_tier thinking.budget_tokens tool.cache_control tool.defer_loading
          tool.strict user
    """,
    ("anthropic", "bedrock"): """
        kept 20
        told document.citations parallel_tool_calls reasoning reasoning.signature service_tier
          thinking.budget_tokens tool.defer_loading user
    """,
    ("anthropic", "cohere"): """
        kept 15
        reshaped order tool_result.media
        told cache_control document.citations parallel_tool_calls reasoning reasoning.signature service_tier
          thinking.budget_tokens tool.cache_control tool.defer_loading tool_result.is_error user
    """,
    ("anthropic", "ollama"): """
        kept 13
        reshaped order text.parts tool_result.media
        told cache_control document.citations parallel_tool_calls reasoning reasoning.signature service_tier
          thinking.budget_tokens tool.cache_control tool.defer_loading tool.strict tool_result.is_error user
    """,
    ("gemini", "openai_chat"): """
        kept 20
        told labels.team safetySettings thinking.budget_tokens thinking.shown
          toolConfig.functionCallingConfig
    """,
    ("gemini", "openai_responses"): """
        kept 0
        refused stop
    """,
    ("gemini", "anthropic"): """
        kept 16
        reshaped thinking.shown
        told frequency_penalty labels.team presence_penalty safetySettings seed thinking.budget_tokens
          toolConfig.functionCallingConfig tool_call.signature
    """,
    ("gemini", "bedrock"): """
        kept 17
        reshaped thinking.shown
        told frequency_penalty labels.team presence_penalty safetySettings seed
          toolConfig.functionCallingConfig tool_call.signature
    """,
    ("gemini", "cohere"): """
        kept 20
        reshaped thinking.shown
        told labels.team safetySettings toolConfig.functionCallingConfig tool_call.signature
    """,
    ("gemini", "ollama"): """
        kept 19
        reshaped thinking.shown
        told labels.team safetySettings thinking.budget_tokens toolConfig.functionCallingConfig
          tool_call.signature
    """,
    ("bedrock", "openai_chat"): """
        kept 15
        reshaped tool_result.value
        told cache_control guardrailConfig.guardrailIdentifier guardrailConfig.guardrailVersion
          text.guardContent thinking.budget_tokens tool.cache_control tool_result.is_error
    """,
    ("bedrock", "openai_responses"): """
        kept 0
        refused stop
    """,
    ("bedrock", "anthropic"): """
        kept 18
        reshaped tool_result.value
        told guardrailConfig.guardrailIdentifier guardrailConfig.guardrailVersion text.guardContent
          thinking.budget_tokens
    """,
    ("bedrock", "gemini"): """
        kept 17
        reshaped tool_result.value
        told cache_control guardrailConfig.guardrailIdentifier guardrailConfig.guardrailVersion
          text.guardContent tool.cache_control
    """,
    ("bedrock", "cohere"): """
        kept 16
        reshaped tool_result.value
        told cache_control guardrailConfig.guardrailIdentifier guardrailConfig.guardrailVersion
          text.guardContent tool.cache_control tool_result.is_error
    """,
    ("bedrock", "ollama"): """
        kept 13
        reshaped order text.parts tool_result.value
        told cache_control guardrailConfig.guardrailIdentifier guardrailConfig.guardrailVersion
          text.guardContent thinking.budget_tokens tool.cache_control tool_result.is_error
    """,
    ("cohere", "openai_chat"): """
        kept 16
        reshaped order text.parts
        told reasoning safety_mode thinking.budget_tokens
    """,
    ("cohere", "openai_responses"): """
        kept 0
        refused stop
    """,
    ("cohere", "anthropic"): """
        kept 17
        told reasoning safety_mode seed thinking.budget_tokens
    """,
    ("cohere", "gemini"): """
        kept 15
        reshaped order text.parts
        told document.name reasoning safety_mode tool.strict
    """,
    ("cohere", "bedrock"): """
        kept 18
        told reasoning safety_mode seed
    """,
    ("cohere", "ollama"): """
        kept 15
        reshaped order text.parts
        told reasoning safety_mode thinking.budget_tokens tool.strict
    """,
    ("ollama", "openai_chat"): """
        kept 19
        told keep_alive options.num_ctx
    """,
    ("ollama", "openai_responses"): """
        kept 0
        refused stop
    """,
    ("ollama", "anthropic"): """
        kept 15
        told keep_alive options.num_ctx response_format.schema seed temperature top_k
    """,
    ("ollama", "gemini"): """
        kept 19
        told keep_alive options.num_ctx
    """,
    ("ollama", "bedrock"): """
        kept 17
        told keep_alive options.num_ctx response_format.schema seed
    """,
    ("ollama", "cohere"): """
        kept 18
        told keep_alive options.num_ctx thinking.effort
    """,
}
"""Pair of formats -> what became of each feature of the first one's request; how many were kept."""


def recorded(url, body, answer="{}"):
    return Recorded(
        id="r",
        provider="p",
        method="POST",
        url=url,
        request_headers={},
        request_body=json.dumps(body),
        status=200,
        response_headers={},
        response_body=answer,
    )


def request_of(name):
    return asked(recorded(*REQUESTS[name]))


@pytest.mark.parametrize(("origin", "other"), LOST)
def test_every_feature_is_kept_reshaped_told_or_refused(origin, other):
    pair = translate(request_of(origin), other)
    found = {"kept": {str(sum(each.verdict == "kept" for each in pair.outcomes))}}
    for each in pair.outcomes:
        if each.verdict != "kept":
            found.setdefault(each.verdict, set()).add(each.feature)
    expected = {}
    verdict = ""
    for line in LOST[origin, other].strip().splitlines():
        words = line.split()
        if not line.startswith(" " * 10):
            verdict, *words = words
        expected.setdefault(verdict, set()).update(words)
    assert (found, pair.unexplained) == (expected, ())
    assert [
        each.feature
        for each in pair.outcomes
        if each.verdict in ("told", "refused") and not why(each.feature)
    ] == []


def test_every_pair_of_formats_is_here():
    assert set(LOST) == {(origin, other) for origin in FORMATS for other in FORMATS if origin != other}
    assert set(CAN) == set(FORMATS)


BINDING = {
    "n": ({"n": 2}, {"openai_responses", "anthropic", "bedrock", "cohere", "ollama"}),
    "logprobs": ({"logprobs": True}, {"anthropic", "bedrock", "cohere", "ollama"}),
    "stop": ({"stop": ["END"]}, {"openai_responses"}),
    "tool_choice": ({"tool_choice": "required"}, {"ollama"}),
    "response_format.json_object": ({"response_format": {"type": "json_object"}}, {"anthropic", "bedrock"}),
    "server tool custom": (
        {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
        set(FORMATS) - {"openai_chat"},
    ),
    "audio": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}],
                }
            ]
        },
        set(FORMATS) - {"openai_chat", "gemini"},
    ),
    "image.url": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://a.invalid/b.png"}}],
                }
            ]
        },
        {"bedrock", "ollama"},
    ),
    NO_TURN: (
        {"messages": [{"role": "assistant", "content": None, "reasoning_content": "hm"}]},
        {"openai_responses", "anthropic", "bedrock"},
    ),
}
"""Feature that binds -> what says it in a chat completion, and the formats that refuse the request."""


@pytest.mark.parametrize("feature", BINDING)
def test_what_binds_refuses_the_request_for_its_own_sake(feature):
    fields, refusing = BINDING[feature]
    plain = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "tools": OPENAI_CHAT["tools"]}
    request = asked(recorded(REQUESTS["openai_chat"][0], {**plain, **fields}))
    pairs = [translate(request, other) for other in FORMATS if other != "openai_chat"]
    refused = {
        pair.other
        for pair in pairs
        for each in pair.outcomes
        if (each.verdict, each.feature) == ("refused", feature)
    }
    assert refused == refusing
    assert Counter(each.verdict for pair in pairs for each in pair.outcomes)["lost"] == 0


def said(*parts, role="user"):
    return features(ChatRequest(model="m", messages=(Message(role, parts),)))


def test_words_are_kept_wherever_they_stand_and_missed_where_one_is_gone():
    before = said(Text("one two"), Text("three"))
    assert is_kept("text", before["text"], said(Text("zero one\n two"), Text("and three")))
    assert not is_kept("text", before["text"], said(Text("three"), Text("one two")))
    assert not is_kept("text", before["text"], {})


def test_a_document_of_text_is_the_same_as_bytes_as_text_and_as_words():
    as_bytes = Media(kind="document", mime="text/plain", data=base64.b64encode(b"Water is wet.").decode())
    before = said(as_bytes)
    assert before == {"document.text": ["Water is wet."], "order": ["user media"]}
    assert is_kept(
        "document.text", before["document.text"], said(Media(kind="document", text="Water is wet."))
    )
    assert is_kept("document.text", before["document.text"], said(Text("Facts\n\nWater is wet.")))


def test_an_answer_belongs_to_its_call_whatever_the_ids():
    def conversation(*ids):
        calls = tuple(
            ToolCall(id=each, name=name, arguments="{}") for each, name in zip(ids, "ab", strict=True)
        )
        results = tuple(ToolResult(call_id=each, name=name) for each, name in zip(ids, "ab", strict=True))
        return features(
            ChatRequest(model="m", messages=(Message("assistant", calls), Message("tool", results[::-1])))
        )

    assert conversation("x", "y")["tool_result.call"] == conversation("", "")["tool_result.call"] == [1, 0]


def test_a_loss_is_told_by_its_name_its_field_or_a_word_that_means_it():
    assert is_told("top_k", ("top_k",))
    assert is_told("generationConfig.imageConfig", ("generationConfig",))
    assert is_told("tool.cache_control", ("cache_control",))
    assert is_told("block tool_use", ("messages.tool_use",))
    assert is_told("thinking.effort", ("reasoning_approximated",))
    assert not is_told("top_k", ("seed", "reasoning_dropped"))


def test_a_refusal_names_the_features_that_caused_it():
    has = ("image", "image.url", "document.id", "server tool web_search", "tool", "stop")
    assert causes(has, "messages", "this format takes no image by address; send its content") == (
        "image.url",
    )
    assert causes(has, "messages", "a stored document is known only to its provider") == ("document.id",)
    assert causes(has, "tools", "run only by its own provider") == ("server tool web_search",)
    assert causes(has, "stop", "no stop sequences") == ("stop",)
    assert causes(has, "messages", "messages hold nothing that can be answered") == ()


def test_values_are_looked_for_in_whatever_spelling_and_missed_when_they_are_gone():
    before = {"temperature": 1, "messages": [{"content": "so it is"}], "new_field": {"deep": ["word"]}}
    after = {"temperature": 1.0, "input": [{"text": "so\nit  is"}]}
    assert unexplained(before, after, []) == ("new_field.deep",)
    assert unexplained(before, after, ["new_field"]) == ()


def test_a_record_that_is_no_chat_or_was_refused_is_left_out():
    url, body = REQUESTS["openai_chat"]
    assert asked(recorded("https://api.openai.com/v1/embeddings", {"model": "m", "input": "hi"})) is None
    assert asked(msgspec.structs.replace(recorded(url, body), status=400)) is None
    assert asked(msgspec.structs.replace(recorded(url, body), request_body="--form")) is None
