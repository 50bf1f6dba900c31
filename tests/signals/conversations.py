"""Conversations for tests of signals: makers and a Hypothesis strategy."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts, Media, Message, Part, Text, Tool, ToolCall, ToolResult
from turnout.types.deployment import Candidate, Deployment, Limits, Model, Stats, Vendor
from turnout.types.moment import MOMENT, Moment
from turnout.types.signal import Canonical, Signal, Signals

ASK = Ask(request_id="req_test")
AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
"""A Friday."""


def said(text: str, *, role: str = "user") -> Message:
    return Message(role, (Text(text),))  # type: ignore[arg-type]


def called(name: str, arguments: str = "{}") -> Message:
    return Message("assistant", (ToolCall(id="c", name=name, arguments=arguments),))


def result(text: str, *, is_error: bool = False) -> Message:
    return Message("tool", (ToolResult(call_id="c", content=(Text(text),), is_error=is_error),))


def asked(*messages: Message, **fields: object) -> ChatRequest:
    return ChatRequest(model="m", messages=messages, **fields)  # type: ignore[arg-type]


def deployment(name: str, *, cap: int | None = None) -> Deployment:
    return Deployment(
        id=name,
        vendor=Vendor(name=name.partition("/")[0], base_url="http://127.0.0.1", codec="openai_chat"),
        model=Model(id=name),
        upstream_model=name,
        limits=Limits(max_concurrency=cap),
    )


def candidate(name: str, *, cap: int | None = None, **stats: object) -> Candidate:
    return Candidate(deployment(name, cap=cap), Stats(**stats))  # type: ignore[arg-type]


def at_moment(*candidates: Candidate, **fields: object) -> dict[str, Signal]:
    return {MOMENT: Moment(value=AT.timestamp(), at=AT, candidates=candidates, **fields)}  # type: ignore[arg-type]


def with_intent(text: str) -> Signals:
    from turnout.signals.base import words_of

    return {"canonical": Canonical(intent=text, windows=(text,), words=words_of(text))}


_texts = st.one_of(
    st.text(st.characters(), max_size=200),
    st.sampled_from(
        (
            "<system-reminder>",
            "</system-reminder>",
            "<task>",
            "</task>",
            "<user_query>\u200b</user_query>",
            "\ud800",
            "\u202e\u0000",
            "ﷺ" * 50,
            "├── a\n" * 20,
            "e\u0301" * 30,
            "👩‍👩‍👧‍👦" * 10,
            "\n" * 300,
            " \t" * 100,
        )
    ),
)
_leaves = st.builds(Text, _texts)
_parts: st.SearchStrategy[Part] = st.one_of(
    _leaves,
    st.builds(lambda text: ToolCall(id="c", name="f", arguments=text), _texts),
    st.builds(
        lambda content, e: ToolResult(call_id="c", content=content, is_error=e),
        st.tuples(_leaves),
        st.booleans(),
    ),
    st.just(Media(kind="image", url="http://x")),
)
_messages = st.builds(
    Message,
    st.sampled_from(("system", "developer", "user", "assistant", "tool")),
    st.lists(_parts, max_size=4).map(tuple),
)
conversations = st.builds(
    lambda messages, limit, n_tools: ChatRequest(
        model="m",
        messages=messages,
        max_tokens=limit,
        tools=tuple(Tool(name=f"t{i}") for i in range(n_tools)),
        facts=Facts(n_chars=sum(len(p.text) for m in messages for p in m.parts if isinstance(p, Text))),
    ),
    st.lists(_messages, max_size=8).map(tuple),
    st.none() | st.integers(1, 10_000),
    st.integers(0, 2),
)
