"""The official `mistralai` package: its own dialect is chat completions with a few fields of its own."""

import drive
from mistralai.client import Mistral
from mistralai.client.utils import RetryConfig
from pydantic import BaseModel

FUNCTION = {
    "type": "function",
    "function": {
        "name": drive.TOOL["name"],
        "description": drive.TOOL["description"],
        "parameters": drive.TOOL["schema"],
    },
}


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


def user(content) -> dict:
    return {"role": "user", "content": content}


def verdict(text, choice, usage) -> dict:
    return {
        "text": text,
        "stop": choice.finish_reason,
        "tokens": [usage.prompt_tokens, usage.completion_tokens],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        never = RetryConfig("none", None, False)
        self.ai = Mistral(api_key=key, server_url=base, timeout_ms=int(timeout_s * 1000), retry_config=never)

    def chat(self, model):
        answer = self.ai.chat.complete(model=model, messages=[user("Hi")])
        return verdict(answer.choices[0].message.content, answer.choices[0], answer.usage)

    def stream(self, model):
        with self.ai.chat.stream(model=model, messages=[user("Hi")]) as stream:
            chunks = [event.data for event in stream]
        pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        pieces = [piece for piece in pieces if piece]
        last = [chunk.choices[0] for chunk in chunks if chunk.choices][-1]
        usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)
        if usage is None:
            return {"text": "".join(pieces), "stop": last.finish_reason, "streamed": len(pieces) > drive.FEW}
        return verdict("".join(pieces), last, usage) | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        messages = [user(drive.QUESTION)]
        first = self.ai.chat.complete(model=model, messages=messages, tools=[FUNCTION])
        call = first.choices[0].message.tool_calls[0]
        messages += [
            first.choices[0].message,
            {"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": drive.RESULT},
        ]
        second = self.ai.chat.complete(model=model, messages=messages, tools=[FUNCTION])
        return {
            "call": [call.function.name, drive.json.loads(call.function.arguments)],
            "text": second.choices[0].message.content,
        }

    def image(self, model):
        picture = {"type": "image_url", "image_url": f"data:image/png;base64,{drive.PNG}"}
        asked = user([{"type": "text", "text": "What is this?"}, picture])
        answer = self.ai.chat.complete(model=model, messages=[asked])
        return {"text": answer.choices[0].message.content}

    def structured(self, model):
        answer = self.ai.chat.parse(City, model=model, messages=[user("Name a city")])
        return answer.choices[0].message.parsed.model_dump()

    def embeddings(self, model):
        answer = self.ai.embeddings.create(model=model, inputs=["one", "two"])
        return [len(answer.data), len(answer.data[0].embedding)]

    def models(self):
        return [model.id for model in self.ai.models.list().data][:3]

    def leave(self, model, leaving):
        with self.ai.chat.stream(model=model, messages=[user("Hi")]) as stream:
            for event in stream:
                if event.data.choices[0].delta.content:
                    break
            leaving()
        return True


if __name__ == "__main__":
    drive.run(Driver)
