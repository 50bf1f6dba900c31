"""A conversation of any origin written as `system` and `messages`. Floor 2.

Theory of operation. The API has two roles and strict habits; other formats have neither.

1. Leading system and developer messages become `system`; later ones are folded into it with a warning,
   except a system turn that an Anthropic client itself put among the messages.
2. A tool's answer is a block of a *user* turn, before any other block of it. Neighbours of one role are
   joined, unless the request came in this format: then its turns stand as they were sent.
3. Every call id is unique and of the accepted alphabet. A call and its answers get the same stand-in
   (`_CallIds`), also where the origin gave no id at all.
4. Reasoning goes only to the provider that signed it: anything else is left out with a warning.
"""

from collections.abc import Mapping, Sequence

from msgspec import Raw, Struct

from turnout.codecs.anthropic.blocks import SEARCHED, found_words, object_of
from turnout.codecs.anthropic.media import media_block
from turnout.codecs.anthropic.wire import WIRE, is_good_id, tool_id, write
from turnout.codecs.notes import ARGUMENTS_WRAPPED, NATIVE_DROPPED, REASONING_DROPPED, SYSTEM_FOLDED, Notes
from turnout.codecs.plain import Answered, Called, Words, turns_of
from turnout.codecs.waiting import Waiting
from turnout.errors import InvalidRequest
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json

Block = dict[str, object]
"""A block as it is sent; `Raw` members hold JSON text that is not touched again."""


class Turns(Struct, frozen=True):
    """A conversation as the API takes it."""

    system: list[Block]
    messages: list[Block]


def write_turns(request: ChatRequest, notes: Notes) -> Turns:
    """Write the conversation. Raises `InvalidRequest` when nothing is left to be answered."""
    writer = _Writer(request.wire, notes)
    if request.wire == WIRE:
        for message in request.messages:
            writer.add(message)
        return writer.close()
    for turn in turns_of(request.messages):
        if isinstance(turn, Words):
            writer.say(turn)
        elif isinstance(turn, Called):
            writer.call(turn)
        elif isinstance(turn, Answered):
            writer.answer(turn)
        else:
            writer.add(turn)
    return writer.close()


def content(blocks: list[Block]) -> str | list[Block]:
    """Return blocks as the API takes them: one plain text as a string."""
    if len(blocks) == 1:
        only = blocks[0]
        text = only.get("text")
        if len(only) == 2 and isinstance(text, str) and only["type"] == "text":
            return text
    return blocks


