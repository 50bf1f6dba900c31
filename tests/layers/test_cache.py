"""The cache in the request ring, on a clock that jumps."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.engine.reply import Reply, WholeReply
from turnout.engine.snapshot import Route, Snapshot
from turnout.errors import InvalidRequest, NotFound, ProviderFailed, StoreUnavailable
from turnout.layers.cache import CacheLayer, Caches, Shelf
from turnout.layers.cache.key import partition
from turnout.stores.cache.base import ALL
from turnout.stores.cache.memory import MemoryCache
from turnout.strategies.priority import Priority
from turnout.testing.clock import now, run
from turnout.testing.layer import ACME, ANSWER, QUESTION, Scripted, Turn, check_layer, make_exchange
from turnout.types.ask import Ask, Preferences
from turnout.types.cache import CacheRule, CacheView, CacheWish
from turnout.types.chat import ChatResponse, Choice, Facts, Message, Text, Tool
from turnout.types.event import Finish, Start, TextDelta, UsageUpdate
from turnout.types.principal import Principal
from turnout.types.record import Attempt
from turnout.types.usage import NanoUsd, Usage

RULE = CacheRule(policy="p1")


def snapshot(rule=RULE):
    direct = Route(name="direct", deployments=(), strategy=Priority(), filters=())
    return Snapshot(
        version=1,
        digest="d",
        deployments={ACME.id: ACME},
        models={ACME.model.id: (ACME,)},
        direct=direct,
        caches={} if rule is None else {"direct": rule},
    )


class Wall:
    at = 1_800_000_000.0

    def __call__(self):
        return self.at


def caches(store=None, *, wait_s=60.0, wall=None):
    shelf = Shelf(store or MemoryCache(), now, wall or Wall())
    return Caches(shelf, salt=b"salt", max_bytes=100_000, wait_s=wait_s)


def layer(kept=None, rule=RULE):
    return CacheLayer(snapshot(rule), kept or caches())


def exchange(text="two plus two?", *, request=QUESTION, **ask):
    messages = (Message("user", (Text(text),)),)
    request = msgspec.structs.replace(request, messages=messages)
    return make_exchange(request, Ask(request_id="req_" + text, **ask))


class Priced(Scripted):
    """Writes an attempt that cost money, as the measure layer would."""

    def __call__(self, subject):
        subject.attempts.append(
            Attempt(
                n=1,
                deployment=ACME.id,
                model=ACME.model.id,
                provider="acme",
                start_s=0.0,
                duration_s=1.0,
                outcome="ok",
                usage=Usage(input_uncached=10, output_text=5),
                cost_nusd=NanoUsd(3000),
                cost_state="exact",
            )
        )
        return super().__call__(subject)


async def asked(wrapped, of):
    """Read one answer whole; return its words."""
    async with wrapped(of) as reply:
        answer = await reply.response()
    return answer.choices[0].parts[0].text


def test_the_layer_keeps_the_rules_of_layers_and_is_not_there_where_nothing_is_cached():
    def inner(subject):
        raise NotImplementedError

    assert CacheLayer(snapshot(None), caches())(inner) is inner
    assert CacheLayer(snapshot(), None)(inner) is inner

    def fresh(script):  # what a layer must do without an answer to give
        return CacheLayer(snapshot(), caches())(script)

    check_layer(fresh, lambda: make_exchange(ask=Ask(request_id="req_1")))


def test_the_second_of_two_equal_requests_is_answered_without_a_call_and_costs_nothing():
    async def main():
        script = Priced()
        wall = Wall()
        kept = caches(wall=wall)
        wrapped = layer(kept)(script)
        first, second, third = exchange(), exchange(), exchange()
        words = [await asked(wrapped, first)]
        wall.at += 7
        words.append(await asked(wrapped, second))
        wall.at += 4000
        words.append(await asked(wrapped, third))
        return script, words, first, second, third, kept

    script, words, first, second, third, kept = run(main())
    key = first.cached.key
    assert words == ["four", "four", "four"]
    assert len(script.entered) == 2
    assert first.cached == CacheView(status="miss", key=key)
    assert second.cached == CacheView(
        status="hit", key=key, age_s=7.0, saved_nusd=NanoUsd(3000), n_tokens_saved=15
    )
    assert third.cached == CacheView(status="miss", key=key)
    assert (second.attempts, second.routing.reason, second.reply.done) == ([], "cache_hit", True)
    assert second.routing.decision(second).kind == "cached"
    assert (kept.hits, kept.saved_nusd) == ({"hit": 1}, 3000)


def test_a_thousand_equal_requests_at_once_make_one_call():
    async def main():
        script = Priced(Turn(takes_s=2.0))
        wrapped = layer()(script)
        exchanges = [exchange(principal=Principal(organisation="acme", key_id=f"k{n}")) for n in range(1000)]
        words = await asyncio.gather(*(asked(wrapped, each) for each in exchanges))
        return script, words, exchanges

    script, words, exchanges = run(main())
    assert len(script.entered) == 1
    assert set(words) == {"four"}
    assert sum(each.cached.shared for each in exchanges) == 999


@pytest.mark.parametrize("when", [1.0, 3.0])
def test_a_leader_that_goes_away_hands_over_to_one_that_waits(when):
    """At 1 s nothing is committed; at 3 s the leader is reading slowly."""

    async def slow(wrapped, of):
        async with wrapped(of) as reply:
            await asyncio.sleep(10)
            return await reply.response()

    async def main():
        script = Priced(Turn(takes_s=2.0))
        kept = caches()
        wrapped = layer(kept)(script)
        leader = asyncio.create_task(slow(wrapped, exchange()))
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(asked(wrapped, exchange())) for _ in range(50)]
        await asyncio.sleep(when - 0.5)
        leader.cancel()
        others[1].cancel()
        ended = await asyncio.gather(*others, return_exceptions=True)
        return script, ended, len(kept.flights), now()

    script, ended, n_flights, at = run(main())
    assert len(script.entered) == 2
    assert sum(each == "four" for each in ended) == 49
    assert (n_flights, at) == (0, when + 2.0)


def test_after_a_failure_everybody_goes_alone_and_nothing_is_kept():
    async def main():
        script = Priced(Turn(takes_s=1.0, error=ProviderFailed("down")), Turn(takes_s=1.0))
        kept = caches()
        wrapped = layer(kept)(script)
        tasks = [asyncio.create_task(asked(wrapped, exchange())) for _ in range(5)]
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        return script, ended, len(kept.flights), now()

    script, ended, n_flights, at = run(main())
    assert isinstance(ended[0], ProviderFailed)
    assert ended[1:] == ["four"] * 4
    assert (len(script.entered), n_flights, at) == (5, 0, 2.0)


def test_nobody_waits_for_a_slow_leader_for_longer_than_the_limit():
    async def main():
        script = Priced(Turn(takes_s=100.0), Turn(takes_s=1.0))
        wrapped = layer(caches(wait_s=5.0))(script)
        leader = asyncio.create_task(asked(wrapped, exchange()))
        await asyncio.sleep(0)
        words = await asked(wrapped, exchange())
        at = now()
        await leader
        return words, at

    assert run(main()) == ("four", 6.0)


class Streamed(Reply):
    """A stream of three batches, the last of which may never come."""

    def __init__(self, *, finish="stop", breaks=False):
        super().__init__(ACME)
        self._finish, self._breaks = finish, breaks

    async def response(self):
        raise NotImplementedError

    async def events(self):
        for events in (
            [Start(id="c1", model="small-1")],
            [TextDelta("fo"), TextDelta("ur")],
            [Finish(reason=self._finish), UsageUpdate(Usage(input_uncached=3, output_text=1))],
        ):
            if self._breaks and isinstance(events[0], Finish):
                self.failure = ProviderFailed("cut")
                raise self.failure
            self._saw(events)
            yield events
        self.done = True


async def batches(wrapped, of):
    async with wrapped(of) as reply:
        return [events async for events in reply.events()]


@pytest.mark.parametrize(("replay", "n"), [("chunks", 3), ("fast", 1)])
def test_a_stream_is_given_again_in_its_pieces_or_at_once(replay, n):
    async def main():
        script = Priced(Turn(Streamed()))
        wrapped = layer(rule=msgspec.structs.replace(RULE, replay=replay))(script)
        first = await batches(wrapped, exchange())
        second = await batches(wrapped, exchange())
        whole = await asked(wrapped, exchange())
        return script, first, second, whole

    script, first, second, whole = run(main())
    assert len(script.entered) == 1
    assert (len(first), len(second), whole) == (3, n, "four")
    assert [e for b in second for e in b] == [e for b in first for e in b]


def refused(finish):
    return ChatResponse(id="1", model="m", choices=(Choice(parts=(Text("no"),), finish=finish),))


TOOLED = msgspec.structs.replace(
    QUESTION, tools=(Tool(name="act"),), facts=Facts(n_chars=13, n_messages=1, n_tools=1)
)
WARM = msgspec.structs.replace(QUESTION, temperature=0.7)
NEVER = [
    ("truncated", Turn(WholeReply(ACME, refused("length"))), QUESTION, {}),
    ("filtered", Turn(WholeReply(ACME, refused("content_filter"))), QUESTION, {}),
    ("no-store", Turn(), QUESTION, {"cache": CacheWish(keeps=False)}),
    ("bypass", Turn(), QUESTION, {"extra": {"cache": {"mode": "bypass"}}}),
    ("tools", Turn(), TOOLED, {}),
    ("sampled", Turn(), WARM, {}),
    ("several", Turn(), msgspec.structs.replace(QUESTION, n=2), {}),
    ("no time", Turn(), QUESTION, {"extra": {"cache": {"ttl": 0}}}),
]


@pytest.mark.parametrize(("turn", "request_", "ask"), [row[1:] for row in NEVER], ids=[r[0] for r in NEVER])
def test_what_is_never_kept(turn, request_, ask):
    async def main():
        script = Priced(turn)
        kept = caches()
        wrapped = layer(kept)(script)
        for _ in range(2):
            await asked(wrapped, exchange(request=request_, **ask))
        return script, await kept.shelf.held(ALL)

    script, held = run(main())
    assert (len(script.entered), held.n) == (2, 0)


def test_a_stream_that_breaks_or_is_left_is_not_kept():
    async def main():
        kept = caches()
        wrapped = layer(kept)(Priced(Turn(Streamed(breaks=True)), Turn(Streamed())))
        with pytest.raises(ProviderFailed):
            await batches(wrapped, exchange())
        async with wrapped(exchange()) as reply:
            async for _ in reply.events():
                break
        return await kept.shelf.held(ALL), len(kept.flights)

    held, n_flights = run(main())
    assert (held.n, n_flights) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "ask"),
    [
        (WARM, {"extra": {"cache": {"use-cache": True}}}),
        (WARM, {"cache": CacheWish(asked=True, ttl_s=9.0)}),
        (msgspec.structs.replace(QUESTION, temperature=0.0), {}),
    ],
)
def test_what_is_asked_to_be_kept_is(request_, ask):
    async def main():
        script = Priced()
        wrapped = layer()(script)
        for _ in range(2):
            await asked(wrapped, exchange(request=request_, **ask))
        return script

    assert len(run(main()).entered) == 1


def test_a_request_may_refuse_old_answers_renew_them_or_ask_for_nothing_else():
    async def main():
        script, wall = Priced(), Wall()
        wrapped = layer(caches(wall=wall))(script)
        said = []

        async def one(**cache):
            each = exchange(extra={"cache": cache})
            await asked(wrapped, each)
            said.append((each.cached.status, len(script.entered)))

        with pytest.raises(NotFound) as missing:
            await one(mode="only")
        await one()
        wall.at += 30
        await one(**{"s-maxage": 60})
        await one(**{"s-maxage": 10})
        await one(**{"no-cache": True})
        await one(mode="only")
        await one(namespace="mine")
        with pytest.raises(InvalidRequest, match="such member"):
            await one(tll=3)
        return said, missing.value.code

    said, code = run(main())
    assert code == "not_cached"
    assert said == [("miss", 1), ("hit", 1), ("miss", 2), ("refresh", 3), ("hit", 3), ("miss", 4)]


def test_under_one_name_different_words_are_the_same_request_of_that_key_alone():
    async def main():
        script = Priced()
        wrapped = layer()(script)
        mine, other = (Principal(organisation="acme", project="p", key_id=k) for k in ("k1", "k2"))
        for text, who in (("one", mine), ("two", mine), ("three", other)):
            await asked(wrapped, exchange(text, principal=who, extra={"cache": {"key": "daily"}}))
        return len(script.entered)

    assert run(main()) == 2


def test_what_restricts_the_choice_of_a_model_parts_answers():
    async def main():
        script = Priced()
        wrapped = layer()(script)
        for ask in (
            {},
            {"surface": "support"},
            {"principal": Principal(allow=("acme/*",))},
            {"prefer": Preferences(avoid=("acme/big",))},
            {"prefer": Preferences(max_cost_nusd=NanoUsd(5))},
            {},
        ):
            await asked(wrapped, exchange(**ask))
        return len(script.entered)

    assert run(main()) == 5


class Dead(MemoryCache):
    """A store that fails from now on, or never answers."""

    is_near = False
    n_asked = 0

    async def get(self, key, now):
        self.n_asked += 1
        if self.n_asked % 2:
            await asyncio.sleep(3600)
        raise StoreUnavailable("down")

    async def put(self, kept, now):
        raise StoreUnavailable("down")


def test_a_dead_store_is_a_miss_within_its_time_limit_and_is_then_left_alone():
    async def main():
        store = Dead()
        kept = caches(store)
        wrapped = layer(kept)(Priced())
        words = [await asked(wrapped, exchange(f"q{n}")) for n in range(10)]
        await asyncio.sleep(10)
        words.append(await asked(wrapped, exchange("later")))
        await kept.close()
        return words, store.n_asked, now()

    words, n_asked, at = run(main())
    assert words == ["four"] * 11
    assert n_asked <= 4
    assert at < 11


names = st.sampled_from([None, "a", "b", "a\x00b", ""])
principals = st.builds(
    Principal,
    organisation=names,
    project=names,
    team=names,
    key_id=st.sampled_from(["k1", "k2", "k3"]),
    customer=names,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.sampled_from(["organisation", "project", "team", "key"]),
    st.lists(st.tuples(principals, st.sampled_from(["x", "y"]), st.booleans()), min_size=2, max_size=12),
)
def test_no_answer_ever_crosses_from_one_tenant_to_another(scope, steps):
    """Whoever is given an answer is of the organisation and the customer it was made for."""

    async def main():
        made = []

        class Named(Priced):
            def turn(self):
                of = self.entered[-1]
                owner = of.ask.principal
                answer = msgspec.structs.replace(ANSWER, id=str(len(made)))
                made.append(owner)
                return Turn(WholeReply(ACME, answer))

        rule = msgspec.structs.replace(RULE, scope=scope)
        wrapped = layer(rule=rule)(Named())
        for who, text, mine in steps:
            each = exchange(text, principal=who, extra={"cache": {"key": "name"}} if mine else {})
            async with wrapped(each) as reply:
                answer = await reply.response()
            maker = made[int(answer.id)]
            assert (maker.organisation or "", maker.customer or "") == (
                who.organisation or "",
                who.customer or "",
            )
            if not who.organisation or scope == "key" or mine:
                within = scope in ("project", "team") and getattr(who, scope) and not mine
                assert within or maker.key_id == who.key_id

    run(main())


def test_an_end_user_whom_a_key_may_name_parts_answers():
    one = Principal(organisation="acme", names_customers=True)
    assert partition("project", one, "jo") != partition("project", one, "al")
    plain = Principal(organisation="acme")
    assert partition("project", plain, "jo") == partition("project", plain, "al")
