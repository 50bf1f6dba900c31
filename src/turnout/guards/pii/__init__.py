"""Personal data: patterns with structure and check digits. Floor 2."""

from turnout.guards.pii.scan import KINDS, Pii

__all__ = ["KINDS", "Pii"]