class _Writer:
    __slots__ = ("_ids", "_is_mixed", "_keeps", "_native", "_notes", "_system", "_turns")

    def __init__(self, wire: str, notes: Notes) -> None:
        self._native = wire == WIRE
        """Written by an Anthropic client: stands as it is."""
        self._keeps = self._native or wire == ""
        """Unknown fields are meant for this format: written by its client, or in process."""
        self._notes = notes
        self._ids = _CallIds(renames=not self._native)
        self._system: list[Block] = []
        self._turns: list[Block] = []
        self._is_mixed = False
        """Blocks of a turn may stand before answers that belong in front of them."""

    def add(self, message: Message) -> None:
        if message.name is not None:
            self._notes.drop("messages.name")
        role = message.role
        blocks: list[Block] = []
        for part in message.parts:
            if role == "assistant" and isinstance(part, Media) and not self._native:
                self._notes.warn("assistant_media_dropped")
                continue
            block = self._block(part)
            if block is not None:
                blocks.append(block)
        if role == "system" or role == "developer":  # noqa: PLR1714  # no set for every turn
            self._add_system(message, blocks)
            return
        if role != "assistant":
            role = "user"
        if self._native:
            self._turns.append({"role": role, "content": content(blocks)})
        else:
            self._put(role, blocks)

    def say(self, turn: Words) -> None:
        """Write a text of another format."""
        role, text, turns = turn.role, turn.text, self._turns
        is_system = role == "system" or role == "developer"  # noqa: PLR1714  # no set for every turn
        if is_system and turns:
            self._notes.warn(SYSTEM_FOLDED)
        if not text or text.isspace():
            return  # the API refuses blank texts
        if is_system:
            self._system.append({"type": "text", "text": text})
        elif turns and turns[-1]["role"] == role:
            self._join(turns[-1], [{"type": "text", "text": text}])
        else:
            turns.append({"role": role, "content": text})

    def call(self, turn: Called) -> None:
        """Write calls of another format."""
        text, turns = turn.text, self._turns
        blocks: list[Block] = [{"type": "text", "text": text}] if text and not text.isspace() else []
        blocks += map(self._call, turn.calls)
        if turns and turns[-1]["role"] == "assistant":
            self._join(turns[-1], blocks)
        else:
            turns.append({"role": "assistant", "content": blocks})

    def answer(self, turn: Answered) -> None:
        """Write the answer of a tool, of another format."""
        text, words, turns = turn.text, turn.words, self._turns
        out: Block = {"type": "tool_result", "tool_use_id": self._ids.of_answer(turn.call_id, turn.name)}
        if text and not text.isspace():
            out["content"] = text
        elif turn.value is not None:
            out["content"] = write(turn.value).decode()
        blocks = [out]
        if words and not words.isspace():
            blocks.append({"type": "text", "text": words})
        if turns and turns[-1]["role"] == "user":
            self._join(turns[-1], blocks)
            self._is_mixed = True
        else:
            turns.append({"role": "user", "content": blocks})

    def _put(self, role: str, blocks: list[Block]) -> None:
        """Put what was said behind the rest: neighbours of one role are joined."""
        turns = self._turns
        if turns and turns[-1]["role"] == role:
            self._join(turns[-1], blocks)
            self._is_mixed = True
        elif blocks:
            self._is_mixed |= len(blocks) > 1
            turns.append({"role": role, "content": content(blocks)})

    def _join(self, turn: Block, blocks: list[Block]) -> None:
        if not blocks:
            return
        before = turn["content"]
        if isinstance(before, str):
            turn["content"] = [{"type": "text", "text": before}, *blocks]
        else:
            assert isinstance(before, list)
            before += blocks

    def close(self) -> Turns:
        turns, system = self._turns, self._system
        if not turns and system:
            self._notes.warn("system_as_user")
            turns, system = [{"role": "user", "content": content(system)}], []
        if not turns:
            raise InvalidRequest("messages hold nothing that can be answered", param="messages")
        if not self._native:
            if self._is_mixed:
                _put_answers_first(turns)
            if turns[-1]["role"] == "assistant":
                _trim_end(turns[-1])
        return Turns(system, turns)

    def _add_system(self, message: Message, blocks: list[Block]) -> None:
        if self._native and message.extra:
            self._turns.append({"role": "system", "content": content(blocks)})
            return
        if self._turns:
            self._notes.warn(SYSTEM_FOLDED)
        self._system += [block for block in blocks if self._native or block["type"] == "text"]

    def _block(self, part: Part) -> Block | None:
        match part:
            case Text(text=text):
                if (not text or text.isspace()) and not self._native:
                    return None  # the API refuses blank texts
                return self._words(part) if part.extra else {"type": "text", "text": text}
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self._result(part)
            case Refusal():
                return {"type": "text", "text": part.text} if part.text.strip() else None
            case Media():
                return self._media(part)
            case Reasoning():
                return self._reasoning(part)
            case Native():
                if part.wire == WIRE:
                    return dict(part.value)
                self._notes.warn(NATIVE_DROPPED)
                return None

    def _words(self, part: Text) -> Block:
        own = part.extra.get(SEARCHED)
        if self._keeps and isinstance(own, dict) and found_words(own) == part.text:
            return dict(own)  # else of another format, or a layer changed the words since
        extra = part.extra if own is None else {}
        return {"type": "text", "text": part.text, **self._extra(extra)}

    def _extra(self, extra: Mapping[str, Json]) -> Mapping[str, Json]:
        if not extra or self._keeps:
            return extra
        # Clients of other dialects mark cache breakpoints for Claude in this very form.
        mark = extra.get("cache_control")
        return {"cache_control": mark} if isinstance(mark, dict) else {}

    def _media(self, media: Media) -> Block:
        if media.detail not in {None, "auto"}:
            self._notes.drop("image_url.detail")
        return {**media_block(media, own_files=self._keeps), **self._extra(media.extra)}

    def _call(self, call: ToolCall) -> Block:
        text = call.arguments.strip()
        given: object
        if call.kind == "custom":
            given = {"input": call.arguments}
        elif not text:
            given = {}
        elif object_of(text):
            given = Raw(text.encode())
        else:
            self._notes.warn(ARGUMENTS_WRAPPED)
            given = {"arguments": call.arguments}
        out: Block = {"type": "tool_use", "id": self._ids.of_call(call), "name": call.name, "input": given}
        return {**out, **self._extra(call.extra)} if call.extra else out

    def _result(self, result: ToolResult) -> Block:
        out: Block = {"type": "tool_result", "tool_use_id": self._ids.of_answer(result.call_id, result.name)}
        parts = result.content
        only = parts[0] if len(parts) == 1 else None
        if isinstance(only, Text) and not only.extra and not only.text.isspace() and only.text:
            out["content"] = only.text
        elif blocks := [block for part in parts if (block := self._block(part)) is not None]:
            out["content"] = content(blocks)
        elif result.value is not None:
            out["content"] = write(result.value).decode()
        if result.is_error:
            out["is_error"] = True
        return {**out, **self._extra(result.extra)} if result.extra else out

    def _reasoning(self, thought: Reasoning) -> Block | None:
        if thought.wire == WIRE and thought.redacted is not None:
            return {"type": "redacted_thinking", "data": thought.redacted, **thought.extra}
        if thought.wire == WIRE and thought.signature:
            own = {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
            return {**own, **thought.extra}
        self._notes.warn(REASONING_DROPPED)
        return None


class _CallIds:
    """Ids of calls as they are sent."""

    __slots__ = ("_renames", "_sent", "_unnamed", "_used")

    def __init__(self, *, renames: bool) -> None:
        self._renames = renames
        """A repeated id gets a stand-in: hosts count from `call_0` in every turn, and turns may be joined."""
        self._sent: dict[str, str] = {}
        """Id as given -> as sent, of the latest call of that id; none = as it was given."""
        self._used: set[str] = set()
        self._unnamed: Waiting | None = None
        """Ids as sent of calls without an id that wait for their answers."""

    def of_call(self, call: ToolCall) -> str:
        given, used = call.id, self._used
        if given and given not in used and is_good_id(given):  # nearly all are
            used.add(given)
            return given
        sent = tool_id(given) if given else ""
        if not sent or (self._renames and sent in used):
            sent = tool_id(f"{given}/{call.name}/{len(used)}")
        used.add(sent)
        if given:
            self._sent[given] = sent
        else:
            self._unnamed = self._unnamed or Waiting()
            self._unnamed.add(call.name, sent)
        return sent

    def of_answer(self, call_id: str, name: str | None) -> str:
        if call_id:
            if not self._sent and call_id in self._used:
                return call_id
            return self._sent.get(call_id) or tool_id(call_id)
        waits, found = self._unnamed, None
        if waits is not None:
            found = waits.oldest() if name is None else waits.of_tool(name)
        return found or tool_id(f"/{name}")


def _put_answers_first(turns: Sequence[Block]) -> None:
    for turn in turns:
        blocks = turn["content"]
        if turn["role"] == "user" and isinstance(blocks, list) and len(blocks) > 1:
            blocks.sort(key=_is_no_result)


def _is_no_result(block: Block) -> bool:
    return block["type"] != "tool_result"


def _trim_end(turn: Block) -> None:
    """Cut white space from the end of a started answer: the API refuses it."""
    said = turn["content"]
    if isinstance(said, str):
        turn["content"] = said.rstrip()
        return
    assert isinstance(said, list)
    last = said[-1] if said else {}
    text = last.get("text")
    if last.get("type") == "text" and isinstance(text, str):
        last["text"] = text.rstrip()


def has_open_calls(messages: Sequence[Block]) -> bool:
    """Tell whether the conversation ends in answers to calls of a turn that does not begin with thinking."""
    if len(messages) < 2:
        return False
    called, answered = _kinds(messages[-2]), _kinds(messages[-1])
    if "tool_use" not in called or "tool_result" not in answered:
        return False
    return called[0] not in {"thinking", "redacted_thinking"}


def _kinds(turn: Block) -> list[object]:
    blocks = turn["content"]
    return [block["type"] for block in blocks] if isinstance(blocks, list) else []
