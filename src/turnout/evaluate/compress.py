"""How much shorter conversations get, and whether what their checks need is still there. Floor 6.

Theory of operation.

1. Conversations are JSON lines: a chat or messages body (`messages`, `system`, `tools`), or a recorded
   exchange (`request_body`). `needed` lists texts that a check of the answer needs.
2. Published function-calling results (`bfcl_v1.parquet`, its functions beside it) become sessions of
   an agent: in each turn the question, a call that looks tools up, the offered functions as that tool's
   result, and the recorded calls. The last turn waits for its answer. Texts are
   recorded; only the frame is made.
3. What a check of a recorded right answer needs are the names of the functions it calls, of their arguments,
   and its words, as far as they stand in its own turn: the questions are independent of each other. They are
   looked for in what is left. The needs of earlier turns are counted apart: nobody asks for them again.
4. That evidence survives is necessary for equal answers, not sufficient: no model is asked.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from turnout.codecs.base import Dialect
from turnout.compress import Job, shorten
from turnout.errors import ConfigError, InvalidRequest
from turnout.signals.tokens.estimate import estimate
from turnout.types.chat import Message, Text, ToolCall, ToolResult
from turnout.types.compress import CompressRule

RECORDED: Final = "gpt-4o-2024-05-13-FC"
"""Whose calls are the assistant's turns: recorded whole, as JSON, by the interface for tools."""
LOOK_UP: Final = "find_functions"
_BLOCKS: Final = ("tool_use", "tool_result", "thinking", "redacted_thinking")


class Case(Struct, frozen=True, kw_only=True):
    """One conversation with what the check of its answer needs."""

    messages: tuple[Message, ...]
    n_other: float = 0.0
    """Tokens of its tools."""
    needed: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    """What the checks of earlier turns needed."""


class Counted(Struct, frozen=True, kw_only=True):
    """What a rule did to conversations."""

    n: int
    n_tokens_before: int
    n_tokens_after: int
    saved: float
    """Share of the tokens."""
    steps: Mapping[str, int]
    """Tokens that each step took away."""
    n_changed: int
    us_per_kb: float
    n_checked: int
    """Conversations with evidence to look for."""
    n_whole: int
    """Those in which all of it is left."""
    n_needed: int
    n_found: int
    n_earlier: int
    n_earlier_found: int
    n_skipped: int = 0
    """Lines that are no conversation."""


class Readers(Struct, frozen=True):
    """Who reads bodies of either make."""

    chat: Dialect
    messages: Dialect
    """Of bodies whose calls and results are blocks of content."""


class Read(Struct, frozen=True):
    """The conversations of a file."""

    cases: tuple[Case, ...]
    n_skipped: int = 0


def read_conversations(path: Path, readers: Readers | None, *, turns: int) -> Read:
    """Read conversations from a file. Raises `ConfigError`.

    Args:
        path: JSON lines, or the Parquet file of published function-calling results.
        readers: Readers of bodies; None = there are none in the file.
        turns: Turns of a session made of the latter.
    """
    published = path.suffix == ".parquet"
    found = Read(tuple(_sessions(path, turns))) if published else _lines(path, readers)
    if not found.cases:
        raise ConfigError((f"{path}: holds no conversation",))
    return found


def _lines(path: Path, readers: Readers | None) -> Read:
    cases: list[Case] = []
    n_skipped = 0
    with path.open("rb") as file:
        for line in file:
            case = _case(line, readers) if readers is not None and line.strip() else None
            if case is not None:
                cases.append(case)
            elif line.strip():
                n_skipped += 1
    return Read(tuple(cases), n_skipped)


def _case(line: bytes, readers: Readers) -> Case | None:
    """Return the conversation of a line; None where it holds none that can be read."""
    try:
        tree = msgspec.json.decode(line)
        if isinstance(tree, dict) and isinstance(tree.get("request_body"), str):
            tree = msgspec.json.decode(tree["request_body"])
        if not isinstance(tree, dict) or not isinstance(tree.get("messages"), list):
            return None
        needed = tuple(each for each in tree.pop("needed", ()) if isinstance(each, str))
        tree.setdefault("model", "any/model")
        in_blocks = _is_in_blocks(tree)
        if in_blocks:
            tree.setdefault("max_tokens", 1024)
        reader = readers.messages if in_blocks else readers.chat
        request = reader.parse(msgspec.json.encode(tree)).request
        messages, tools = tuple(request.messages), tuple(request.tools)
    except (msgspec.MsgspecError, InvalidRequest, UnicodeDecodeError, RecursionError):
        return None
    n_other = estimate(msgspec.json.encode(tools).decode()) if tools else 0.0
    return Case(messages=messages, n_other=n_other, needed=needed)


def _is_in_blocks(tree: Mapping[str, Any]) -> bool:
    if "system" in tree or any("input_schema" in tool for tool in tree.get("tools") or () if tool):
        return True
    return any(
        isinstance(block, dict) and block.get("type") in _BLOCKS
        for message in tree["messages"]
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for block in message["content"]
    )


