"""Blocks that a tenant repeats are a harness; the engine counts their hashes, and the intent loses them."""

from datetime import UTC, datetime

import pytest

from tests.signals.conversations import ASK, asked, said
from turnout.engine.repeats import LEAST, REMEMBERED, TENANTS, Repeats
from turnout.signals.canonical import CANONICAL
from turnout.signals.canonical.repeated import EDGE, blocks, without
from turnout.types.moment import MOMENT, Moment

HEAD = ("You are part of an agent. " * 10).strip()
TAIL = ("Answer in the format that was agreed on. " * 8).strip()
PASTED = ("A page of a report that the user pasted. " * 8).strip()
INTENT = "Find out why the login test fails and fix it."
KNOWN = {hash(HEAD), hash(TAIL)}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{HEAD}\n\n{INTENT}", INTENT),
        (f"{INTENT}\n\n{TAIL}", INTENT),
        (f"{HEAD}\n\n{HEAD}\n\n{INTENT}\n\n{TAIL}", INTENT),
        (f"{HEAD}\n\n{PASTED}\n\n{TAIL}\n\n{INTENT}", f"{PASTED}\n\n{TAIL}\n\n{INTENT}"),
        (f"{PASTED}\n\n{INTENT}", f"{PASTED}\n\n{INTENT}"),
        (f"{HEAD}\n\n{TAIL}", f"{HEAD}\n\n{TAIL}"),
        (INTENT, INTENT),
    ],
    ids=["head", "tail", "both", "inside is the user's", "unknown", "nothing else", "plain"],
)
def test_repeated_blocks_are_cut_from_the_ends(text, left):
    assert without(text, KNOWN) == left


def test_only_long_paragraphs_at_the_ends_are_known_by_their_hash():
    assert blocks(INTENT) == ()
    assert blocks(f"{HEAD}\n\n{INTENT}\n\n{TAIL}") == (hash(HEAD), hash(TAIL))
    many = [f"{n} {PASTED}" for n in range(4 * EDGE)]
    assert blocks("\n\n".join(many)) == tuple(map(hash, [*many[:EDGE], *many[-EDGE:]]))


def test_a_block_is_repeated_once_enough_requests_carry_it():
    repeats = Repeats()
    for _ in range(LEAST - 1):
        repeats.note("acme", (1,))
    assert repeats.of("acme") == set()
    repeats.note("acme", (1, 2))
    assert (repeats.of("acme"), repeats.of("other")) == ({1}, frozenset())


def test_what_is_seldom_is_forgotten():
    repeats = Repeats()
    for _ in range(LEAST):
        repeats.note("acme", (1,))
    for n in range(REMEMBERED - LEAST):
        repeats.note("acme", (100 + n,))
    repeats.note("acme", ())
    assert repeats.of("acme") == set()


def test_memory_is_bounded():
    repeats = Repeats()
    for n in range(TENANTS + 10):
        repeats.note(f"t{n}", (n,))
    assert len(repeats._tenants) == TENANTS
    for n in range(3 * REMEMBERED):
        repeats.note("busy", (n, n + 1))
    busy = repeats._tenants["busy"]
    assert (len(busy.latest), len(busy.counts)) == (REMEMBERED, REMEMBERED + 1)


def test_the_intent_is_what_the_user_wrote():
    moment = Moment(at=datetime(2026, 1, 1, tzinfo=UTC), repeated=KNOWN)
    found = CANONICAL.read(asked(said(f"{HEAD}\n\n{INTENT}\n\n{TAIL}")), ASK, {MOMENT: moment})
    assert (found.intent, found.blocks) == (INTENT, (hash(HEAD), hash(TAIL)))
    assert "agent" not in str(found.value)
