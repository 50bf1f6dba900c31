"""`pipeline`: the four parts put together. Floor 2."""

from turnout.strategies.pipeline.feasible import Limit
from turnout.strategies.pipeline.pipeline import Pipeline

__all__ = ["Limit", "Pipeline"]
