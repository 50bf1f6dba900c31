"""LangChain's `langchain-openai` package."""

import drive
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class City(BaseModel):
    """What is asked for as structured output."""

    name: str
    population: int


FUNCTION = {
    "type": "function",
    "function": {
        "name": drive.TOOL["name"],
        "description": drive.TOOL["description"],
        "parameters": drive.TOOL["schema"],
    },
}


def verdict(message) -> dict:
    usage = message.usage_metadata
    return {
        "text": message.content,
        "stop": message.response_metadata["finish_reason"],
        "tokens": [usage["input_tokens"], usage["output_tokens"]],
    }


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.base, self.key, self.timeout_s = f"{base}/v1", key, timeout_s

    def model(self, name):
        return ChatOpenAI(
            model=name,
            base_url=self.base,
            api_key=self.key,
            max_retries=0,
            timeout=self.timeout_s,
            stream_usage=True,
        )

    def chat(self, model):
        return verdict(self.model(model).invoke("Hi"))

    def stream(self, model):
        chunks = list(self.model(model).stream("Hi"))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return verdict(whole) | {"streamed": len([chunk for chunk in chunks if chunk.content]) > drive.FEW}

    def tools(self, model):
        ai = self.model(model).bind_tools([FUNCTION])
        turns = [HumanMessage(drive.QUESTION)]
        first = ai.invoke(turns)
        call = first.tool_calls[0]
        turns += [first, ToolMessage(drive.RESULT, tool_call_id=call["id"])]
        return {"call": [call["name"], call["args"]], "text": ai.invoke(turns).content}

    def image(self, model):
        picture = {"type": "image", "base64": drive.PNG, "mime_type": "image/png"}
        asked = HumanMessage([{"type": "text", "text": "What is this?"}, picture])
        return {"text": self.model(model).invoke([asked]).content}

    def structured(self, model):
        return self.model(model).with_structured_output(City).invoke("Name a city").model_dump()

    def embeddings(self, model):
        ai = OpenAIEmbeddings(
            model=model, base_url=self.base, api_key=self.key, max_retries=0, check_embedding_ctx_length=False
        )
        vectors = ai.embed_documents(["one", "two"])
        return [len(vectors), len(vectors[0])]

    def leave(self, model, leaving):
        stream = self.model(model).stream("Hi")
        for chunk in stream:
            if chunk.content:
                break
        leaving()
        stream.close()
        return True


if __name__ == "__main__":
    drive.run(Driver)
