"""Reducers: one answer of several. Floor 2.

`Reducer` is the union of the built-in ones, told apart by their `type`.
"""

from turnout.strategies.reduce.choose import BestOf, Majority, Synthesise

Reducer = Majority | BestOf | Synthesise

__all__ = ["BestOf", "Majority", "Reducer", "Synthesise"]
