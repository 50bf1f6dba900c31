"""A tool call through the synchronous client: the model asks, the program answers, the model goes on."""

import json

from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig
from turnout.sync import Client
from turnout.testing.emulator import Emulator, dialects, serving_in_thread

TOOL = {
    "type": "function",
    "function": {
        "name": "weather_now",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "examples": ["Lisbon"]}},
            "required": ["city"],
        },
    },
}

with serving_in_thread(Emulator(dialects())) as url:
    config = Config(
        providers={"demo": ProviderConfig(base_url=f"{url}/v1", codec="openai_chat", auth="none")},
        models=(ModelConfig(model="demo/model"),),
        journal=JournalConfig(enabled=False),
    )
    messages = [{"role": "user", "content": "How is the weather in Lisbon?"}]
    with Client(config) as client:
        answer = client.chat(messages, model="demo/model", tools=[TOOL])
        for call in answer.tool_calls:
            print(f"the model calls {call.name} with {json.loads(call.arguments)}")
            function = {"name": call.name, "arguments": call.arguments}
            asked = {"id": call.id, "type": "function", "function": function}
            messages += [
                {"role": "assistant", "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 22}'},
            ]
        print(client.chat(messages, model="demo/model", tools=[TOOL]).text)
