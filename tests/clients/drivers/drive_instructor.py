"""The `instructor` package over the official `openai` one: structured output by a tool."""

import drive
import instructor
import openai
from pydantic import BaseModel


class City(BaseModel):
    """What is asked for."""

    name: str
    population: int


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        ai = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=timeout_s)
        self.by_tool = instructor.from_openai(ai, mode=instructor.Mode.TOOLS)
        self.by_schema = instructor.from_openai(ai, mode=instructor.Mode.JSON_SCHEMA)

    def ask(self, ai, model):
        return ai.chat.completions.create_with_completion(
            model=model,
            messages=[{"role": "user", "content": "Name a city"}],
            response_model=City,
            max_retries=0,
        )

    def chat(self, model):
        _, answer = self.ask(self.by_schema, model)
        return {"text": answer.choices[0].message.content, "stop": answer.choices[0].finish_reason}

    def tools(self, model):
        city, answer = self.ask(self.by_tool, model)
        call = answer.choices[0].message.tool_calls[0]
        assert city.model_dump() == drive.json.loads(call.function.arguments)
        return {"call": [call.function.name, city.model_dump()]}

    def structured(self, model):
        return self.ask(self.by_schema, model)[0].model_dump()

    def stream(self, model):
        partial = self.by_tool.chat.completions.create_partial(
            model=model,
            messages=[{"role": "user", "content": "Name a city"}],
            response_model=City,
            max_retries=0,
        )
        return list(partial)[-1].model_dump()


if __name__ == "__main__":
    drive.run(Driver)
