"""Credentials: what vendors give out, known by prefix and structure. Floor 2."""

from turnout.guards.secrets.scan import Secrets

__all__ = ["Secrets"]