def _sessions(path: Path, turns: int) -> Iterator[Case]:
    rows = _rows(path)
    for begin in range(0, len(rows), turns):
        yield _session(rows[begin : begin + turns])


class _Row(Struct, frozen=True):
    item: str
    question: str
    functions: str
    answer: str
    right: bool


def _rows(path: Path) -> list[_Row]:
    """Return questions with their functions and recorded calls, in the order of their ids."""
    import pyarrow.parquet as pq  # noqa: PLC0415  where it is asked for

    beside = path.with_name(f"{path.stem}_functions.parquet")
    if not beside.exists():
        raise ConfigError((f"{beside}: not found; it holds the functions offered with {path.name}",))
    try:
        offered = {row["item_id"]: row["functions"] for row in pq.read_table(beside).to_pylist()}
        table = pq.read_table(
            path,
            columns=["item_id", "prompt", "model", "score", "response"],
            filters=[("model", "==", RECORDED)],
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError((f"{path}: {error}",)) from None
    found = [
        _Row(row["item_id"], row["prompt"], offered[row["item_id"]], row["response"], row["score"] == 1)
        for row in table.to_pylist()
        if row["response"] and row["item_id"] in offered and _calls(row["response"])
    ]
    return sorted(found, key=lambda row: row.item)


def _session(rows: Sequence[_Row]) -> Case:
    messages: list[Message] = []
    for at, row in enumerate(rows):
        call = ToolCall(id=f"look_{at}", name=LOOK_UP, arguments="{}")
        messages += [
            Message("user", (Text(row.question),)),
            Message("assistant", (call,)),
            Message("tool", (ToolResult(call_id=call.id, content=(Text(row.functions),)),)),
        ]
        if at < len(rows) - 1:
            messages.append(Message("assistant", (Text(row.answer),)))
    *before, last = rows
    earlier = [word for row in before for word in _needs(row)]
    return Case(messages=tuple(messages), needed=_needs(last), earlier=tuple(dict.fromkeys(earlier)))


def _needs(row: _Row) -> tuple[str, ...]:
    """Return what the check of a right answer needs of its own turn."""
    text = f"{row.question}\n{row.functions}"
    return tuple(word for word in _evidence(row.answer) if word in text) if row.right else ()


def _calls(answer: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the recorded calls; none where the record was cut or holds words only."""
    try:
        rows = msgspec.json.decode(answer, type=list[dict[str, str]])
        return [
            (name, msgspec.json.decode(arguments, type=dict[str, Any]))
            for row in rows
            for name, arguments in row.items()
        ]
    except msgspec.MsgspecError:
        return []


def _evidence(answer: str) -> tuple[str, ...]:
    """Return the names and words of recorded calls."""
    words: dict[str, None] = {}
    for name, arguments in _calls(answer):
        words[name.replace("_", ".")] = None
        words[name] = None
        for key, value in arguments.items():
            words[f'"{key}"'] = None
            if isinstance(value, str) and value:
                words[value] = None
    return tuple(words)


def text_of(messages: Sequence[Message]) -> str:
    """Return what a model can read in a conversation."""
    out: list[str] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text):
                out.append(part.text)
            elif isinstance(part, ToolCall):
                out += (part.name, part.arguments)
            elif isinstance(part, ToolResult):
                out += (each.text for each in part.content if isinstance(each, Text))
    return "\n".join(out)


def count(read: Read, rule: CompressRule) -> Counted:
    """Shorten conversations and look at what is left."""
    steps: dict[str, int] = {}
    tally = dict.fromkeys(("before", "after", "changed", "checked", "whole", "needed", "found", "e", "ef"), 0)
    n_chars, took_s = 0, 0.0
    for case in read.cases:
        began_s = time.process_time()
        out, view = shorten(case.messages, Job(rule=rule, count=estimate, n_other=case.n_other))
        took_s += time.process_time() - began_s
        text = text_of(out)
        n_chars += len(text_of(case.messages))
        for each in view.steps:
            steps[each.step] = steps.get(each.step, 0) + each.n_tokens
        found = sum(word in text for word in case.needed)
        tally["before"] += view.n_before
        tally["after"] += view.n_after
        tally["changed"] += bool(view.steps)
        tally["checked"] += bool(case.needed)
        tally["whole"] += bool(case.needed) and found == len(case.needed)
        tally["needed"] += len(case.needed)
        tally["found"] += found
        tally["e"] += len(case.earlier)
        tally["ef"] += sum(word in text for word in case.earlier)
    return Counted(
        n=len(read.cases),
        n_tokens_before=tally["before"],
        n_tokens_after=tally["after"],
        saved=1 - tally["after"] / tally["before"] if tally["before"] else 0.0,
        steps=steps,
        n_changed=tally["changed"],
        us_per_kb=took_s * 1e6 / (n_chars / 1024) if n_chars else 0.0,
        n_checked=tally["checked"],
        n_whole=tally["whole"],
        n_needed=tally["needed"],
        n_found=tally["found"],
        n_earlier=tally["e"],
        n_earlier_found=tally["ef"],
        n_skipped=read.n_skipped,
    )
