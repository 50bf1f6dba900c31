"""Stream an answer from a route whose first provider is down: the second answers, and the record says why."""

import asyncio

from turnout.client import AsyncClient
from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig, RouteConfig
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects, serving
from turnout.types.event import TextDelta


async def main() -> None:
    emulator = Emulator(dialects())
    emulator.add("first", behaviour=Behaviour(faults=(Fault(kind="overloaded"),)))
    async with serving(emulator) as url:
        config = Config(
            providers={
                "north": ProviderConfig(base_url=f"{url}/v1", codec="openai_chat", auth="none"),
                "south": ProviderConfig(base_url=f"{url}/v1beta", codec="gemini", auth="none"),
            },
            models=(ModelConfig(model="north/first"), ModelConfig(model="south/second")),
            routes=(RouteConfig(name="assistant", models=("north/first", "south/second"), max_retries=0),),
            journal=JournalConfig(enabled=False),
        )
        async with (
            AsyncClient(config) as client,
            client.stream("Name three colours.", model="turnout/assistant") as stream,
        ):
            async for event in stream:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
        print()

    for attempt in stream.answer.attempts:
        print(f"{attempt.model}: {attempt.outcome} {attempt.error or ''}")


asyncio.run(main())
