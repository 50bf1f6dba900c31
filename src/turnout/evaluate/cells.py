"""Rows of cells from a file: CSV, JSON lines or Parquet. Floor 6."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from turnout.errors import ConfigError
from turnout.types.json import Json


def read_cells(path: Path, content: bytes) -> Iterator[Mapping[str, Json]]:
    """Yield each row's cells by column, whatever the format.

    Raises:
        ConfigError: The file is of no known kind, or broken; with the row.
    """
    match path.suffix.lower():
        case ".csv":
            return _csv(path, content)
        case ".jsonl" | ".ndjson":
            return _json_lines(path, content)
        case ".json":
            return _json_array(path, content)
        case ".parquet":
            return _parquet(path, content)
        case other:
            raise ConfigError((f"{path}: {other or 'no suffix'}; expected .csv, .json, .jsonl or .parquet",))


def cells_of(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield the cells of a file's rows. Raises `ConfigError`, also where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from error
    yield from read_cells(path, content)


def _csv(path: Path, content: bytes) -> Iterator[Mapping[str, Json]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: byte {error.start} is not UTF-8",)) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield {name: cell for name, cell in row.items() if name is not None}  # cells beyond the header
    except csv.Error as error:
        raise ConfigError((f"{path}: not CSV after line {reader.line_num}: {error}",)) from error


def _json_lines(path: Path, content: bytes) -> Iterator[Mapping[str, Json]]:
    decoder = msgspec.json.Decoder(dict[str, Json])
    lines = (line for line in content.splitlines() if line.strip())
    for n, line in enumerate(lines, start=1):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            raise ConfigError((f"{path}: row {n}: {error}",)) from error


def _json_array(path: Path, content: bytes) -> Iterator[Mapping[str, Json]]:
    try:
        yield from msgspec.json.decode(content, type=list[dict[str, Json]])
    except msgspec.DecodeError as error:
        raise ConfigError((f"{path}: expected a list of objects: {error}",)) from error


def _parquet(path: Path, content: bytes) -> Iterator[Mapping[str, Json]]:
    from pyarrow import ArrowInvalid, BufferReader, parquet  # noqa: PLC0415  an extra, and slow to import

    try:
        file = parquet.ParquetFile(BufferReader(content))
    except ArrowInvalid as error:
        raise ConfigError((f"{path}: not a Parquet file: {error}",)) from error
    for batch in file.iter_batches(batch_size=8192):
        yield from batch.to_pylist()
