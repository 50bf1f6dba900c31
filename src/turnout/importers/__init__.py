"""Configurations of other tools, as Turnout's own with a report of every key. Floor 5."""
