"""Acceptors: is a finished answer good enough? Floor 2.

`Acceptor` is the union of the built-in ones, told apart by their `type`.
"""

from turnout.strategies.accept.calls import Agreement, Combine, Judge, Worth, break_even
from turnout.strategies.accept.looks import Finish, JsonSchema, Length, Logprob, Regex, SelfReport, ToolArgs

Acceptor = (
    Finish
    | Regex
    | Length
    | JsonSchema
    | ToolArgs
    | Logprob
    | SelfReport
    | Judge
    | Agreement
    | Combine
    | Worth
)

__all__ = [
    "Acceptor",
    "Agreement",
    "Combine",
    "Finish",
    "JsonSchema",
    "Judge",
    "Length",
    "Logprob",
    "Regex",
    "SelfReport",
    "ToolArgs",
    "Worth",
    "break_even",
]
