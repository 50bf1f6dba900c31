"""Decisions made again from their Records: equal over many random configurations."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
from click.testing import CliRunner

from tests.strategies.kit import candidate, seen, strategy
from tests.strategies.test_properties import TYPES, a_context, a_pool, a_row, known_scores
from turnout.catalog.catalog import Catalog
from turnout.cli.main import cli
from turnout.compile import compile_snapshot
from turnout.compile.verdicts import verdict_senses
from turnout.config import load_config
from turnout.engine.exchange import Exchange
from turnout.engine.route import Router
from turnout.engine.sense import sense, with_signals
from turnout.engine.snapshot import Place, Route, Snapshot
from turnout.errors import ConfigError, TurnoutError
from turnout.evaluate.replay import Replayed, replay, replay_all
from turnout.registry import load
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.strategies.filters import STANDARD
from turnout.strategies.priority import Priority
from turnout.strategies.rules import Rules
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.deployment import Candidate
from turnout.types.moment import MOMENT, Moment
from turnout.types.principal import Principal
from turnout.types.record import Outcome, Record

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


CONDITIONS = (
    'text matches "re[fs]und"',
    'text has_any ["invoice", "Käse"]',
    'text == "words"',
    'text in ["words", "refund"]',
    'not (text matches "^words$") or stream',
    'text has_any ["order"] and not has.code',
    "has.code",
    "tokens.in > 3",
    'tenant == "key_1"',
    'lang == "en"',
)
WORDS = ("words", "I want a refund for my order", "def f(x):\n    return x", "", "Käse und die Invoice")


def a_rules_row(rng, pool):
    """Rules that read the words of the request, beside others, some of them inside another strategy."""

    def picks():
        if rng.random() < 0.5:
            return {"models": [rng.choice(pool).id]}
        return {"use": {"type": rng.choice(["cheapest", "fastest", "two_choices"])}}

    rules = [{"when": rng.choice(CONDITIONS), **picks()} for _ in range(rng.randrange(1, 4))]
    row = {"type": "rules", "rules": rules, "otherwise": {"use": {"type": "round_robin"}}}
    if rng.random() < 0.7:
        return row
    return {"type": "rules", "rules": [{"when": 'text matches "o"', "use": row}]}


def sensed(made, context):
    """Return the context with the signals that the strategy needs, as they are had from a request."""
    senses = {}

    def add(name):
        if name != MOMENT and name not in senses:
            each = load("turnout.signals", name)
            for need in each.needs:
                add(need)
            senses[name] = each

    for name in sorted(made.needs):
        add(name)
    moment = Moment(value=context.at.timestamp(), at=context.at, session=context.session)
    return with_signals(
        context, sense((*senses.values(), *verdict_senses(made)), context.request, context.ask, moment)
    )


def snapshot_of(pool, made, surface=None):
    deployments = tuple(c.deployment for c in pool)
    places = {} if surface is None else {surface.name: Place(surface)}
    return Snapshot(
        version=1,
        digest="sha256:1",
        deployments={d.id: d for d in deployments},
        models={d.model.id: (d,) for d in deployments},
        routes={"r": Route(name="r", deployments=deployments, strategy=made, filters=STANDARD)},
        direct=Route(name="direct", deployments=(), strategy=Priority(), filters=STANDARD),
        surfaces=places,
    )


def record_of(snapshot, pool, context, seed):
    """Decide, and write what a journal keeps: through its own bytes."""
    router = Router(snapshot, lambda _: None)
    exchange = Exchange(context.request, context.ask, started=0.0, at=context.at, seed=seed)
    routed = router.weigh(router.pool("turnout/r", context.ask), pool, context, exchange)
    record = Record(
        request_id=context.ask.request_id,
        at=context.at,
        endpoint="chat",
        dialect="",
        principal=context.ask.principal.key_id,
        surface=context.ask.surface,
        decision=routed.decision(exchange),
        outcome=Outcome(),
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record)


def a_case(rng, n):
    """Return a snapshot, its pool and a context, all drawn; None where a configuration is refused."""
    pool = tuple(
        Candidate(
            c.deployment,
            msgspec.structs.replace(
                c.stats,
                state=rng.choice(["closed", "closed", "closed", "open", "half_open"]),
                cooldown_s=rng.choice([0.0, 3.5]),
                ttft_recent_s=c.stats.ttft_p50_s and c.stats.ttft_p50_s * rng.choice([1, 1.7]),
                peak_ewma_s=rng.choice([None, 0.9]),
            ),
        )
        for c in a_pool(rng)
    )
    try:
        row = a_rules_row(rng, pool) if rng.random() < 0.1 else a_row(rng, pool)
        made = strategy(row, pool, known_scores(rng, pool))
    except ConfigError:
        return None
    context = a_context(rng, pool)
    surface = context.surface
    prefer = Preferences(
        allow_fallbacks=rng.random() < 0.8,
        max_cost_nusd=rng.choice([None, None, 4_000_000]),
        avoid=rng.choice([(), (pool[0].id,)]),
        samples=rng.choice([None, 2]),
    )
    ask = Ask(
        request_id=f"req_{n}",
        prefer=prefer,
        surface=None if surface is None else surface.name,
        principal=Principal(
            key_id=rng.choice([None, "key_1", "key_2"]),
            allow=rng.choice([(), ("a/*", "b/*", "c/*"), ("a/*",)]),
        ),
    )
    request = ChatRequest(
        model="turnout/r",
        messages=(Message(rng.choice(["user", "tool"]), (Text(rng.choice(WORDS)),)),),
        stream=rng.random() < 0.5,
        facts=Facts(n_messages=1, n_tools=rng.randrange(2), n_chars=5),
    )
    context = msgspec.structs.replace(
        context,
        request=request,
        ask=ask,
        at=NOON + timedelta(seconds=rng.randrange(10**6)),
        tokens_in=rng.choice([{}, {pool[-1].id: 1234}]),
        tokens_out=rng.choice([{}, {pool[0].id: 77}]),
    )
    if isinstance(made, Rules):
        context = sensed(made, context)
    return snapshot_of(pool, made, surface), pool, context


def test_ten_thousand_decisions_of_random_configurations_are_equal_when_made_again():
    rng, tried = Random(5), Counter()
    for n in range(10_000):
        case = a_case(rng, n)
        if case is None:
            tried["refused at load"] += 1
            continue
        snapshot, pool, context = case
        try:
            record = record_of(snapshot, pool, context, rng.getrandbits(32))
        except TurnoutError as error:
            tried[error.row.word] += 1
            continue
        assert replay(record, snapshot) == Replayed(request_id=f"req_{n}"), record.decision.strategy
        tried[record.decision.strategy] += 1
    assert min(tried[kind] for kind in (*TYPES, "rules")) > 100, tried


def test_what_rules_ask_of_the_words_is_recorded_and_the_words_are_not():
    pool = two()
    rules = [
        {"when": 'text matches "refund"', "models": ["b/m"]},
        {"when": 'text has_any ["order"]', "models": ["a/m"]},
    ]
    made = strategy({"type": "rules", "rules": rules}, pool)
    request = ChatRequest(model="turnout/r", messages=(Message("user", (Text("a refund, zebra"),)),))
    plain = msgspec.structs.replace(
        a_context(Random(1), pool), ask=Ask(request_id="req_1"), request=request, surface=None
    )
    record = record_of(snapshot_of(pool, made), pool, sensed(made, plain), 1)
    assert record.decision.signals["rules.text"].value == {
        'text matches "refund"': True,
        'text has_any ["order"]': False,
    }
    assert record.decision.rule == "rules[0]"
    assert b"zebra" not in msgspec.json.encode(record)
    assert replay(record, snapshot_of(pool, made)).equal


def two(q=None):
    return (candidate("a/m", 1.0, **seen(0.5)), candidate("b/m", 2.0, **seen(0.3)))


def a_record(kind="fastest", **changes):
    pool = two()
    made = strategy({"type": kind}, pool)
    snapshot = snapshot_of(pool, made)
    context = msgspec.structs.replace(
        a_context(Random(1), pool),
        ask=Ask(request_id="req_1"),
        request=ChatRequest(model="turnout/r", messages=()),
        at=NOON,
        session=None,
        surface=None,
    )
    record = record_of(snapshot, pool, msgspec.structs.replace(context, **changes), 7)
    return record, pool, snapshot


def test_another_strategy_shows_what_it_would_have_decided():
    record, pool, _ = a_record("fastest")
    found = replay(record, snapshot_of(pool, strategy({"type": "cheapest"}, pool)))
    assert not found.equal
    assert 'strategy: "fastest" then, "cheapest" now' in found.differences
    assert 'chosen: ["b/m","a/m"] then, ["a/m","b/m"] now' in found.differences


def test_a_number_that_was_tampered_with_is_seen():
    record, _, snapshot = a_record()
    first, second = record.decision.candidates
    slower = msgspec.structs.replace(second, live=msgspec.structs.replace(second.live, total_recent_s=9.0))
    decision = msgspec.structs.replace(record.decision, candidates=(first, slower))
    assert replay(record, snapshot).equal
    assert not replay(msgspec.structs.replace(record, decision=decision), snapshot).equal


def test_the_reason_of_a_later_fallback_is_no_difference():
    record, _, snapshot = a_record()
    decision = msgspec.structs.replace(record.decision, reason="fallback_timeout")
    assert replay(msgspec.structs.replace(record, decision=decision), snapshot).equal


def test_a_candidate_that_is_no_longer_of_the_route_is_filtered_as_then():
    pool = two()
    short = msgspec.structs.replace(pool[1].deployment.model, max_output=10)
    small = Candidate(msgspec.structs.replace(pool[1].deployment, model=short), pool[1].stats)
    made = strategy({"type": "fastest"}, pool)
    before, now = snapshot_of((pool[0], small), made), snapshot_of((pool[0], small), made)
    now.routes["r"] = msgspec.structs.replace(now.routes["r"], deployments=(pool[0].deployment,))
    asked = ChatRequest(model="turnout/r", messages=(), max_tokens=500)
    context = msgspec.structs.replace(
        a_context(Random(1), pool),
        ask=Ask(request_id="req_1"),
        request=asked,
        at=NOON,
        session=None,
        surface=None,
        max_tokens_out=500,
        explicit_max_tokens=True,
    )
    record = record_of(before, (pool[0], small), context, 7)
    assert [view.status for view in record.decision.candidates] == ["chosen", "filtered"]
    assert replay(record, now).equal


def test_records_that_cannot_be_replayed_say_why():
    record, pool, snapshot = a_record()
    smaller = snapshot_of(pool[:1], strategy({"type": "fastest"}, pool[:1]))
    without = msgspec.structs.replace(record, decision=None)
    found = replay_all([record, without], smaller)
    assert (found.n, found.n_equal, found.n_unable, found.n_different) == (2, 0, 2, 0)
    assert found.unable == {"a candidate is no longer configured": 1, "no decision was recorded": 1}
    assert replay_all([record], snapshot).n_equal == 1


CONFIG = """
providers: {a: {base_url: "http://127.0.0.1:1/v1"}, b: {base_url: "http://127.0.0.1:2/v1"}}
models: [a/m, b/m]
routes: [{name: r, models: [a/m, b/m], strategy: {type: STRATEGY}}]
"""


async def test_the_command_says_how_many_decisions_are_equal(tmp_path: Path):
    files = {}
    for kind in ("round_robin", "priority"):
        files[kind] = tmp_path / f"{kind}.yaml"
        files[kind].write_text(CONFIG.replace("STRATEGY", kind))
    config = load_config(files["round_robin"], {})
    snapshot = compile_snapshot(config, Catalog.load(), {})
    db = tmp_path / "journal.db"
    journal = SpooledJournal(SqliteRows(db), spool_beside(db), fsync="never")
    router = Router(snapshot, lambda _: candidate("a/m").stats)
    for n in range(20):
        request = ChatRequest(model="turnout/r", messages=(), facts=Facts(n_chars=10, n_messages=1))
        exchange = Exchange(request, Ask(request_id=f"req_{n}"), started=0.0, at=NOON, seed=n)
        decision = router.decide(exchange).decision(exchange)
        journal.append(
            Record(
                request_id=f"req_{n}",
                at=NOON,
                endpoint="chat",
                dialect="",
                decision=decision,
                outcome=Outcome(),
            )
        )
    await journal.close()

    def run(kind):
        return CliRunner().invoke(cli, ["replay", "--db", str(db), "--config", str(files[kind])])

    same, other = run("round_robin"), run("priority")
    assert (same.exit_code, same.output) == (0, "20 of 20 decisions equal\n")
    assert other.exit_code == 1
    assert other.output.startswith("0 of 20 decisions equal\n20 were made with another configuration")
