"""What is asked when outcomes are collected: prompts with what is needed to score an answer. Floor 6.

A prompt set is a table (CSV, JSON lines, Parquet) with a column `prompt`, or `messages` in OpenAI's form, and
any of the columns named in `Prompt`; or a journal whose Records hold the requests' text.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.evaluate.cells import read_cells
from turnout.evaluate.dataset import SHOWN, prompt_id
from turnout.types.chat import Message, Text
from turnout.types.json import Json, JsonObject

JOURNALS = (".db", ".sqlite", ".sqlite3")
PAGE = 1000

Scoring = Literal["exact", "contains", "number", "choice", "regex", "json_schema", "code", "judge"]


class Prompt(Struct, frozen=True, kw_only=True):
    """One question, and how to tell a good answer."""

    row: int
    prompt_id: str
    prompt: str
    """The user's words; with `messages`, those of the last user message."""
    messages: tuple[JsonObject, ...] = ()
    """The whole conversation; () = `prompt` alone."""
    system: str | None = None
    expected: tuple[str, ...] = ()
    """Right answers; one is enough."""
    pattern: str | None = None
    """What a right answer matches."""
    answer_schema: JsonObject | None = None
    tests: str | None = None
    """Python that raises where the answer's code is wrong."""
    scoring: Scoring | None = None
    """How this one is scored; None = as the command says."""
    item_id: str = ""
    dataset: str = ""
    domain: str = ""
    split: str = ""
    group_id: str = ""

    @property
    def turns(self) -> list[JsonObject]:
        """The conversation in OpenAI's form."""
        if self.messages:
            return list(self.messages)
        system: list[JsonObject] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.prompt}]


class PromptSet(Struct, frozen=True, kw_only=True):
    """Prompts that passed every check."""

    rows: tuple[Prompt, ...]
    path: Path


def load_prompts(path: Path) -> PromptSet:
    """Read and check a prompt set.

    Raises:
        ConfigError: It cannot be used; a line for each problem, with its row.
    """
    if not path.is_file():
        raise ConfigError((f"{path}: no such file",))
    found = _journal(path) if path.suffix.lower() in JOURNALS else read_cells(path, path.read_bytes())
    rows: list[Prompt] = []
    problems: list[str] = []
    for n, raw in enumerate(found, start=1):
        try:
            rows.append(_prompt(n, raw))
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{path}: row {n}: {error}")
    problems += [f"{path}: {problem}" for problem in _repeated(rows)]
    if not rows and not problems:
        what = (
            "no Record holds the text of a request; see `journal.content`" if _is_journal(path) else "no rows"
        )
        problems.append(f"{path}: {what}")
    if problems:
        more = len(problems) - SHOWN
        raise ConfigError((*problems[:SHOWN], *([f"{path}: … and {more} more problems"] if more > 0 else [])))
    return PromptSet(rows=tuple(rows), path=path)


def _is_journal(path: Path) -> bool:
    return path.suffix.lower() in JOURNALS


def _prompt(n: int, raw: Mapping[str, Json]) -> Prompt:
    cells = {name: cell for name, cell in raw.items() if cell is not None and cell != ""}
    messages = _listed(cells.get("messages"), "messages")
    words = str(cells["prompt"]) if "prompt" in cells else _last_words(messages)
    if not words.strip():
        raise ValueError("no prompt: expected a column `prompt`, or `messages` with a user's text")
    fields: dict[str, Json] = {
        name: str(cells[name])
        for name in ("system", "pattern", "tests", "item_id", "dataset", "split", "group_id")
        if name in cells
    }
    domain = cells.get("domain", cells.get("category", ""))
    return msgspec.convert(
        {
            **fields,
            "row": n,
            "prompt": words,
            "prompt_id": prompt_id(words),
            "messages": messages,
            "expected": _expected(cells),
            "answer_schema": _object(cells.get("schema"), "schema"),
            "scoring": cells.get("scoring"),
            "domain": str(domain),
        },
        Prompt,
        strict=False,
    )


def _expected(cells: Mapping[str, Json]) -> list[str]:
    found = cells.get("expected", cells.get("answer"))
    if isinstance(found, str) and found.startswith("["):
        with contextlib.suppress(msgspec.DecodeError):  # an answer that only begins like a list
            found = msgspec.json.decode(found, type=list[Json])
    if isinstance(found, list):
        return [str(each) for each in found]
    return [] if found is None else [str(found)]


def _listed(found: Json, name: str) -> list[Json]:
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError as error:
            raise ValueError(f"{name}: {error}") from None
    if found is None:
        return []
    if not isinstance(found, list) or not found:
        raise ValueError(f"{name}: expected a list of messages")
    return found


def _object(found: Json, name: str) -> JsonObject | None:
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError as error:
            raise ValueError(f"{name}: {error}") from None
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected an object")  # noqa: TRY004  told beside other values
    return found


def _last_words(messages: Sequence[Json]) -> str:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)
    return ""


def _repeated(rows: Sequence[Prompt]) -> Iterator[str]:
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        if (before := first.setdefault((row.prompt_id, row.item_id), row.row)) != row.row:
            yield f"row {row.row}: repeats row {before}; give both an item_id if that is meant"


def _journal(path: Path) -> Iterator[Mapping[str, Json]]:
    """Yield each distinct conversation of words alone whose text was stored, oldest first."""
    from turnout.stores.base import Query  # noqa: PLC0415  only for journals
    from turnout.stores.sqlite import SqliteRows  # noqa: PLC0415

    rows = SqliteRows(path)
    seen: set[str] = set()
    try:
        query = Query(order="oldest", limit=PAGE)
        while True:
            page = rows.query(query)
            for record in page.records:
                text = record.content.request if record.content is not None else None
                if text and text not in seen and (turns := _stored(text)):
                    seen.add(text)
                    yield {"messages": turns, "domain": record.surface or "", "item_id": record.request_id}
            if not page.more:
                return
            query = msgspec.structs.replace(query, after=page.entries[-1].cursor)
    finally:
        rows.close()


def _stored(text: str) -> list[Json]:
    """Return a stored conversation in OpenAI's form; [] where it was cut or holds more than words."""
    try:
        messages = msgspec.json.decode(text, type=tuple[Message, ...])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return []
    turns: list[Json] = []
    for message in messages:
        parts = [part.text for part in message.parts if isinstance(part, Text)]
        if len(parts) != len(message.parts) or message.role == "tool":
            return []
        turns.append({"role": message.role, "content": "\n".join(parts)})
    return turns
