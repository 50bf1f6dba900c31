"""Budgets and quotas over an engine with a scripted network, on the jumping clock."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from tests.engine.kit import Rig, Turn
from turnout.build import build
from turnout.config import parse_config
from turnout.engine.booking import Booking, Guesses
from turnout.engine.books import Books, Down
from turnout.engine.exchange import Call
from turnout.engine.limits import worst_case
from turnout.errors import (
    BudgetExceeded,
    ConfigError,
    PriceUnknown,
    QuotaExceeded,
    RateLimited,
    StoreUnavailable,
    TurnoutError,
)
from turnout.stores.ledger.base import Fixed, Take
from turnout.stores.ledger.memory import MemoryLedger
from turnout.stores.memory import MemoryJournal
from turnout.testing.scripted import ScriptedTransport
from turnout.types.principal import Principal

KEY = Principal(key_id="k1", team="blue", organisation="acme", tags=("beta",))
OTHER = Principal(key_id="k2", team="blue", organisation="acme")

# Prices in USD per million tokens. The script's answers report 10 tokens in and 2 out; a request may use at
# most 2 + 8 * 2 tokens in and 50 out.
IN, OUT = 1000, 10_000
WORST_NUSD = 18 * IN * 1000 + 50 * OUT * 1000


async def rig(limits, script=None, models=("a/m", "b/m"), price=True):
    priced = f", price: {{input: {IN}, output: {OUT}}}" if price else ""
    hosts = sorted({name.partition("/")[0] for name in models})
    providers = "\n".join(
        f"  {h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}" for h in hosts
    )
    rows = "\n".join(f"  - {{model: {name}{priced}}}" for name in models)
    cheap = models[-1]
    text = (
        f"providers:\n{providers}\nmodels:\n{rows}\negress: {{allow_http: [{', '.join(hosts)}]}}\n"
        f"routes:\n  - {{name: r, models: [{', '.join(models)}]}}\n  - {{name: cheap, models: [{cheap}]}}\n"
        f"ledger: {{store: memory}}\nretry: {{enabled: false}}\n{limits}"
    )
    transport = ScriptedTransport(script or {host: [Turn()] for host in hosts})
    journal = MemoryJournal()
    loop = asyncio.get_running_loop()
    built = await build(parse_config(text, env={}), {}, transport=transport, journal=journal, clock=loop.time)
    rigged = Rig(built, transport, journal)
    if built.books is not None:
        start = datetime.now(UTC).timestamp()
        now = lambda: start + loop.time()  # noqa: E731  Unix seconds that jump with the loop's clock
        built.books.now = built.books.ledger._now = now
    return rigged


async def used(rigged, *takes):
    return await rigged.built.books.ledger.used(takes)


def usd(limit_id, subject):
    return Take(f"usd:{limit_id}:{subject}", Fixed(0, 4_102_444_800), 0, None)


async def last_cost(rigged):
    from turnout.stores.base import Query

    page = await rigged.journal.query(Query(limit=1))
    return page.records[0].outcome.cost_nusd


# Money


async def test_what_a_call_cost_is_taken_from_every_budget_it_falls_under():
    budgets = "\n".join(
        f"  - {{id: {level}, level: {level}, usd: 100, per: lifetime}}"
        for level in ("key", "team", "organisation", "tag", "provider", "model", "route")
    )
    it = await rig(f"budgets:\n{budgets}")
    await it.text(principal=KEY)
    cost = await last_cost(it)
    assert cost > 0
    names = {"key": "k1", "team": "blue", "organisation": "acme", "tag": "beta"}
    names |= {"provider": "a", "model": "a/m", "route": "r"}
    assert await used(it, *(usd(level, subject) for level, subject in names.items())) == (cost,) * 7


async def test_a_budget_that_cannot_hold_the_worst_case_sends_nothing():
    it = await rig("budgets:\n  - {id: b, level: key, usd: 0.0001, per: lifetime}")
    with pytest.raises(BudgetExceeded, match=r"what is left of the budget, 0\.0001 USD, may not be enough"):
        await it.text(principal=KEY)
    assert it.transport.sent == []
    assert await used(it, usd("b", "k1")) == (0,)


async def test_calls_at_once_never_set_aside_more_than_there_is():
    limit = 2 * WORST_NUSD / 1e9
    it = await rig(
        f"budgets:\n  - {{id: b, level: key, usd: {limit}, per: lifetime}}",
        script={"a": [Turn(head_s=1)], "b": [Turn(head_s=1)]},
    )
    results = await asyncio.gather(*(it.text(principal=KEY) for _ in range(5)), return_exceptions=True)
    assert [type(r) for r in results].count(BudgetExceeded) == 3
    assert [r for r in results if isinstance(r, str)] == ["hello world"] * 2
    (spent,) = await used(it, usd("b", "k1"))
    assert spent <= 2 * WORST_NUSD
    assert len(it.transport.sent) == 2


class Noted(MemoryLedger):
    """Notes what it is asked."""

    async def reserve(self, reservation, takes, *, lease_s):
        self.asked.append(("reserve", reservation.partition(":")[2], *(take.amount for take in takes)))
        return await super().reserve(reservation, takes, lease_s=lease_s)

    async def settle(self, reservation, amounts):
        self.asked.append(("settle", reservation.partition(":")[2], *amounts))
        return await super().settle(reservation, amounts)


async def noted(limits, **kwargs):
    it = await rig(limits, **kwargs)
    books = it.built.books
    ledger = books.ledger
    books.ledger = noted = Noted(ledger._now)
    noted.asked = []
    return it, noted.asked


BOTH = (
    "budgets:\n  - {id: b, level: key, usd: %s, per: lifetime}\n"
    "quotas:\n  - {id: q, level: key, of: tokens, limit: 10000}"
)
TOKENS = 68


async def test_a_request_is_reserved_and_settled_in_one_step_each_once_it_is_known_whom_it_calls():
    it, asked = await noted(BOTH % 100)
    await it.text(principal=KEY)
    cost = await last_cost(it)
    own = [("reserve", "1", WORST_NUSD), ("settle", "1", cost)]
    assert asked == [("reserve", "q", TOKENS, 0), *own, ("settle", "q", 12, 0)]
    del asked[:]
    await it.text(principal=KEY)
    assert asked == [("reserve", "1", TOKENS, WORST_NUSD), ("settle", "1", 12, cost)]
    assert await used(it, usd("b", "k1")) == (2 * cost,)


async def test_a_fallback_pays_for_itself_beside_what_was_set_aside_for_the_first_call():
    script = {"a": [Turn(), Turn(status=529), Turn()], "b": [Turn()]}
    it, asked = await noted(BOTH % 100, script=script)
    await it.text(principal=KEY)
    cost = await last_cost(it)
    del asked[:]
    await it.text(principal=KEY)
    assert asked == [
        ("reserve", "1", TOKENS, WORST_NUSD),
        ("reserve", "2", WORST_NUSD),
        ("settle", "2", cost),
        ("settle", "1", 12, 0),
    ]
    assert await used(it, usd("b", "k1")) == (2 * cost,)


async def test_a_guess_follows_what_is_called_at_once_to_what_is_dearer_and_slowly_to_what_is_cheaper():
    it = await rig("budgets:\n  - {id: b, level: key, usd: 100, per: lifetime}")
    async with it.open(principal=KEY) as reply:
        await reply.response()
    exchange = it.open(principal=KEY).exchange
    cheap, other = it.built.engine.snapshot.deployments.values()
    price = msgspec.structs.replace(other.model.price, output=2 * other.model.price.output)
    dear, unpriced = (
        msgspec.structs.replace(other, model=msgspec.structs.replace(other.model, price=each))
        for each in (price, None)
    )
    guesses = Guesses()

    def covered(deployment):
        booking = Booking(exchange.ask, "r", guesses)
        booking.suppose(exchange.request, worst_case(exchange.request, None))
        exchange.n_calls = 0
        return booking.covers(Call(exchange, deployment, exchange.request, now=0.0))

    assert [covered(cheap), covered(cheap), covered(dear), covered(dear)] == [False, True, False, True]
    assert [covered(cheap) for _ in range(15)] == [True] * 15
    assert guesses.of("r").deployment is dear
    assert covered(dear)
    assert [covered(cheap) for _ in range(16)] == [True] * 16
    assert guesses.of("r").deployment is cheap
    assert not covered(unpriced)


async def test_where_little_is_left_nothing_is_set_aside_on_a_guess_and_all_of_it_can_be_spent():
    it, asked = await noted(BOTH % (16 * WORST_NUSD / 1e9))
    for _ in range(3):
        await it.text(principal=KEY)
    cost = await last_cost(it)
    own = [("reserve", "q", TOKENS, 0), ("reserve", "1", WORST_NUSD), ("settle", "1", cost)]
    exact = [*own, ("settle", "q", 12, 0)]
    assert asked == [*exact, ("reserve", "1", TOKENS, WORST_NUSD), *exact, *exact]
    left = Take("usd:b:k1", Fixed(0, 4_102_444_800), 13 * WORST_NUSD, None)
    await it.built.books.ledger.reserve("other", [left], lease_s=60)
    for _ in range((2 * WORST_NUSD - 3 * cost) // cost + 1):  # as long as the worst case fits
        await it.text(principal=KEY)
    with pytest.raises(BudgetExceeded):
        await it.text(principal=KEY)


@pytest.mark.parametrize(
    ("limit", "price", "told"), [(17, True, False), (15, True, True), (17, False, True)], ids=str
)
async def test_candidates_are_held_against_what_is_left_only_where_one_could_matter(limit, price, told):
    usd = limit * WORST_NUSD / 1e9
    it = await rig(f"budgets:\n  - {{id: b, level: key, usd: {usd}, per: lifetime}}", price=price)
    opened = it.open(principal=KEY)
    try:
        async with opened as reply:
            await reply.response()
    except PriceUnknown:
        assert not price
    assert (opened.exchange.ask.left_nusd is not None) is told


async def test_a_failure_gives_everything_back_and_a_fallback_pays_for_itself():
    it = await rig(
        "budgets:\n  - {id: b, level: key, usd: 100, per: lifetime}",
        script={"a": [Turn(status=529)], "b": [Turn()]},
    )
    await it.text(principal=KEY)
    assert len(it.transport.sent) == 2
    assert await used(it, usd("b", "k1")) == (await last_cost(it),)


async def test_a_client_that_leaves_pays_for_what_came():
    it = await rig(
        "budgets:\n  - {id: b, level: key, usd: 100, per: lifetime}",
        script={"a": [Turn(words=("one ", "two ", "three "), gap_s=1)], "b": [Turn()]},
    )
    async with it.open(stream=True, principal=KEY) as reply:
        async for _ in reply.events():
            break
    (spent,) = await used(it, usd("b", "k1"))
    assert 0 < spent < WORST_NUSD
    assert spent == await last_cost(it)


async def test_a_soft_budget_counts_and_lets_through():
    it = await rig("budgets:\n  - {id: b, level: key, usd: 0.000001, per: lifetime, hard: false}")
    assert [await it.text(principal=KEY) for _ in range(3)] == ["hello world"] * 3
    (spent,) = await used(it, usd("b", "k1"))
    assert spent == 3 * await last_cost(it)


async def test_a_model_without_a_price_is_not_asked_under_a_budget():
    it = await rig("budgets:\n  - {id: b, level: key, usd: 1, per: lifetime}", price=False)
    with pytest.raises(PriceUnknown):
        await it.text(principal=KEY)
    assert it.transport.sent == []
    assert await it.text(principal=Principal(key_id=None)) == "hello world"  # under no budget


async def test_thresholds_warn_then_send_to_a_cheaper_route_then_block():
    it = await rig(
        "budgets:\n  - id: b\n    level: key\n    usd: 1\n    per: lifetime\n    hard: false\n"
        "    thresholds:\n"
        "      - {at: 0.5, action: alert}\n      - {at: 0.8, action: downgrade, route: cheap}\n"
        "      - {at: 1.0, action: block}"
    )
    ledger = it.built.books.ledger

    async def spend(share):
        await ledger.reset(["usd:b:k1"])
        take = Take("usd:b:k1", Fixed(0, 4_102_444_800), int(share * 1e9), None)
        await ledger.reserve(f"s{share}", [take], lease_s=9e9)
        async with it.open(principal=KEY) as reply:
            await reply.response()
        await ledger.settle(f"s{share}", [0])
        from turnout.stores.base import Query

        found = (await it.journal.query(Query(limit=1, order="newest"))).records[0]
        return found.decision.route, found.decision.reason, found.warnings

    assert await spend(0.2) == ("r", "highest_score", ())
    assert await spend(0.5) == ("r", "highest_score", ("budget_50",))
    assert await spend(0.8) == ("cheap", "budget_downgrade", ("budget_50", "budget_80"))
    with pytest.raises(BudgetExceeded, match="100 % of the budget are spent, where it is set to block"):
        await spend(1.0)


async def test_a_window_begins_anew():
    it = await rig("budgets:\n  - {id: b, level: key, usd: 100, per: 60s}")
    await it.text(principal=KEY)
    take = it.built.engine.snapshot.limits.budgets_of([("key", "k1")])[0]
    probe = it.built.engine.snapshot.limits.take(*take, 0, 0.0)
    assert await used(it, probe) == (await last_cost(it),)
    await asyncio.sleep(62)
    assert await used(it, probe) == (0,)


# Requests and tokens


async def test_requests_a_minute_are_held_and_come_back():
    it = await rig("quotas:\n  - {id: rpm, level: key, of: requests, limit: 3, per: 1m}")
    for _ in range(3):
        await it.text(principal=KEY)
    with pytest.raises(RateLimited) as refused:
        await it.text(principal=KEY)
    assert refused.value.message == "the limit is 3 requests for this key a minute: 3 are used"
    assert 59 < refused.value.retry_after_s <= 61
    assert await it.text(principal=OTHER) == "hello world"
    await asyncio.sleep(refused.value.retry_after_s)
    assert await it.text(principal=KEY) == "hello world"


async def test_tokens_are_set_aside_at_their_worst_and_settled():
    it = await rig("quotas:\n  - {id: tpm, level: team, of: tokens, limit: 130, per: 1m}")
    await it.text(principal=KEY)
    with pytest.raises(RateLimited) as refused:
        await asyncio.gather(*(it.text(principal=OTHER) for _ in range(3)))
    assert "130 tokens for this team a minute" in refused.value.message
    assert len(it.transport.sent) >= 2


async def test_a_daily_quota_is_not_a_rate():
    it = await rig("quotas:\n  - {id: day, level: key, of: requests, limit: 1, per: day}")
    await it.text(principal=KEY)
    with pytest.raises(QuotaExceeded, match="the limit is 1 requests for this key a day: 1 are used"):
        await it.text(principal=KEY)


async def test_places_are_given_back_however_a_request_ends():
    it = await rig(
        "quotas:\n  - {id: open, level: key, of: concurrent, limit: 1}",
        script={"a": [Turn(head_s=5), Turn(status=529), Turn()], "b": [Turn(status=529)]},
    )
    first = asyncio.create_task(it.text(principal=KEY))
    await asyncio.sleep(1)
    with pytest.raises(RateLimited, match="1 of 1 requests of this key are under way already"):
        await it.text(principal=KEY)
    await first
    with pytest.raises(TurnoutError):
        await it.text(principal=KEY)
    assert await it.text(principal=KEY) == "hello world"


async def test_a_quota_of_a_model_is_held_with_each_call_and_its_fallback_serves():
    it = await rig("quotas:\n  - {id: m, level: model, subject: a/m, of: requests, limit: 1, per: 1m}")
    assert [await it.text(principal=KEY) for _ in range(2)] == ["hello world"] * 2
    assert [sent.url.split(":1/")[0] for sent in it.transport.sent] == ["http://a", "http://b"]


async def test_room_is_told():
    it = await rig(
        "quotas:\n  - {id: rpm, level: key, of: requests, limit: 3, per: 1m}\n"
        "  - {id: rpd, level: team, of: requests, limit: 2, per: 24h}\n"
        "  - {id: tpm, level: key, of: tokens, limit: 1000, per: 1m}"
    )
    opened = it.open(principal=KEY)
    async with opened as reply:
        await reply.response()
    room = opened.exchange.room
    assert room.requests[:2] == (2, 1)
    assert 86_400 < room.requests[2] <= 86_400 * 61 / 60
    assert room.tokens[:2] == (1000, 1000 - 68)


# A ledger that cannot be reached


class Dead(MemoryLedger):
    def __init__(self, now):
        super().__init__(now)
        self.dead = True
        self.n = 0

    async def reserve(self, *args, **kwargs):
        self.n += 1
        if self.dead:
            raise StoreUnavailable("down")
        return await super().reserve(*args, **kwargs)

    async def settle(self, *args):
        if self.dead:
            raise StoreUnavailable("down")
        return await super().settle(*args)


def books(ledger, down, *, local=False):
    loop = asyncio.get_running_loop()
    return Books(ledger, loop.time, loop.time, down, local=local)


TAKE = [Take("a", Fixed(0, 1e9), 10, 100)]


async def test_without_a_ledger_nothing_is_spent_unless_it_is_allowed():
    ledger = Dead(asyncio.get_running_loop().time)
    it = books(ledger, Down(policy="deny", pause_s=2))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="nothing may be spent without it"):
            await it.reserve("r", lambda now: TAKE, 60)
    assert ledger.n == 1  # it is left alone for a while
    ledger.dead = False
    await asyncio.sleep(3)
    assert (await it.reserve("r", lambda now: TAKE, 60)).used == (10,)
    await it.close()


async def test_where_it_is_allowed_a_process_keeps_to_its_share():
    ledger = Dead(asyncio.get_running_loop().time)
    it = books(ledger, Down(policy="allow", share=0.2, pause_s=1e9))
    assert (await it.reserve("r1", lambda now: TAKE, 60)).used == (10,)
    assert (await it.reserve("r2", lambda now: TAKE, 60)).used == (20,)
    assert (await it.reserve("r3", lambda now: TAKE, 60)).index == 0
    it.settle("r1", [0], 60)
    assert (await it.reserve("r3", lambda now: TAKE, 60)).used == (20,)
    await it.close()


async def test_a_settlement_is_tried_again_until_the_ledger_is_back():
    ledger = Dead(asyncio.get_running_loop().time)
    ledger.dead = False
    it = books(ledger, Down())
    await it.reserve("r", lambda now: TAKE, 60)
    ledger.dead = True
    it.settle("r", [3], 60)
    await asyncio.sleep(5)
    ledger.dead = False
    await asyncio.sleep(10)
    assert await ledger.used(TAKE) == (3,)
    assert it.n_unsettled == 0
    await it.close()


async def test_a_settlement_that_is_never_taken_is_counted():
    ledger = Dead(asyncio.get_running_loop().time)
    ledger.dead = False
    it = books(ledger, Down())
    await it.reserve("r", lambda now: TAKE, 60)
    ledger.dead = True
    it.settle("r", [3], 60)
    await asyncio.sleep(200)
    assert it.n_unsettled == 1
    await it.close()


# Configuration


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (
            "budgets:\n  - {id: b, level: key, usd: 1}\n  - {id: b, level: team, usd: 1}",
            "budgets[1].id: 'b' is that of budgets[0] already",
        ),
        (
            "budgets:\n  - {id: b, level: key, usd: 1, thresholds: [{at: 1, action: downgrade, route: x}]}",
            "budgets[0].thresholds[0].route: there is no route 'x'",
        ),
        (
            "budgets:\n  - {id: b, level: key, usd: 1, thresholds: [{at: 0.5, action: downgrade}]}",
            "budgets[0].thresholds[0]: `downgrade` needs a route to send requests to",
        ),
    ],
)
async def test_limits_that_make_no_sense_are_refused_at_load(limits, problem):
    with pytest.raises(ConfigError) as error:
        await rig(limits)
    assert error.value.problems == (problem,)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("{id: b, level: key, usd: 1, per: fortnight}", "per is 'fortnight'"),
        ("{id: b, level: key, usd: 1, zone: Mars/North}", "zone is 'Mars/North'"),
        ("{id: b, level: planet, usd: 1}", "level"),
        ("{id: 'a b', level: key, usd: 1}", "id"),
        ("{id: b, level: key, usd: -1}", "usd"),
    ],
)
def test_a_budget_that_cannot_be_read_names_its_place(row, word):
    with pytest.raises(ConfigError) as error:
        parse_config(f"budgets:\n  - {row}", env={})
    (line,) = error.value.problems
    assert "budgets[0]" in line
    assert word in line
