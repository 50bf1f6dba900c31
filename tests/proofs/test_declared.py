"""Tools that are remembered take a few megabytes, however many there are."""

import gc
import tracemalloc

import msgspec
import pytest

from turnout.registry import load
from turnout.types.chat import ChatRequest, Message, Text, Tool
from turnout.types.deployment import Deployment, Model, Vendor

FORMATS = ("openai_chat", "openai_responses", "anthropic", "gemini")
WORDS = "A turnout lets a train change from one track to another, as the people in the signal box decide. "
MOST = 8_000_000


def to(name):
    vendor = Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=name)
    return Deployment(id="acme/m", vendor=vendor, model=Model(id="acme/m"), upstream_model="m")


def asked(at, n_tools, n_words):
    described = {f"p{i}": {"type": "string", "description": WORDS} for i in range(6)}
    schema = {"type": "object", "properties": described, "required": ["p0"]}
    tools = tuple(
        Tool(name=f"look{at}_{i}", description=WORDS * n_words, schema=schema) for i in range(n_tools)
    )
    return ChatRequest(model="m", messages=(Message("user", (Text("Hi"),)),), tools=tools, max_tokens=9)


@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize(("n_tools", "n_words"), [(2, 1), (16, 6)])
def test_seven_hundred_sets_of_tools_take_a_few_megabytes(client, n_tools, n_words):
    codecs = {name: load("turnout.codecs", name)() for name in FORMATS}
    dialect = load("turnout.dialects", client)()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for at in range(700):
        raw = codecs[client].encode(asked(at, n_tools, n_words), to(client)).http.body
        if client == "gemini":
            raw = msgspec.json.encode({**msgspec.json.decode(raw), "model": "m"})
        for _ in range(4):
            request = dialect.parse(raw).request
            for name in FORMATS:
                codecs[name].encode(request, to(name))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < MOST
