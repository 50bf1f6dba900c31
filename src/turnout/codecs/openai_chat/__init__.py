"""OpenAI chat completions, both directions. Floor 2.

`OpenAIChat` speaks to upstreams, `OpenAIChatDialect` to clients; `verify` compares both with recordings.
"""

from turnout.codecs.openai_chat.codec import OpenAIChat, OpenAIChatDialect

CODEC = OpenAIChat()
DIALECT = OpenAIChatDialect()

__all__ = ["CODEC", "DIALECT", "OpenAIChat", "OpenAIChatDialect"]
