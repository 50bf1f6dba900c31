"""The official `openai` package."""

import drive
import openai
from pydantic import BaseModel

FUNCTION = {
    "type": "function",
    "function": {
        "name": drive.TOOL["name"],
        "description": drive.TOOL["description"],
        "parameters": drive.TOOL["schema"],
        "strict": True,
    },
}


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


def user(content) -> dict:
    return {"role": "user", "content": content}


def verdict(choice, usage) -> dict:
    return {
        "text": choice.message.content,
        "stop": choice.finish_reason,
        "tokens": [usage.prompt_tokens, usage.completion_tokens],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.ai = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=timeout_s)

    def chat(self, model):
        answer = self.ai.chat.completions.create(model=model, messages=[user("Hi")])
        return verdict(answer.choices[0], answer.usage)

    def stream(self, model):
        options = {"include_usage": True}
        with self.ai.chat.completions.stream(
            model=model, messages=[user("Hi")], stream_options=options
        ) as stream:
            pieces = [event.delta for event in stream if event.type == "content.delta"]
            final = stream.get_final_completion()
        assert "".join(pieces) == final.choices[0].message.content
        return verdict(final.choices[0], final.usage) | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        messages = [user(drive.QUESTION)]
        first = self.ai.chat.completions.create(model=model, messages=messages, tools=[FUNCTION])
        call = first.choices[0].message.tool_calls[0]
        messages += [
            first.choices[0].message,
            {"role": "tool", "tool_call_id": call.id, "content": drive.RESULT},
        ]
        second = self.ai.chat.completions.create(model=model, messages=messages, tools=[FUNCTION])
        return {
            "call": [call.function.name, drive.json.loads(call.function.arguments)],
            "text": second.choices[0].message.content,
        }

    def image(self, model):
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{drive.PNG}"}}
        asked = user([{"type": "text", "text": "What is this?"}, picture])
        answer = self.ai.chat.completions.create(model=model, messages=[asked])
        return {"text": answer.choices[0].message.content}

    def structured(self, model):
        answer = self.ai.chat.completions.parse(
            model=model, messages=[user("Name a city")], response_format=City
        )
        return answer.choices[0].message.parsed.model_dump()

    def embeddings(self, model):
        answer = self.ai.embeddings.create(model=model, input=["one", "two"])
        return [len(answer.data), len(answer.data[0].embedding)]

    def models(self):
        return [model.id for model in self.ai.models.list()][:3]

    def leave(self, model, leaving):
        stream = self.ai.chat.completions.create(model=model, messages=[user("Hi")], stream=True)
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        leaving()
        stream.close()
        return True


if __name__ == "__main__":
    drive.run(Driver)
