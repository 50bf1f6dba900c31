"""Conversations for property tests: any mix of turns, calls, results, marks, media and repeats."""

from hypothesis import strategies as st

from turnout.types.chat import Media, Message, Reasoning, Text, ToolCall, ToolResult

MARK = {"cache_control": {"type": "ephemeral"}}
_words = st.lists(
    st.sampled_from(["alpha", "beta 42", "der Zug", "列車", "error: no", "\n\n", "   ", "x" * 300]),
    min_size=1,
    max_size=40,
).map(" ".join)
_json = st.sampled_from(
    [
        '{\n  "a": 1,\n  "a": 1e5,\n  "b": [1, 2]\n}',
        '[{"id": 1, "n": "x"}, {"id": 2, "n": "y"}, {"id": 3, "n": "z"}]',
        '{"rows": [\n {"k": 1.50}, {"k": 2}, {"k": null}, {"k": "\\u00e9"}]}',
        "{broken",
    ]
)
TEXT = st.one_of(_words, _json, _words.map(lambda text: text * 12))


@st.composite
def conversations(draw):
    """Return messages as clients send them."""
    out = []
    if draw(st.booleans()):
        out.append(Message("system", (Text(draw(TEXT)),)))
    for turn in range(draw(st.integers(1, 9))):
        extra = MARK if draw(st.integers(0, 11)) == 0 else {}
        said = [Text(draw(TEXT), extra)]
        if draw(st.integers(0, 7)) == 0:
            said.append(Media(kind="image", mime="image/png", data="AAAA"))
        out.append(Message("user", tuple(said)))
        for step in range(draw(st.integers(0, 3))):
            out += _loop(draw, f"call_{turn}_{step}")
        if draw(st.integers(0, 9)) == 0:
            out.append(Message("system", (Text("Be brief."),)))
        if turn < 8 and draw(st.booleans()):
            out.append(Message("assistant", (Text(draw(TEXT)),)))
    return tuple(out)


def _loop(draw, name):
    ids = [f"{name}_{at}" if draw(st.integers(0, 5)) else "" for at in range(draw(st.integers(1, 2)))]
    names = st.sampled_from(["search", "read_file"])
    calls = [ToolCall(id=each, name=draw(names), arguments='{"q": 1}') for each in ids]
    thought = [Reasoning(text="hm", signature="s", wire="anthropic")] if draw(st.booleans()) else []
    results = [
        ToolResult(call_id=call.id, name=call.name, content=(Text(draw(TEXT)),), is_error=draw(st.booleans()))
        for call in calls
    ]
    apart = draw(st.booleans())
    answers = [Message("tool", (each,)) for each in results] if apart else [Message("user", tuple(results))]
    return [Message("assistant", (*thought, *calls)), *answers]
