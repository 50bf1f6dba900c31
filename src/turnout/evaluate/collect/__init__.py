"""Outcomes collected by asking: prompts through models, answers scored, rows written. Floor 6."""
