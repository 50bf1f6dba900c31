"""Checks of what goes to a model and what comes back. Floor 2."""
