"""A provider that is not one: an upstream for demos, tests and benchmarks. Floor 6.

It speaks OpenAI's, Anthropic's and Gemini's wire formats through the same dialects the gateway has, answers
from a script, counts tokens by a stated rule, and can be told to be slow, to limit rates and to fail. It says
in every answer's model name and in a header that it is an emulator.
"""

from turnout.testing.emulator.app import Emulator
from turnout.testing.emulator.script import Answerer, Behaviour, Fault, canned

__all__ = ["Answerer", "Behaviour", "Emulator", "Fault", "canned"]
