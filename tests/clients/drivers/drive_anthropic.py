"""The official `anthropic` package."""

import anthropic
import drive
from pydantic import BaseModel

TOOL = {
    "name": drive.TOOL["name"],
    "description": drive.TOOL["description"],
    "input_schema": drive.TOOL["schema"],
}


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


def user(content) -> dict:
    return {"role": "user", "content": content}


def verdict(message) -> dict:
    return {
        "text": message.content[0].text,
        "stop": message.stop_reason,
        "tokens": [message.usage.input_tokens, message.usage.output_tokens],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.ai = anthropic.Anthropic(base_url=base, api_key=key, max_retries=0, timeout=timeout_s)

    def ask(self, model, messages, **more):
        return self.ai.messages.create(model=model, max_tokens=100, messages=messages, **more)

    def chat(self, model):
        return verdict(self.ask(model, [user("Hi")]))

    def stream(self, model):
        with self.ai.messages.stream(model=model, max_tokens=100, messages=[user("Hi")]) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        assert "".join(pieces) == final.content[0].text
        return verdict(final) | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        messages = [user(drive.QUESTION)]
        first = self.ask(model, messages, tools=[TOOL])
        use = next(block for block in first.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": use.id, "content": drive.RESULT}
        messages += [{"role": "assistant", "content": first.content}, user([result])]
        second = self.ask(model, messages, tools=[TOOL])
        return {"call": [use.name, use.input], "text": second.content[0].text}

    def image(self, model):
        source = {"type": "base64", "media_type": "image/png", "data": drive.PNG}
        parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
        return {"text": self.ask(model, [user(parts)]).content[0].text}

    def structured(self, model):
        answer = self.ai.messages.parse(
            model=model, max_tokens=100, messages=[user("Name a city")], output_format=City
        )
        return answer.parsed_output.model_dump()

    def count(self, model):
        return self.ai.messages.count_tokens(model=model, messages=[user("Hi there, you")]).input_tokens

    def models(self):
        return [model.id for model in self.ai.models.list()][:3]

    def leave(self, model, leaving):
        stream = self.ai.messages.create(model=model, max_tokens=100, messages=[user("Hi")], stream=True)
        for event in stream:
            if event.type == "content_block_delta":
                break
        leaving()
        stream.close()
        return True


if __name__ == "__main__":
    drive.run(Driver)
