"""Files of clients, and the batches made of them: one directory, one database. Floor 3."""

from turnout.stores.files.base import (
    ENDED,
    PURPOSES,
    Batch,
    BatchState,
    Counts,
    Defect,
    File,
    Form,
    Handover,
    Kind,
    Line,
    Purpose,
    Result,
    Room,
    Stored,
)
from turnout.stores.files.batches import Batches
from turnout.stores.files.database import Database
from turnout.stores.files.files import Draft, Files

__all__ = [
    "ENDED",
    "PURPOSES",
    "Batch",
    "BatchState",
    "Batches",
    "Counts",
    "Database",
    "Defect",
    "Draft",
    "File",
    "Files",
    "Form",
    "Handover",
    "Kind",
    "Line",
    "Purpose",
    "Result",
    "Room",
    "Stored",
]
