"""What OpenAI's two formats share goes from one to the other, where the host knows it."""

import json

import pytest

from turnout.codecs.openai_chat import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_responses import OpenAIResponses, OpenAIResponsesDialect
from turnout.types.deployment import Deployment, Model, Quirks, Vendor

SHARED = {"service_tier": "flex", "metadata": {"team": "a"}, "prompt_cache_key": "k"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **SHARED}
RESPONSES = {"model": "m", "input": "hi", **SHARED}


def upstream(codec, *, knows):
    quirks = Quirks(openai_fields=knows)
    vendor = Vendor(name="v", base_url="https://v.invalid", codec=codec.wire, quirks=quirks)
    return Deployment(id="m", vendor=vendor, model=Model(id="v/m"), upstream_model="m")


def written(dialect, codec, body, *, knows=True):
    request = dialect.parse(json.dumps(body).encode()).request
    sent = codec.encode(request, upstream(codec, knows=knows))
    return json.loads(sent.http.body), sent.dropped


def test_a_chat_client_keeps_them_at_an_upstream_that_speaks_responses():
    body, dropped = written(
        OpenAIChatDialect(), OpenAIResponses(), {**CHAT, "verbosity": "low", "safe_prompt": True}
    )
    assert {name: body[name] for name in (*SHARED, "text")} == {**SHARED, "text": {"verbosity": "low"}}
    assert dropped == ("safe_prompt",)


def test_a_responses_client_keeps_them_at_an_upstream_that_speaks_chat():
    body, dropped = written(
        OpenAIResponsesDialect(),
        OpenAIChat(),
        {**RESPONSES, "text": {"verbosity": "low"}, "max_tool_calls": 2},
    )
    assert body["verbosity"] == "low"
    assert body["service_tier"] == "flex"
    assert dropped == ("max_tool_calls",)


@pytest.mark.parametrize(
    ("dialect", "codec", "body"),
    [
        (OpenAIChatDialect(), OpenAIResponses(), CHAT),
        (OpenAIResponsesDialect(), OpenAIChat(), {**RESPONSES, "text": {"verbosity": "low"}}),
    ],
)
def test_a_host_that_may_refuse_them_does_not_get_them(dialect, codec, body):
    sent, dropped = written(dialect, codec, body, knows=False)
    assert not {*SHARED, "verbosity"} & sent.keys()
    assert {"service_tier", "prompt_cache_key"} <= set(dropped)
