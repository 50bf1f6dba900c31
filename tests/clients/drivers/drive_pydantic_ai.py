"""Pydantic AI over its OpenAI model class; its Anthropic and Google classes wrap the official packages."""

import asyncio
import base64

import drive
import openai
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.base, self.key, self.timeout_s = base, key, timeout_s

    def agent(self, model, **more):
        ai = openai.AsyncOpenAI(
            base_url=f"{self.base}/v1", api_key=self.key, max_retries=0, timeout=self.timeout_s
        )
        return Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=ai)), **more)

    def chat(self, model):
        result = self.agent(model).run_sync("Hi")
        usage, last = result.usage, result.all_messages()[-1]
        usage = usage() if callable(usage) else usage
        return {
            "text": result.output,
            "stop": last.finish_reason,
            "tokens": [usage.input_tokens, usage.output_tokens],
        }

    def stream(self, model):
        return asyncio.run(self._stream(model))

    async def _stream(self, model):
        async with self.agent(model).run_stream("Hi") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
            usage, last = result.usage, result.all_messages()[-1]
        usage = usage() if callable(usage) else usage
        return {
            "text": "".join(pieces),
            "stop": last.finish_reason,
            "tokens": [usage.input_tokens, usage.output_tokens],
            "streamed": len(pieces) > drive.FEW,
        }

    def tools(self, model):
        called = []
        agent = self.agent(model)

        @agent.tool_plain
        def weather(city: str) -> str:
            """Weather of a city."""
            called.append(["weather", {"city": city}])
            return drive.RESULT

        return {"text": agent.run_sync(drive.QUESTION).output, "call": called[0]}

    def image(self, model):
        picture = BinaryContent(base64.b64decode(drive.PNG), media_type="image/png")
        return {"text": self.agent(model).run_sync(["What is this?", picture]).output}

    def structured(self, model):
        agent = self.agent(model, output_type=NativeOutput(City))
        return agent.run_sync("Name a city").output.model_dump()

    def leave(self, model, leaving):
        asyncio.run(self._leave(model, leaving))
        return True

    async def _leave(self, model, leaving):
        async with self.agent(model).run_stream("Hi") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                break
            leaving()


if __name__ == "__main__":
    drive.run(Driver)
