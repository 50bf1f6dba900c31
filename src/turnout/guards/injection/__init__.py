"""Prompt injection: a head for prompts, another for the sentences of documents and tool results. Floor 2."""

from turnout.guards.injection.scan import Injection

__all__ = ["Injection"]
