"""Items of a stream that are open: what they have said so far. Floor 2."""

from turnout.types.chat import ToolCall
from turnout.types.json import Json


class OpenMessage:
    """The open message."""

    __slots__ = ("at", "content", "id", "kind", "logprobs", "notes", "tail", "texts")

    def __init__(self, item_id: str, at: int) -> None:
        self.id = item_id
        self.at = at
        self.content: list[Json] = []
        """Parts that are whole."""
        self.kind = ""
        """Type of the open part; "" = none is open."""
        self.texts: list[str] = []
        self.notes: list[Json] = []
        self.logprobs: list[Json] = []
        self.tail = b""
        """What stands between a text frame's number and its text."""

    def place(self) -> dict[str, Json]:
        """Return where the open part stands."""
        return {"output_index": self.at, "content_index": len(self.content)}

    def part(self) -> dict[str, Json]:
        """Return the open part as it stands."""
        text = "".join(self.texts)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": self.notes, "logprobs": self.logprobs}


class OpenThought:
    """The open thought."""

    __slots__ = ("at", "id", "texts")

    def __init__(self, item_id: str, at: int) -> None:
        self.id = item_id
        self.at = at
        self.texts: list[str] = []


class OpenCall:
    """An open call."""

    __slots__ = ("at", "call", "item_id", "texts")

    def __init__(self, call: ToolCall, item_id: str, at: int) -> None:
        self.call = call
        self.item_id = item_id
        self.at = at
        self.texts: list[str] = []
