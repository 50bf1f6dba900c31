"""The official `cohere` package, version 2 of its API."""

import cohere
import drive


class Driver:
    def __init__(self, base, key, timeout_s=20.0):
        self.ai = cohere.ClientV2(api_key=key, base_url=base, timeout=timeout_s, max_retries=0)

    def chat(self, model):
        answer = self.ai.chat(model=model, messages=[{"role": "user", "content": "Hi"}])
        tokens = answer.usage.tokens
        return {
            "text": answer.message.content[0].text,
            "stop": answer.finish_reason,
            "tokens": [tokens.input_tokens, tokens.output_tokens],
        }

    def embeddings(self, model):
        answer = self.ai.embed(
            model=model, texts=["one", "two"], input_type="search_query", embedding_types=["float"]
        )
        return [len(answer.embeddings.float_), len(answer.embeddings.float_[0])]


if __name__ == "__main__":
    drive.run(Driver)
