"""Whom alerts are told, and how. Floor 4."""
