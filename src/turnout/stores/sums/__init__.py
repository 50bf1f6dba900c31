"""Sums over the journal: what was asked, used and spent, by whom. Floor 3."""

from turnout.stores.sums.base import DIMENSIONS, Dimension, Sum, SumQuery, Sums

__all__ = ["DIMENSIONS", "Dimension", "Sum", "SumQuery", "Sums"]
