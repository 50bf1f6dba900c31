"""Speaks with a gateway as Google's own client does. Arguments: address, key."""

import asyncio
import json
import sys

from google import genai
from google.genai import types


def client_of(url: str, key: str) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))


async def main(url: str, key: str) -> None:
    seen: dict[str, object] = {}
    client = client_of(url, key)
    config = {"response_modalities": ["TEXT"]}
    async with client.aio.live.connect(model="gem/talk", config=config) as session:
        seen["session"] = session.session_id
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "one two three"}]})
        said, used = "", None
        async for message in session.receive():
            said += message.text or ""
            used = message.usage_metadata or used
        seen["said"], seen["tokens"] = said, [used.prompt_token_count, used.response_token_count]
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "use the tool"}]})
        async for message in session.receive():
            for call in message.tool_call.function_calls if message.tool_call else ():
                answer = types.FunctionResponse(id=call.id, name=call.name, response={"sky": "rain"})
                await session.send_tool_response(function_responses=[answer])
                seen["called"] = [call.name, call.args]
    async with client.aio.live.connect(
        model="gem/talk", config={"response_modalities": ["AUDIO"]}
    ) as session:
        await session.send_realtime_input(
            audio=types.Blob(data=bytes(3200), mime_type="audio/pcm;rate=16000")
        )
        await session.send_realtime_input(text="four five")
        sound = b""
        async for message in session.receive():
            sound += message.data or b""
        seen["sound"] = len(sound)
    for name, model, shown in (("no key", "gem/talk", "tn_wrong"), ("no model", "nobody", key)):
        try:
            async with client_of(url, shown).aio.live.connect(model=model, config=config):
                seen[name] = "opened"
        except Exception as error:  # noqa: BLE001  whatever the client's library raises
            seen[name] = next((word for word in ("401", "model_not_found") if word in str(error)), str(error))
    sys.stdout.write(json.dumps(seen) + "\n")


asyncio.run(main(*sys.argv[1:]))
