"""The official `openai` package, its responses API."""

import drive
import openai
from drive_openai import City

FUNCTION = {
    "type": "function",
    "name": drive.TOOL["name"],
    "description": drive.TOOL["description"],
    "parameters": drive.TOOL["schema"],
    "strict": True,
}


def verdict(response) -> dict:
    return {
        "text": response.output_text,
        "stop": response.status,
        "tokens": [response.usage.input_tokens, response.usage.output_tokens],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.ai = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=timeout_s)

    def chat(self, model):
        return verdict(self.ai.responses.create(model=model, input="Hi"))

    def stream(self, model):
        with self.ai.responses.stream(model=model, input="Hi") as stream:
            events = list(stream)
            final = stream.get_final_response()
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(pieces) == final.output_text
        assert [event.sequence_number for event in events] == list(range(len(events)))
        return verdict(final) | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        first = self.ai.responses.create(model=model, input=drive.QUESTION, tools=[FUNCTION])
        call = next(item for item in first.output if item.type == "function_call")
        result = {"type": "function_call_output", "call_id": call.call_id, "output": drive.RESULT}
        second = self.ai.responses.create(
            model=model, input=[result], previous_response_id=first.id, tools=[FUNCTION]
        )
        return {"call": [call.name, drive.json.loads(call.arguments)], "text": second.output_text}

    def image(self, model):
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{drive.PNG}"}
        content = [{"type": "input_text", "text": "What is this?"}, picture]
        answer = self.ai.responses.create(model=model, input=[{"role": "user", "content": content}])
        return {"text": answer.output_text}

    def structured(self, model):
        answer = self.ai.responses.parse(model=model, input="Name a city", text_format=City)
        return answer.output_parsed.model_dump()

    def leave(self, model, leaving):
        stream = self.ai.responses.create(model=model, input="Hi", stream=True)
        for event in stream:
            if event.type == "response.output_text.delta":
                break
        leaving()
        stream.close()
        return True


if __name__ == "__main__":
    drive.run(Driver)
