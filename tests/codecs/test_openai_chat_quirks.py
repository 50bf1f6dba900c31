"""The express track, and the departures of hosts on both tracks."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from turnout.codecs.openai_chat import CODEC, DIALECT
from turnout.codecs.openai_chat.quirks import short_id
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import Message, Text
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.json import Json

HI = Message("user", (Text("hi"),))
USER: dict[str, Json] = {"role": "user", "content": "hi"}


def at(**quirks: Any) -> Deployment:
    return Deployment(
        id="acme/m",
        vendor=Vendor(
            name="acme", base_url="https://acme.test/v1", codec="openai_chat", quirks=Quirks(**quirks)
        ),
        model=Model(id="acme/m"),
        upstream_model="m-2026",
    )


def forwarded(tree: Mapping[str, Json], *, stream: bool = False, **quirks: Any) -> dict[str, Any]:
    encoded = CODEC.forward(Wire("openai_chat", tree), at(**quirks), stream=stream)
    sent: dict[str, Any] = json.loads(encoded.http.body)
    return sent


def test_express_changes_only_model_and_usage() -> None:
    tree: dict[str, Json] = {
        "model": "x",
        "messages": [USER],
        "max_tokens": 3,
        "stream": True,
        "unheard_of": {"a": 1},
    }
    assert forwarded(tree, stream=True) == {
        **tree,
        "model": "m-2026",
        "stream_options": {"include_usage": True},
    }
    assert tree["model"] == "x"


def test_express_keeps_other_stream_options() -> None:
    tree: dict[str, Json] = {
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    sent = forwarded(tree, stream=True)
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in forwarded(tree, stream=True, stream_usage=False)
    assert forwarded(tree, stream=False)["stream"] is False


def test_quirks_hold_on_both_tracks() -> None:
    picture: Json = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    tree: dict[str, Json] = {
        "model": "x",
        "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": [picture]}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required",
        "max_completion_tokens": 5,
        "service_tier": "flex",
    }
    quirks: dict[str, Any] = {
        "required_as_any": True,
        "image_url_string": True,
        "unsupported": frozenset({"service_tier", "seed"}),
    }
    expected = {
        "model": "m-2026",
        "messages": [
            {"role": "system", "content": "d"},
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]},
        ],
        "tools": tree["tools"],
        "tool_choice": "any",
        "max_tokens": 5,
    }
    request = DIALECT.parse(json.dumps(tree).encode()).request
    encoded = CODEC.encode(request, at(**quirks))
    passed = CODEC.forward(Wire("openai_chat", tree), at(**quirks), stream=False)
    for sent in (encoded, passed):
        assert (json.loads(sent.http.body), sent.dropped) == (expected, ("service_tier",))
    assert (
        forwarded(tree, developer_role=True, max_tokens_field="max_completion_tokens")["messages"]
        == tree["messages"]
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"stop": ["x"]}, "stop"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
    ],
)
def test_a_parameter_that_changes_the_answer_is_refused_not_dropped(
    fields: dict[str, Json], param: str
) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        forwarded({"messages": [USER], **fields}, unsupported=frozenset(fields))
    assert caught.value.param == param


def test_parameters_that_say_the_default_are_dropped() -> None:
    fields: dict[str, Json] = {
        "n": 1,
        "logprobs": False,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "stop": [],
    }
    sent = CODEC.forward(
        Wire("openai_chat", {"messages": [USER], **fields}), at(unsupported=frozenset(fields)), stream=False
    )
    assert json.loads(sent.http.body).keys() == {"messages", "model"}


def test_a_schema_is_refused_where_it_is_not_understood() -> None:
    with pytest.raises(UnsupportedParameter):
        forwarded({"messages": [USER], "response_format": {"type": "json_schema"}}, json_schema=False)


def test_call_ids_take_the_length_the_host_demands() -> None:
    call: Json = {"id": "call_abcdefgh", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    kept: Json = {"id": "A1b2C3d4E", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sent = forwarded(
        {
            "messages": [
                {"role": "assistant", "tool_calls": [call, kept]},
                {"role": "tool", "tool_call_id": "call_abcdefgh", "content": "1"},
                {"role": "tool", "tool_call_id": "A1b2C3d4E", "content": "2"},
            ]
        },
        tool_id_length=9,
    )["messages"]
    short = short_id("call_abcdefgh", 9)
    assert len(short) == 9
    assert [call["id"] for call in sent[0]["tool_calls"]] == [short, "A1b2C3d4E"]
    assert [sent[1]["tool_call_id"], sent[2]["tool_call_id"]] == [short, "A1b2C3d4E"]
