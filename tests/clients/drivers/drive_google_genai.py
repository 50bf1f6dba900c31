"""The official `google-genai` package."""

import base64

import drive
from google import genai
from google.genai import types
from pydantic import BaseModel


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


def verdict(answer, text) -> dict:
    usage = answer.usage_metadata
    return {
        "text": text,
        "stop": answer.candidates[0].finish_reason.value,
        "tokens": [usage.prompt_token_count, usage.candidates_token_count],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        options = types.HttpOptions(base_url=base, timeout=int(timeout_s * 1000))
        self.ai = genai.Client(api_key=key, http_options=options)

    def chat(self, model):
        answer = self.ai.models.generate_content(model=model, contents="Hi")
        return verdict(answer, answer.text)

    def stream(self, model):
        chunks = list(self.ai.models.generate_content_stream(model=model, contents="Hi"))
        pieces = [chunk.text for chunk in chunks if chunk.text]
        return verdict(chunks[-1], "".join(pieces)) | {"streamed": len(pieces) > drive.FEW}

    def tools(self, model):
        function = types.FunctionDeclaration(
            name=drive.TOOL["name"],
            description=drive.TOOL["description"],
            parameters_json_schema=drive.TOOL["schema"],
        )
        config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])])
        turns = [types.Content(role="user", parts=[types.Part(text=drive.QUESTION)])]
        first = self.ai.models.generate_content(model=model, contents=turns, config=config)
        call = first.function_calls[0]
        response = types.FunctionResponse(id=call.id, name=call.name, response={"result": drive.RESULT})
        turns += [
            first.candidates[0].content,
            types.Content(role="user", parts=[types.Part(function_response=response)]),
        ]
        second = self.ai.models.generate_content(model=model, contents=turns, config=config)
        return {"call": [call.name, dict(call.args)], "text": second.text}

    def image(self, model):
        picture = types.Part.from_bytes(data=base64.b64decode(drive.PNG), mime_type="image/png")
        return {
            "text": self.ai.models.generate_content(model=model, contents=["What is this?", picture]).text
        }

    def structured(self, model):
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
        answer = self.ai.models.generate_content(model=model, contents="Name a city", config=config)
        return answer.parsed.model_dump()

    def embeddings(self, model):
        answer = self.ai.models.embed_content(model=model, contents=["one", "two"])
        return [len(answer.embeddings), len(answer.embeddings[0].values)]

    def count(self, model):
        return self.ai.models.count_tokens(model=model, contents="Hi there, you").total_tokens

    def models(self):
        return [model.name for model in self.ai.models.list(config={"page_size": 3})][:3]

    def leave(self, model, leaving):
        stream = self.ai.models.generate_content_stream(model=model, contents="Hi")
        for chunk in stream:
            if chunk.text:
                break
        leaving()
        stream.close()
        return True


if __name__ == "__main__":
    drive.run(Driver)
