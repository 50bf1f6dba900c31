"""OpenAI responses, both directions. Floor 2.

`OpenAIResponses` speaks to upstreams, `OpenAIResponsesDialect` to clients; `verify` compares both with
recordings.
"""

from turnout.codecs.openai_responses.codec import OpenAIResponses, OpenAIResponsesDialect

CODEC = OpenAIResponses()
DIALECT = OpenAIResponsesDialect()

__all__ = ["CODEC", "DIALECT", "OpenAIResponses", "OpenAIResponsesDialect"]
