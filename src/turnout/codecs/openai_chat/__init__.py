"""OpenAI chat completions, both directions. Floor 2.

`OpenAIChat` speaks to upstreams, `OpenAIChatDialect` to clients, `OpenAICompletionsDialect` to those of the
older endpoint; `verify` compares both with recordings.
"""

from turnout.codecs.openai_chat.codec import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_chat.completions import OpenAICompletionsDialect

CODEC = OpenAIChat()
DIALECT = OpenAIChatDialect()

__all__ = ["CODEC", "DIALECT", "OpenAIChat", "OpenAIChatDialect", "OpenAICompletionsDialect"]
