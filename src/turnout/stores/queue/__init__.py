"""Jobs that outlive the process which took them in. Floor 3."""

from turnout.stores.queue.base import ENDED, Booking, Claimed, Draft, Ending, Job, Queue, Sent, Served, State
from turnout.stores.queue.sqlite import SqliteQueue

__all__ = [
    "ENDED",
    "Booking",
    "Claimed",
    "Draft",
    "Ending",
    "Job",
    "Queue",
    "Sent",
    "Served",
    "SqliteQueue",
    "State",
]
