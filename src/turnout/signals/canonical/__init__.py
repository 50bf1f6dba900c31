"""`canonical`: what the user wants, without what the harness wraps around it. Floor 2."""

from turnout.signals.canonical.sense import CanonicalSense

__all__ = ["CANONICAL", "CanonicalSense"]

CANONICAL = CanonicalSense()
