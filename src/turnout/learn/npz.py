"""The two files of what was learned: arrays without pickles, and a card that names their hash. Floor 2."""

import hashlib
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.learn.base import Arrays

T = TypeVar("T")


def write_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> tuple[bytes, str]:
    """Return arrays as one file, the same for the same arrays, and its SHA-256."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    npz = buffer.getvalue()
    return npz, digest_of(npz)


def digest_of(npz: bytes) -> str:
    """Return the SHA-256 by which a card names its arrays."""
    return hashlib.sha256(npz).hexdigest()


def read_arrays(npz: bytes, most_bytes: int) -> Arrays:
    """Return the arrays of a file, of which nothing is unpacked when they are more than `most_bytes`.

    Raises:
        ConfigError: They are more, or damaged.
    """
    try:
        with zipfile.ZipFile(BytesIO(npz)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > most_bytes:
            raise ConfigError((f"arrays: {size} bytes; at most {most_bytes}",))
        with np.load(BytesIO(npz), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError((f"arrays: not readable without pickles: {error}",)) from error


def read_card(card: bytes, schema: str, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return a card, unchecked against its arrays.

    Raises:
        ConfigError: It is no card of this schema.
    """
    try:
        head = msgspec.json.decode(card)
        said = head.get("schema") if isinstance(head, dict) else None
        if said != schema:
            raise ConfigError((f"card: schema is {said!r}; this version reads {schema!r}: fit again",))
        return decoder.decode(card)
    except msgspec.DecodeError as error:
        raise ConfigError((f"card: not a card: {error}",)) from error
