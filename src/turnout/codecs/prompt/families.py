"""Formats that take one prompt and give its continuation, as rows. Floor 2.

Sources: OpenAI API reference, Completions; Ollama's API, Generate; Cohere's API v1, Chat and Generate;
"Inference request parameters and response fields" of the Amazon Bedrock user guide for Titan Text, Llama,
Mistral, Cohere and Jurassic-2 (all seen 2026-11); the chat templates are those of the models' cards.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from turnout.types.chat import FinishReason


class Template(Struct, frozen=True, kw_only=True):
    """How turns become one prompt: what stands before and after each, and before what is to be said."""

    begin: str = ""
    system: tuple[str, str] | None = None
    """None = what the system says stands in front of the first turn."""
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str
    stop: str = ""
    """Where the model would go on with the other side's words."""
    bare: bool = False
    """Whether a question alone is its own prompt."""
    marks: tuple[str, ...] = ()
    """How begins what the model's tokenizer reads as the border of a turn, wherever it stands."""


class Family(Struct, frozen=True, kw_only=True):
    """One format: where things stand in a request. "" = it cannot be said."""

    path: str
    """Beneath the base address; where a cloud carries the format, the cloud's own."""
    template: Template
    prompt: str = "prompt"
    inside: str = ""
    """Member that holds the numbers below."""
    model: str = "model"
    max_tokens: str = "max_tokens"
    temperature: str = "temperature"
    top_p: str = "top_p"
    top_k: str = ""
    stop: str = ""
    seed: str = ""
    presence_penalty: str = ""
    frequency_penalty: str = ""
    stream: str = "stream"
    usage: bool = False
    """Whether a stream tells its usage only where it is asked for."""
    system: str = ""
    """Member for what the system says, where it is none of the prompt."""
    history: str = ""
    """Member for earlier turns, likewise."""
    models: tuple[str, ...] = ()
    """How names of its models begin at a cloud that has several formats."""


class Shape(Struct, frozen=True):
    """Where an answer, or a piece of one, says what. Answers are told apart by where their text stands."""

    text: str
    finish: str
    n_in: str = ""
    n_out: str = ""


PLAIN: Final = Template(
    system=("", "\n\n"),
    user=("User: ", "\n"),
    assistant=("Assistant: ", "\n"),
    opening="Assistant:",
    stop="\nUser:",
    bare=True,
)
_TITAN: Final = Template(
    system=("", "\n\n"), user=("User: ", "\n"), assistant=("Bot: ", "\n"), opening="Bot:", stop="User:"
)
_MARKS: Final = ("<s>", "</s>", "[INST]", "[/INST]")
_INSTRUCT: Final = Template(
    begin="<s>", user=("[INST] ", " [/INST]"), assistant=(" ", "</s>"), opening="", bare=False, marks=_MARKS
)
_LLAMA2: Final = Template(
    begin="<s>",
    system=("[INST] <<SYS>>\n", "\n<</SYS>>\n\n"),
    user=("[INST] ", " [/INST]"),
    assistant=(" ", " </s><s>"),
    opening="",
    marks=(*_MARKS, "<<SYS>>", "<</SYS>>"),
)
_LLAMA3: Final = Template(
    begin="<|begin_of_text|>",
    system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    opening="<|start_header_id|>assistant<|end_header_id|>\n\n",
    marks=("<|",),
)
_LLAMA4: Final = Template(
    begin="<|begin_of_text|>",
    system=("<|header_start|>system<|header_end|>\n\n", "<|eot|>"),
    user=("<|header_start|>user<|header_end|>\n\n", "<|eot|>"),
    assistant=("<|header_start|>assistant<|header_end|>\n\n", "<|eot|>"),
    opening="<|header_start|>assistant<|header_end|>\n\n",
    marks=("<|",),
)


def _llama(template: Template, *models: str) -> Family:
    return Family(path="", template=template, max_tokens="max_gen_len", models=models)


FAMILIES: Final[Mapping[str, Family]] = {
    "openai": Family(
        path="/completions",
        template=PLAIN,
        stop="stop",
        seed="seed",
        presence_penalty="presence_penalty",
        frequency_penalty="frequency_penalty",
        usage=True,
    ),
    "ollama": Family(
        path="/api/generate",
        template=PLAIN,
        inside="options",
        max_tokens="num_predict",
        top_k="top_k",
        stop="stop",
        seed="seed",
        presence_penalty="presence_penalty",
        frequency_penalty="frequency_penalty",
        system="system",
    ),
    "cohere_chat": Family(
        path="/chat",
        template=PLAIN,
        prompt="message",
        top_p="p",
        top_k="k",
        stop="stop_sequences",
        seed="seed",
        presence_penalty="presence_penalty",
        frequency_penalty="frequency_penalty",
        system="preamble",
        history="chat_history",
        models=("cohere.command-r",),
    ),
    "cohere_generate": Family(
        path="/generate",
        template=PLAIN,
        top_p="p",
        top_k="k",
        stop="stop_sequences",
        presence_penalty="presence_penalty",
        frequency_penalty="frequency_penalty",
        models=("cohere.command",),
    ),
    "titan": Family(
        path="",
        template=_TITAN,
        prompt="inputText",
        inside="textGenerationConfig",
        max_tokens="maxTokenCount",
        top_p="topP",
        stop="stopSequences",
        models=("amazon.titan-text", "amazon.titan-tg1"),
    ),
    "llama2": _llama(_LLAMA2, "meta.llama2"),
    "llama4": _llama(_LLAMA4, "meta.llama4"),
    "llama3": _llama(_LLAMA3, "meta.llama"),
    "mistral": Family(path="", template=_INSTRUCT, top_k="top_k", stop="stop", models=("mistral.",)),
    "jurassic": Family(
        path="",
        template=PLAIN,
        max_tokens="maxTokens",
        top_p="topP",
        stop="stopSequences",
        models=("ai21.j2",),
    ),
}
"""Name, as `quirks.prompt` says it -> row. Of two whose names of models fit, the first counts."""

SHAPES: Final[tuple[Shape, ...]] = (
    Shape("choices.0.text", "choices.0.finish_reason", "usage.prompt_tokens", "usage.completion_tokens"),
    Shape("response", "done_reason", "prompt_eval_count", "eval_count"),
    Shape(
        "results.0.outputText", "results.0.completionReason", "inputTextTokenCount", "results.0.tokenCount"
    ),
    Shape("outputText", "completionReason", "inputTextTokenCount", "totalOutputTextTokenCount"),
    Shape("generation", "stop_reason", "prompt_token_count", "generation_token_count"),
    Shape("outputs.0.text", "outputs.0.stop_reason"),
    Shape(
        "generations.0.text",
        "generations.0.finish_reason",
        "meta.billed_units.input_tokens",
        "meta.billed_units.output_tokens",
    ),
    Shape("completions.0.data.text", "completions.0.finishReason.reason"),
    Shape("text", "finish_reason", "meta.billed_units.input_tokens", "meta.billed_units.output_tokens"),
)
METRICS: Final = "amazon-bedrock-invocationMetrics"
"""Member of a stream's last piece at Bedrock, whatever the format."""
FINISHES: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "LENGTH": "length",
    "MAX_TOKENS": "length",
    "content_filter": "content_filter",
    "CONTENT_FILTERED": "content_filter",
    "INTERVENED": "content_filter",
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
}
"""The upstream's word -> ours; any other is a natural stop."""
