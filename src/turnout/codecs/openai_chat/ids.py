"""Ids of tool calls: kept as they came, made where the origin format gave none. Floor 2."""

from turnout.codecs.waiting import Waiting
from turnout.types.chat import ToolCall


class CallIds:
    """Pairs the calls and answers of one conversation."""

    __slots__ = ("_nameless", "_order")

    def __init__(self) -> None:
        self._order: dict[str, int] = {}
        self._nameless = Waiting()
        """Made ids of calls that came without an id and wait for their answer."""

    def of_call(self, call: ToolCall) -> str:
        """Return the id under which a call is sent; the same history always gives the same ids."""
        sent = call.id or f"call_{len(self._order)}"
        self._order[sent] = len(self._order)
        if not call.id:
            self._nameless.add(call.name, sent)
        return sent

    def of_answer(self, call_id: str, name: str | None) -> str:
        """Return the id of the call a result answers: its own, or the oldest open call of its tool."""
        if call_id or not self._nameless:
            return call_id
        named = None if name is None else self._nameless.of_tool(name)
        return named or self._nameless.oldest() or ""

    def place(self, sent: str) -> int:
        """Return the position of a call among all calls, for putting answers in its order."""
        return self._order.get(sent, 0)


def shown_id(call_id: str, answer_id: str, choice: int, index: int) -> str:
    """Return the id a client sees for a call: the upstream's, or one made from the answer's id."""
    return call_id or f"call_{answer_id.removeprefix('chatcmpl-')}_{choice}_{index}"
