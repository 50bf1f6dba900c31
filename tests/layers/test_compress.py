"""Compression and marks as layers of their rings."""

import msgspec
import pytest

from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import InvalidRequest, ProviderFailed
from turnout.layers.compress import CompressLayer, MarksLayer
from turnout.strategies.priority import Priority
from turnout.testing.clock import now
from turnout.testing.layer import ACME, QUESTION, Scripted, Turn, check_layer, make_call, make_exchange
from turnout.types.ask import Ask
from turnout.types.chat import Message, Text, ToolCall, ToolResult
from turnout.types.compress import Compact, CompressRule

RULE = CompressRule(tool_tokens=100, min_tokens=0)
DIRECT = Route(name="direct", deployments=(), strategy=Priority(), filters=())
LOG = "The signal at block 7 is red. " * 200


def layer(rule=RULE, call=None):
    snapshot = Snapshot(
        version=1,
        digest="d",
        deployments={ACME.id: ACME},
        models={ACME.model.id: (ACME,)},
        direct=DIRECT,
        compress={} if rule is None else {"direct": rule},
    )
    return CompressLayer(snapshot, call or Scripted(Turn()), now)


def exchange(n=1, **ask):
    messages = []
    for at in range(n):
        messages += [
            Message("user", (Text(f"Where is train {at}?"),)),
            Message("assistant", (ToolCall(id=f"c{at}", name="log", arguments="{}"),)),
            Message("tool", (ToolResult(call_id=f"c{at}", content=(Text(f"{at} {LOG}"),)),)),
        ]
    messages.append(Message("user", (Text("And now?"),)))
    facts = msgspec.structs.replace(QUESTION.facts, n_chars=n * len(LOG) + 60, n_messages=3 * n + 1)
    request = msgspec.structs.replace(QUESTION, messages=tuple(messages), facts=facts)
    return make_exchange(request, Ask(request_id="req_1", **ask))


@pytest.mark.parametrize("n", [1, 12])
def test_both_layers_keep_the_rules_of_layers(n):
    check_layer(layer(), lambda: exchange(n))
    check_layer(MarksLayer(frozenset(("direct",))), make_call)


def test_without_a_rule_nothing_is_there():
    def inner(subject):
        raise NotImplementedError

    assert layer(None)(inner) is inner
    assert MarksLayer(frozenset())(inner) is inner


async def test_facts_follow_what_was_taken_away():
    subject = exchange()
    layer()(lambda each: each)(subject)
    sent = subject.request
    assert sent is not subject.original
    text = sent.messages[2].parts[0].content[0].text
    assert sent.facts.n_chars == subject.original.facts.n_chars - (len(f"0 {LOG}") - len(text))
    assert subject.compressed.n_after < subject.compressed.n_before


async def test_wishes_that_are_none_are_refused():
    with pytest.raises(InvalidRequest, match="compress"):
        layer()(lambda each: each)(exchange(extra={"compress": 7}))


async def test_where_no_summary_comes_sentences_stand_in_and_the_record_tells():
    rule = CompressRule(min_tokens=0, compact=Compact(above_tokens=500, keep_turns=2, by=ACME.id))
    subject = exchange(5)
    failing = Scripted(Turn(error=ProviderFailed("down")))
    async with layer(rule, failing)(Scripted(Turn()))(subject):
        pass
    assert subject.compressed.why == "summary_failed"
    assert "The signal at block 7 is red." in subject.request.messages[0].parts[0].text
