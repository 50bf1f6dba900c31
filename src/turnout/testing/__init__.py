"""Checks and fakes for people who extend Turnout. Floor 6."""
