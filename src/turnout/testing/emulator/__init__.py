"""A provider that is not one: an upstream for demos, tests and benchmarks. Floor 6.

It speaks every wire format the gateway has a dialect of, also in the envelopes of clouds, answers
from a script, counts tokens by a stated rule, and can be told to be slow, to limit rates and to fail. It says
in every answer that it is an emulator: in a header, and in what its own script writes.

    async with serving(Emulator(dialects())) as url: ...          # in a test
    python -m turnout.testing.emulator --port 9001 --models a,b   # as a process
"""

from turnout.testing.emulator.app import Emulator, Served
from turnout.testing.emulator.script import (
    Answerer,
    Behaviour,
    Fault,
    FaultKind,
    Script,
    Scripted,
    canned,
    recorded,
)
from turnout.testing.emulator.serve import dialects, serving, serving_in_thread

__all__ = [
    "Answerer",
    "Behaviour",
    "Emulator",
    "Fault",
    "FaultKind",
    "Script",
    "Scripted",
    "Served",
    "canned",
    "dialects",
    "recorded",
    "serving",
    "serving_in_thread",
]
