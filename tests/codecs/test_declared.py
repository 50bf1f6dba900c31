"""Tools declared before are found again, and what is kept has a bound."""

import msgspec

from turnout.codecs.declared import Memo
from turnout.registry import load
from turnout.types.deployment import Deployment, Model, Vendor

FORMATS = ("openai_chat", "openai_responses", "anthropic", "gemini")
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def parsed(tools):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    return load("turnout.dialects", "openai_chat")().parse(msgspec.json.encode(body)).request


def sent(request, name):
    vendor = Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=name)
    to = Deployment(id="acme/m", vendor=vendor, model=Model(id="acme/m"), upstream_model="m")
    return load("turnout.codecs", name)().encode(request, to)


def test_a_memo_never_holds_more_than_it_may_and_forgets_what_is_not_asked_for():
    memo = Memo[int](max_bytes=1000, max_entries=20)
    often = b"x" * 50
    memo.put(often, -1)
    assert memo.get(often) is None  # it came once
    memo.put(often, -1)
    for i in range(200):
        memo.put(b"%050d" % i, i)
        memo.put(b"%050d" % i, i)
        assert memo.get(often) == -1
        assert memo.n_bytes <= 1000
        assert len(memo) <= 20
    assert (memo.get(b"%050d" % 199), memo.get(b"%050d" % 0)) == (199, None)
    memo.put(b"y" * 501, 0)
    memo.put(b"y" * 501, 0)
    assert memo.get(b"y" * 501) is None


def test_what_is_made_anew_from_the_same_bytes_counts_once():
    memo = Memo[int]()
    for value in range(3):
        memo.put(b"a" * 60, value)
    assert (memo.get(b"a" * 60), memo.n_bytes, len(memo)) == (2, 60, 1)


def test_later_requests_with_the_same_tools_are_written_as_the_first():
    for name in FORMATS:
        first, *later = [sent(parsed([LOOK]), name) for _ in range(4)]
        assert later == [first] * 3
    assert parsed([LOOK]).tools is parsed([LOOK]).tools
    facts = [parsed([{**LOOK, "type": None}]).facts for _ in range(4)]
    assert facts == facts[:1] * 4


def test_what_writing_had_to_give_up_is_told_every_time():
    strict = {"type": "function", "function": {"name": "look", "strict": True, "parameters": {}}}
    notices = [sent(parsed([strict]), "anthropic").warnings for _ in range(4)]
    assert notices == [("tool_strict_dropped",)] * 4


def test_tools_that_differ_in_one_letter_are_other_tools():
    book = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
    names = [[tool.name for tool in parsed([each]).tools] for each in (LOOK, book, LOOK)]
    assert names == [["look"], ["book"], ["look"]]
