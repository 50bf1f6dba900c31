"""The Gemini generateContent wire format, both directions. Floor 2."""

from turnout.codecs.gemini.codec import Gemini
from turnout.codecs.gemini.dialect import GeminiDialect

__all__ = ["Gemini", "GeminiDialect"]
