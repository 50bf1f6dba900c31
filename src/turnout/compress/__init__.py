"""Shorter conversations that say the same, or nearly. Floor 2; pure."""

from turnout.compress.pipeline import Job, Older, lossless, older, shorten
from turnout.compress.summary import question, summary_in, text_of

__all__ = ["Job", "Older", "lossless", "older", "question", "shorten", "summary_in", "text_of"]
