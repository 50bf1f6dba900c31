"""Upstreams that continue a prompt: ten families by one codec."""

import json
from base64 import b64encode
from collections import Counter

import pytest

from tests.codecs.recorded import exchanges
from turnout.codecs.eventstream import write_event
from turnout.codecs.hosts import compose
from turnout.codecs.openai_chat import OpenAICompletionsDialect
from turnout.codecs.prompt import Prompt, verify
from turnout.codecs.prompt.families import FAMILIES
from turnout.errors import UnsupportedParameter
from turnout.testing.codec import check_codec, read_stream
from turnout.types.chat import ChatRequest, Media, Message, Text, Tool
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Finish, Start, TextDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

BASE = "https://text.test/v1"
CODEC = Prompt()
TALK = (
    Message("system", (Text("Be brief."),)),
    Message("user", (Text("Hi"),)),
    Message("assistant", (Text("Hello."),)),
    Message("user", (Text("Who?"),)),
)
LINES = (
    b'{"model":"m","response":"Hel","done":false}\n'
    b'{"model":"m","response":"lo","done":false}\n'
    b'{"model":"m","response":"","done":true,"done_reason":"length","prompt_eval_count":3,"eval_count":2}\n'
)
EVENTS = (
    b'data: {"id":"c1","model":"m","choices":[{"index":0,"text":"Hello","finish_reason":null}]}\n\n'
    b'data: {"id":"c1","model":"m","choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)


def to(family="", model="m", host=None):
    vendor = Vendor(name="text", base_url=BASE, codec="prompt", quirks=Quirks(prompt=family), host=host)
    return Deployment(
        id=f"text/{model}", vendor=vendor, model=Model(id=f"text/{model}"), upstream_model=model
    )


def ask(messages=TALK, **fields):
    return ChatRequest(model="m", messages=messages, **fields)


def sent(request, deployment, codec=CODEC):
    http = codec.encode(request, deployment).http
    return http.url.removeprefix(BASE), json.loads(http.body)


def whole(**tree):
    return CODEC.decode(HttpResponse(200, {}, json.dumps(tree).encode()))


@pytest.mark.parametrize(("family", "stream"), [("ollama", LINES), ("openai", EVENTS)])
def test_it_keeps_the_contract_of_a_codec(family, stream):
    answer = {"choices": [{"text": "x", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    check_codec(CODEC, to(family), streams=[stream], answers=[json.dumps(answer).encode()])


PLAIN = "Be brief.\n\nUser: Hi\nAssistant: Hello.\nUser: Who?\nAssistant:"
LLAMA3 = "".join(
    f"<|start_header_id|>{role}<|end_header_id|>\n\n{words}<|eot_id|>"
    for role, words in (("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Who?"))
)
PROMPTS = {
    "openai": PLAIN,
    "ollama": "User: Hi\nAssistant: Hello.\nUser: Who?\nAssistant:",
    "cohere_chat": "Who?",
    "cohere_generate": PLAIN,
    "titan": "Be brief.\n\nUser: Hi\nBot: Hello.\nUser: Who?\nBot:",
    "jurassic": PLAIN,
    "mistral": "<s>[INST] Be brief.\n\nHi [/INST] Hello.</s>[INST] Who? [/INST]",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Who? [/INST]",
    "llama3": f"<|begin_of_text|>{LLAMA3}<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama4": (
        f"<|begin_of_text|>{LLAMA3}<|start_header_id|>assistant<|end_header_id|>\n\n".replace(
            "header_id|", "header|"
        )
        .replace("start_header", "header_start")
        .replace("end_header", "header_end")
        .replace("eot_id", "eot")
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_turns_become_one_prompt_by_the_familys_template(family):
    _, body = sent(ask(), to(family))
    assert body[FAMILIES[family].prompt] == PROMPTS[family]


@pytest.mark.parametrize("family", ["llama2", "llama3", "llama4", "mistral"])
def test_what_somebody_says_does_not_end_their_turn(family):
    template = FAMILIES[family].template
    borders = "".join((template.begin, *(template.system or ()), *template.user, *template.assistant))
    body = sent(ask((Message("user", (Text(borders),)),)), to(family))[1]
    plain = sent(ask((Message("user", (Text("words"),)),)), to(family))[1]
    before, after = plain["prompt"].split("words")
    words = body["prompt"].removeprefix(before).removesuffix(after)
    assert words != borders
    assert words.replace(" ", "") == borders.replace(" ", "")
    assert not any(mark in words for mark in template.marks)


def test_numbers_stand_where_the_family_has_them():
    asked = ask(max_tokens=9, temperature=0.5, top_p=0.9, stop=("x",), stream=True)
    assert sent(asked, to("openai")) == (
        "/completions",
        {
            "model": "m",
            "prompt": PLAIN,
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["x", "\nUser:"],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )
    options = {"num_predict": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["x", "\nUser:"]}
    assert sent(asked, to("ollama"))[1] == {
        "model": "m",
        "prompt": PROMPTS["ollama"],
        "system": "Be brief.",
        "options": options,
        "stream": True,
    }
    assert sent(asked, to("cohere_chat"))[1] == {
        "model": "m",
        "message": "Who?",
        "chat_history": [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Hello."}],
        "preamble": "Be brief.",
        "max_tokens": 9,
        "temperature": 0.5,
        "p": 0.9,
        "stop_sequences": ["x"],
        "stream": True,
    }


def test_a_prompt_goes_on_as_it_came_and_a_question_alone_is_one():
    raw = OpenAICompletionsDialect().parse(b'{"model":"m","prompt":"Once upon","max_tokens":3}').request
    assert sent(raw, to("llama3"))[1]["prompt"] == "Once upon"
    assert sent(ask(TALK[1:2]), to("openai"))[1] == {"model": "m", "prompt": "Hi", "stream": False}


def test_a_cloud_that_has_several_families_tells_them_by_the_models_name():
    codec = compose("bedrock_invoke", Prompt())
    for model, family in (
        ("amazon.titan-text-express-v1", "titan"),
        ("us.meta.llama3-1-70b-instruct-v1:0", "llama3"),
        ("meta.llama4-scout", "llama4"),
        ("cohere.command-r-v1:0", "cohere_chat"),
        ("cohere.command-text-v14", "cohere_generate"),
        ("ai21.j2-mid-v1", "jurassic"),
    ):
        path, body = sent(ask(stream=True), to(model=model, host="bedrock_invoke"), codec)
        assert path == f"/model/{model.replace(':', '%3A')}/invoke-with-response-stream"
        assert body[FAMILIES[family].prompt] == PROMPTS[family]
        assert not {"model", "stream", "anthropic_version"} & set(body)
    with pytest.raises(UnsupportedParameter):
        sent(ask(), to(model="amazon.nova-lite-v1:0"))


def test_what_a_prompt_cannot_say_is_refused_and_the_rest_told():
    picture = Message("user", (Media(kind="image", url="http://x"),))
    for wrong in (
        {"tools": (Tool(name="t"),)},
        {"n": 2},
        {"logprobs": True},
        {"messages": (picture,)},
        {"messages": (Message("tool", (Text("x"),)),)},
    ):
        with pytest.raises(UnsupportedParameter):
            sent(ask(**wrong), to("openai"))
    with pytest.raises(UnsupportedParameter):
        sent(ask(stop=("x",)), to("llama3"))
    assert CODEC.encode(ask(seed=1, user="u"), to("titan")).dropped == ("seed", "user")


def test_an_answer_is_known_by_where_its_text_stands():
    told = [
        whole(choices=[{"text": "a", "finish_reason": "length"}], usage={"prompt_tokens": 1}),
        whole(response="a", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2),
        whole(
            inputTextTokenCount=3.0,
            results=[{"outputText": "a", "tokenCount": 2.0, "completionReason": "FINISH"}],
        ),
        whole(generation="a", stop_reason="length", prompt_token_count=3, generation_token_count=2),
        whole(outputs=[{"text": "a", "stop_reason": "stop"}]),
        whole(
            text="a",
            finish_reason="MAX_TOKENS",
            meta={"billed_units": {"input_tokens": 3, "output_tokens": 2}},
        ),
    ]
    both = Usage(input_uncached=3, output_text=2)
    assert [(each.choices[0].parts, each.choices[0].finish, each.usage) for each in told] == [
        ((Text("a"),), "length", Usage(input_uncached=1)),
        ((Text("a"),), "stop", both),
        ((Text("a"),), "stop", both),
        ((Text("a"),), "length", both),
        ((Text("a"),), "stop", Usage()),
        ((Text("a"),), "length", both),
    ]


def test_a_streams_usage_may_follow_its_end():
    assert read_stream(CODEC.decoder(), [EVENTS]) == (
        [
            Start(id="c1", model="m"),
            TextDelta("Hello"),
            Finish(reason="stop", native="stop"),
            UsageUpdate(Usage(input_uncached=3, output_text=2)),
        ],
        None,
    )


def test_a_guardrail_of_the_providers_ends_a_stream_that_says_nothing_else():
    chunk = {"outputText": "Blocked", "amazon-bedrock-guardrailAction": "INTERVENED"}
    frame = write_event(
        "chunk", json.dumps({"bytes": b64encode(json.dumps(chunk).encode()).decode()}).encode()
    )
    events, failed = read_stream(compose("bedrock_invoke", Prompt()).decoder(), [frame])
    assert (events[1:], failed) == (
        [TextDelta("Blocked"), Finish(reason="content_filter", native="INTERVENED")],
        None,
    )


def test_every_recorded_call_means_the_same_after_decoding(shared):
    names = ("openai", "ollama", "cohere", "openai-compatible-local")
    checks = [verify.check(record) for name in names for record in exchanges(shared, name, verify.speaks)]
    compared = sum((Counter(check.compared) for check in checks), Counter())
    assert [str(mismatch) for check in checks for mismatch in check.mismatches] == []
    assert (len(checks), compared["text"]) == (19, 19)
