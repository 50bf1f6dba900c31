"""Questions that mean the same: what is served, what objects, what is only watched."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.test_cache import RULE, Priced, Wall, asked, caches, exchange, snapshot
from turnout.engine.beside import Beside, Threads
from turnout.engine.reply import WholeReply
from turnout.layers.cache import CacheLayer
from turnout.layers.cache.semantic import Semantic, Settings, agreement
from turnout.learn import nearest
from turnout.learn.nearest import Nearest, Question
from turnout.signals.base import last_user_text
from turnout.stores.cache.base import ALL, Selector
from turnout.testing.clock import run
from turnout.testing.layer import ACME, ANSWER, QUESTION, Turn
from turnout.types.cache import NearView
from turnout.types.chat import Choice, Message, Text
from turnout.types.principal import Principal
from turnout.types.signal import Embedding, Signal

RESET, AGAIN = "How do I reset my password?", "How can I reset my password?"
ME = Principal(organisation="acme", key_id="k1")


class Letters:
    """A sense whose vectors count letters: texts in other words lie close together."""

    name = "embed.letters"
    needs: frozenset[str] = frozenset()

    def read(self, request, ask, so_far):
        text = last_user_text(request).lower()
        if not text.strip("?"):
            return Signal(error="no_words")
        row = np.array([text.count(chr(97 + n)) for n in range(26)], np.float32)
        row /= np.linalg.norm(row) or 1.0
        return Embedding(value="letters", vector=row.tobytes())


def semantic(**settings):
    row = Settings(**{"threshold": 0.9, **settings})
    return Semantic(Letters(), Beside(Threads(), None, 1.0), Nearest(), row)


def rig(script=None, *, settings=None, rule=None):
    kept = caches(wall=Wall())
    kept.semantic = semantic(**(settings or {}))
    rule = rule or msgspec.structs.replace(RULE, semantic=True)
    script = script or Priced()
    return script, kept, CacheLayer(snapshot(rule), kept)(script)


async def ask(wrapped, text, *, who=ME, request=QUESTION, **more):
    one = exchange(text, principal=who, request=request, **more)
    await asked(wrapped, one)
    return one


def test_a_question_in_other_words_is_answered_alike_and_says_by_which():
    async def main():
        script, _, wrapped = rig()
        first = await ask(wrapped, RESET)
        second = await ask(wrapped, AGAIN)
        return script, first, second

    script, first, second = run(main())
    assert len(script.entered) == 1
    assert (second.cached.status, second.cached.saved_nusd) == ("semantic-hit", 3000)
    near = second.cached.near
    assert near == NearView(key=first.cached.key, similarity=near.similarity, threshold=0.9)
    assert 0.9 < near.similarity < 1


def test_what_sounds_alike_and_is_not_is_told_with_its_reason_and_not_served():
    async def main():
        script, _, wrapped = rig(settings={"threshold": 0.6})
        await ask(wrapped, "How do I enable 2FA?")
        second = await ask(wrapped, "How do I disable 2FA?")
        far = await ask(wrapped, "Quiz jumps vex")
        return script, second, far

    script, second, far = run(main())
    assert len(script.entered) == 3
    assert (second.cached.status, second.cached.near.veto, second.cached.missed_near) == (
        "miss",
        "opposite",
        True,
    )
    assert not far.cached.missed_near


async def ask_within(wrapped, before, text, who):
    one = exchange(text, principal=who)
    messages = (Message("system", (Text(before),)), Message("user", (Text(text),)))
    one.request = one.original = msgspec.structs.replace(one.request, messages=messages)
    async with wrapped(one) as reply:
        return (await reply.response()).id, one


tenants = st.sampled_from(
    [
        Principal(organisation=o, key_id=k, customer=c)
        for o in ("acme", "zoo")
        for k in ("k1", "k2")
        for c in (None, "cus")
    ]
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(tenants, st.sampled_from(["be kind", "be brief"]), st.sampled_from([RESET, AGAIN])),
        min_size=2,
        max_size=16,
    )
)
def test_no_question_finds_another_keys_or_one_from_another_conversation(steps):
    async def main():
        made = []

        class Named(Priced):
            def turn(self):
                of = self.entered[-1]
                made.append((of.ask.principal, of.request.messages[0].parts[0].text))
                return Turn(WholeReply(ACME, msgspec.structs.replace(ANSWER, id=str(len(made) - 1))))

        _, _, wrapped = rig(Named())
        for who, before, text in steps:
            answer, one = await ask_within(wrapped, before, text, who)
            maker, within = made[int(answer)]
            # An exact hit may be another key's of the same organisation; a similar one never.
            same = maker == who if one.cached.status == "semantic-hit" else maker.customer == who.customer
            assert same
            assert (maker.organisation, within) == (who.organisation, before)

    run(main())


def answers(*texts):
    choices = [(Choice(parts=(Text(text),)),) for text in texts]
    return Priced(*(Turn(WholeReply(ACME, msgspec.structs.replace(ANSWER, choices=c))) for c in choices))


def test_in_shadow_nothing_is_served_and_both_answers_are_compared():
    async def main():
        script = answers("Open the settings", "open the SETTINGS!", "Call us")
        script, kept, wrapped = rig(script, settings={"shadow": True, "agreement": 0.8})
        found = [await ask(wrapped, text) for text in (RESET, AGAIN, "How could I reset my password?")]
        return script, found, kept.semantic.watched()

    script, found, watched = run(main())
    assert len(script.entered) == 3
    assert [each.cached.status for each in found] == ["miss"] * 3
    assert [each.cached.near and (each.cached.near.shadow, each.cached.near.right) for each in found] == [
        None,
        (True, True),
        (True, False),
    ]
    assert watched == {"direct": (2, 1)}


def test_a_route_whose_hits_are_often_false_serves_none_any_more():
    async def main():
        script = answers("one two three", *(f"other words {n}" for n in range(50)))
        _, kept, wrapped = rig(script, settings={"check_share": 1.0, "agreement": 0.9})
        for n in range(40):
            await ask(wrapped, RESET + " " * n)
        off = kept.semantic.is_off("direct")
        kept.semantic.settings = msgspec.structs.replace(kept.semantic.settings, check_share=0.0)
        last = await ask(wrapped, "How could I reset my password?")
        return off, last.cached

    off, last = run(main())
    assert off
    assert (last.status, last.near.shadow) == ("miss", True)


def test_what_is_cleared_or_expired_is_found_no_more():
    async def main():
        _, kept, wrapped = rig()
        await ask(wrapped, RESET)
        assert await kept.clear(Selector(organisation="zoo")) == 0
        n = len(kept.semantic)
        assert await kept.clear(Selector(organisation="acme")) == 1
        gone = len(kept.semantic)
        await ask(wrapped, RESET)
        await kept.shelf.clear(ALL)  # the answer alone went: its room was needed
        second = await ask(wrapped, AGAIN)
        return n, gone, second.cached.status, len(kept.semantic)

    assert run(main()) == (1, 0, "miss", 1)


def question(n, *, cost=100, n_bytes=1000, expires=1e9):
    key = n.to_bytes(32, "big")
    return Question(
        key=key, text=str(n), route="r", owner=("o", "", ""), expires=expires, cost_nusd=cost, n_bytes=n_bytes
    )


def unit(rng, n=1):
    rows = rng.normal(size=(n, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_question_of_least_value_goes_where_there_is_no_room():
    rng = np.random.default_rng(0)
    rows = unit(rng, 6)
    found = Nearest(max_per_part=4)
    for n, (cost, n_bytes) in enumerate(((100, 1000), (10**9, 1000), (100, 10**6), (100, 1000))):
        found.add(b"p", rows[n], question(n, cost=cost, n_bytes=n_bytes), 0.0)
    found.used(b"p", question(0).key, 50.0)
    kept = []
    for n in (4, 5):
        found.add(b"p", rows[n], question(n), 100.0)
        kept.append([bool(found.search(b"p", row, 100.0, 1)[0].similarity > 0.999) for row in rows])
    assert kept == [[True, True, False, True, True, False], [True, True, False, False, True, True]]
    assert len(found) == 4


def test_parts_are_bounded_and_never_mix():
    rng = np.random.default_rng(1)
    rows = unit(rng, 50)
    found = Nearest(max_per_part=10, max_parts=3, max_questions=20)
    for n, row in enumerate(rows):
        found.add(b"%d" % (n % 5), row, question(n), float(n))
        assert len(found) <= 20
    assert found.search(b"0", rows[0], 100.0) == []
    assert all(int.from_bytes(m.question.key, "big") % 5 == 4 for m in found.search(b"4", rows[49], 100.0))


def test_a_graph_finds_what_rows_compared_one_by_one_find(monkeypatch):
    monkeypatch.setattr(nearest, "EXACT", 200)
    rng = np.random.default_rng(2)
    rows = unit(rng, 300)
    large = Nearest(max_per_part=1000, max_questions=10**6)
    for n, row in enumerate(rows):
        large.add(b"p", row, question(n), 0.0)
    large.forget(b"p", question(7).key)
    found = [large.search(b"p", rows[n], 1.0, 1)[0].question.text for n in (0, 150, 299)]
    assert found == ["0", "150", "299"]
    assert large.search(b"p", rows[7], 1.0, 1)[0].question.text != "7"


def test_agreement_counts_words():
    assert agreement("Open the settings", "open the SETTINGS!") == 1.0
    assert agreement("a b c d", "a b x y") == 0.5
    assert (agreement("", "a"), agreement("", ""), agreement("?", "!")) == (0.0, 1.0, 0.0)
