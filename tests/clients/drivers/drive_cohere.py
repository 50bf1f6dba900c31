"""The official `cohere` package, version 2 of its API."""

import cohere
import drive

FUNCTION = {
    "type": "function",
    "function": {
        "name": drive.TOOL["name"],
        "description": drive.TOOL["description"],
        "parameters": drive.TOOL["schema"],
    },
}


CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name", "population"],
}


def user(content) -> dict:
    return {"role": "user", "content": content}


def verdict(text, finish, usage) -> dict:
    tokens = usage.tokens
    return {"text": text, "stop": finish, "tokens": [int(tokens.input_tokens), int(tokens.output_tokens)]}


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.ai = cohere.ClientV2(api_key=key, base_url=base, timeout=timeout_s, max_retries=0)

    def chat(self, model):
        answer = self.ai.chat(model=model, messages=[user("Hi")])
        return verdict(answer.message.content[0].text, answer.finish_reason, answer.usage)

    def stream(self, model):
        events = list(self.ai.chat_stream(model=model, messages=[user("Hi")]))
        pieces = [e.delta.message.content.text for e in events if e.type == "content-delta"]
        end = events[-1].delta
        said = verdict("".join(pieces), end.finish_reason, end.usage)
        return said | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        messages = [user(drive.QUESTION)]
        first = self.ai.chat(model=model, messages=messages, tools=[FUNCTION]).message
        call = first.tool_calls[0]
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": drive.RESULT}]
        second = self.ai.chat(model=model, messages=messages, tools=[FUNCTION])
        return {
            "call": [call.function.name, drive.json.loads(call.function.arguments)],
            "text": second.message.content[0].text,
        }

    def image(self, model):
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{drive.PNG}"}}
        answer = self.ai.chat(
            model=model, messages=[user([{"type": "text", "text": "What is this?"}, picture])]
        )
        return {"text": answer.message.content[0].text}

    def structured(self, model):
        shape = {"type": "json_object", "json_schema": CITY}
        answer = self.ai.chat(model=model, messages=[user("Name a city")], response_format=shape)
        return drive.json.loads(answer.message.content[0].text)

    def embeddings(self, model):
        answer = self.ai.embed(
            model=model, texts=["one", "two"], input_type="search_query", embedding_types=["float"]
        )
        return [len(answer.embeddings.float_), len(answer.embeddings.float_[0])]

    def leave(self, model, leaving):
        for event in self.ai.chat_stream(model=model, messages=[user("Hi")]):
            if event.type == "content-delta":
                break
        leaving()
        return True


if __name__ == "__main__":
    drive.run(Driver)
