"""The sections `files` and `batches`: what clients upload, and what they have answered in bulk. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

AtLeastOne = Annotated[int, Meta(ge=1)]
Mib = Annotated[float, Meta(gt=0, le=1024 * 1024)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


class FilesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that clients upload, and those made of their batches.

    An owner is a project, or a key that has none.
    """

    path: str | None = None
    """Directory, shared by the processes of a machine; none = there are no files, and no batches."""
    max_file_mib: Annotated[float, Meta(gt=0, le=1024)] = 100
    """Of one file."""
    max_batch_mib: Annotated[float, Meta(gt=0, le=1024)] = 200
    """Of one input of a batch."""
    max_mib: Mib = 2048
    """Of all files of one owner; answers of batches always fit."""
    max_files: AtLeastOne = 1_000
    """Of one owner."""
    keep_s: Positive = 2_592_000
    """How long inputs and answers of batches are kept, unless the client says otherwise."""


class BatchesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many requests in one file. Needs `files.path` and `background.path`."""

    native: Literal["auto", "off"] = "off"
    """`auto` = a batch whose lines all go to one provider is handed to that provider's own batch endpoint,
    where that is cheaper. Its text is then kept there, as that provider keeps batches."""
    max_lines: Annotated[int, Meta(ge=1, le=1_000_000)] = 50_000
    """Of one batch."""
    max_open: AtLeastOne = 100
    """Batches of one owner that have not ended."""
    ahead: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Lines of one batch that wait or run as background jobs at once."""
    poll_s: Positive = 15
    """First pause between two looks at a provider's own batch; it grows to five minutes."""
    keep_s: Positive = 2_592_000
    """How long a batch is listed after it has ended."""
