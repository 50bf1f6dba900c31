"""Why each thing that is left out in translation is left out: one sentence per feature, by hand. Floor 6.

A loss that has no sentence here fails the tests: find out first whether the other format can say it after
all (then the codec is wrong), and write the sentence only if it cannot.
"""

from collections.abc import Mapping
from typing import Final

from turnout.evaluate.translate.pairs import NO_TURN
from turnout.evaluate.translate.says import LIMITS

LOSSES: Final[Mapping[str, str]] = {
    NO_TURN: "The conversation is empty once what only its own provider can read is left out.",
    "audio": "The format takes no sound.",
    "audio.id": "A stored file is known only to the provider that keeps it.",
    "block": "A block that one provider alone makes or reads; what it says has no form elsewhere.",
    "cache_control": "No marks in the format: the provider caches by itself, or the host has to know them.",
    "cache_control.ttl": "Bedrock's cache points live as long as it says.",
    "cache_control.type": "A mark on the whole request is Anthropic's; elsewhere marks stand on parts.",
    "cachedContent": "The content lies at Google, under a name that means nothing elsewhere.",
    "context_management": "A service of the provider: others do not edit the conversation.",
    "conversation": "The gateway puts its turns into the request; the name lives at one provider.",
    "document": "The format takes no documents of this type, or only words of them.",
    "document.citations": "Other formats do not ask for citations document by document.",
    "document.id": "A stored file is known only to the provider that keeps it.",
    "document.name": "Documents have no name in this format.",
    "document.url": "The format takes documents as content, not by address.",
    "frequency_penalty": "The format has no penalties.",
    "generationConfig": "Media as an answer, and how they are made: binding to the provider.",
    "guardrailConfig": "A service of the provider; guards of the gateway are its own.",
    "image.detail": "The format has no resolutions to choose from.",
    "image.id": "A stored file is known only to the provider that keeps it.",
    "image.url": "The format takes pictures as content, not by address.",
    "labels": "Google's billing labels.",
    "keep_alive": "How long a host keeps the model in memory.",
    "logit_bias": "The format cannot weigh single tokens.",
    "logprobs": "The format has no log probabilities in a form that can be translated.",
    "max_tool_calls": "A limit on tools that only OpenAI runs.",
    "mcp_servers": "The provider calls these servers itself; others do not.",
    "message.name": "Turns have no author in this format.",
    "message.phase": "Says to OpenAI's models which of their own messages was the answer.",
    "modelArmorConfig": "A service of the provider.",
    "moderation": "A service of the provider.",
    "n": "The format gives one answer at a time.",
    "options": "An option of the host: how much memory a model gets, and the like.",
    "output_config.task_budget": "A counter that only this provider's models are shown.",
    "parallel_tool_calls": "The format cannot forbid several calls in one turn.",
    "presence_penalty": "The format has no penalties.",
    "previous_response_id": "The gateway puts the turns into the request; the id lives at one provider.",
    "prompt_cache_key": "Names a cache of OpenAI's.",
    "prompt_cache_options": "Options of a cache of OpenAI's.",
    "reasoning": "Thoughts go back only to the provider that had them (WIRE.md 2.9).",
    "reasoning.context": "Which thoughts OpenAI keeps between turns; others keep none.",
    "reasoning.redacted": "Encrypted thoughts can be read by their own provider alone.",
    "reasoning.signature": "Signed thoughts are accepted by their own provider alone.",
    "reasoning_format": "A host's own way of showing thoughts.",
    "response_format.description": "The format takes a schema and nothing beside it.",
    "response_format.json_object": "The format has no JSON without a schema.",
    "safe_prompt": "A service of the provider.",
    "safetySettings": "A service of the provider; guards of the gateway are its own.",
    "safety_mode": "A service of the provider; guards of the gateway are its own.",
    "search_settings": "A service of the provider.",
    "seed": "The format has no seed.",
    "server tool": "The provider runs it; no other provider has the same one. Binding: refused.",
    "serviceTier": "Names a price of the provider's own.",
    "service_tier": "Names a price of the provider's own.",
    "clear_thinking": "A host's own way of keeping thoughts between turns.",
    "stop": "The format has no stop sequences. Binding: refused.",
    "system.place": "The format has one place for instructions; later ones are put there.",
    "text.guardContent": "Marks words for a guard of the provider's own; the words are kept.",
    "text.prompt_cache_breakpoint": "OpenAI's own mark for its cache, known to its two formats alone.",
    "text.searchResult": "As `text.search_result`.",
    "text.search_result": "Its words, title and place are kept as words; that it may be cited is not.",
    "text.verbosity": "The format has no wish for longer or shorter answers.",
    "thinking.budget_tokens": "The format has levels only, or the number is out of the model's range.",
    "thinking.display": "Said again, as far as it goes, as `thinking.shown` and `thinking.hidden`.",
    "thinking.effort": "The format has budgets or a switch only, or fewer levels: the nearest is asked for.",
    "thinking.hidden": "The format cannot hold thoughts back.",
    "thinking.shown": "The format cannot ask for thoughts; hosts that have them send them.",
    "thinking.summary": "Thoughts are shown or not; there are no summaries of several lengths.",
    "tool.cache_control": "As `cache_control`.",
    "tool.defer_loading": "Tools are all loaded at once elsewhere.",
    "tool.eager_input_streaming": "How this provider streams arguments.",
    "toolConfig": "Only Gemini has the mode `VALIDATED`; the choice itself is kept.",
    "tool.strict": "The format has no strict tools, or all are strict or none.",
    "tool_call.namespace": "Groups of tools are OpenAI's own.",
    "tool_call.signature": "A token that only its own provider accepts.",
    "tool_choice": "The format cannot force a call. Binding: refused.",
    "tool_result.is_error": "The format has no mark for a failed call; the words say what happened.",
    "top_k": "The format has no such parameter.",
    "user": "The format has no name for the end user.",
    "verbosity": "The format has no wish for longer or shorter answers.",
    "video": "The format takes no films.",
    "video.id": "A stored file is known only to the provider that keeps it.",
    "video.url": "The format takes no films, or none by address.",
    "video.videoMetadata": "Cuts and frame rates are Google's own.",
    "web_search_options": "The search is a service of the provider.",
}
"""Feature, or what stands before its dot or its space -> why a format has no word for it."""


def why(name: str) -> str | None:
    """Return why a feature is left out; None where nobody has said so yet."""
    group = "server tool" if name.startswith("server tool ") else name.partition(" ")[0]
    found = (LOSSES.get(known) for known in (name, name.partition(".")[0], group))
    limit = LIMITS[name][1] if name in LIMITS else None
    return next((sentence for sentence in found if sentence is not None), limit)
