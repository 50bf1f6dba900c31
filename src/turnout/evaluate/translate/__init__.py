"""Recorded calls in every other chat format and back: what is kept, told and lost. Floor 6."""
