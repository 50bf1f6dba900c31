"""Probes: when they are sent, what they move, what they leave alone, and how they end."""

import asyncio
import logging

import msgspec
import pytest

from tests.engine.kit import Turn, config_for, rig
from turnout.errors import ProviderFailed, ProviderUnreachable, TurnoutError
from turnout.stores.base import Query
from turnout.testing.clock import now, run
from turnout.types.deployment import Probe

EVERY = Probe(enabled=True, interval_s=30.0)
FAST = Turn(head_s=0.1)


def probed(*hosts, probe=EVERY, **health):
    config = config_for(hosts)
    return msgspec.structs.replace(
        config, health=msgspec.structs.replace(config.health, probe=probe, **health)
    )


def played(script, main, config=None):
    """Build a rig on the jumping clock, let `main` play, close; return what `main` returned."""

    async def play():
        made = await rig(script, config=config or probed(*script))
        try:
            return await main(made)
        finally:
            await made.built.close()

    return run(play())


def stats(made, name="a/m"):
    return made.engine.health()[name]


async def records(made):
    return (await made.journal.query(Query(order="oldest", limit=1000))).records


def test_nothing_is_probed_unless_it_is_asked_for():
    async def main(made):
        await asyncio.sleep(1000)
        return made.transport.calls("a"), made.built.probes.watched

    assert played({"a": [FAST]}, main, config_for(("a",))) == (0, frozenset())


def test_an_idle_deployment_is_asked_once_an_interval():
    async def main(made):
        await asyncio.sleep(3000)
        return made.transport.calls("a")

    assert played({"a": [FAST]}, main) in range(97, 104)


def test_a_busy_deployment_is_not_asked():
    async def main(made):
        for _ in range(300):
            await made.text()
            await asyncio.sleep(10)
        return made.transport.calls("a")

    assert played({"a": [FAST]}, main) <= 301


def test_a_probe_is_tiny_and_says_what_it_is_in_the_journal():
    async def main(made):
        while not made.transport.sent:  # noqa: ASYNC110  when the first comes is drawn
            await asyncio.sleep(0.25)
        await asyncio.sleep(1)
        (sent,) = made.transport.sent
        (record,) = await records(made)
        return msgspec.json.decode(sent.body), record

    body, record = played({"a": [FAST]}, main)
    assert (body["messages"], body["max_tokens"]) == ([{"role": "user", "content": "ping"}], 16)
    (attempt,) = record.attempts
    assert (record.endpoint, record.decision, record.principal) == ("probe", None, None)
    assert (attempt.deployment, attempt.outcome, record.outcome.error) == ("a/m", "ok", None)


def test_a_probe_moves_no_latency_and_no_error_ratio():
    async def main(made):
        await asyncio.sleep(300)
        return stats(made)

    seen = played({"a": [Turn(head_s=0.1), Turn(raises=ProviderFailed("boom")), Turn(head_s=9.0)]}, main)
    assert (seen.n_observed, seen.error_ratio, seen.total_p50_s, seen.ttft_recent_s) == (0, None, None, None)


async def until(made, is_so, limit_s=3600.0):
    """Wait until something holds of the deployment; return the clock reading."""
    while not is_so(stats(made)):
        assert now() < limit_s
        await asyncio.sleep(0.25)
    return now()


async def suffer(made, n):
    """Send requests until the deployment is in trouble."""
    for _ in range(n):
        try:
            await made.text()
        except TurnoutError:
            await asyncio.sleep(0.1)


def test_probes_close_an_open_breaker_without_a_request():
    turns = [Turn(raises=ProviderUnreachable("gone"))]

    async def main(made):
        await suffer(made, 8)
        assert stats(made).state == "open"
        turns[:] = [FAST]
        return await until(made, lambda seen: seen.state == "closed")

    assert played({"a": turns}, main) < 60.0


def test_probes_leave_a_breaker_that_cools_down_alone():
    async def main(made):
        await suffer(made, 8)
        before = made.transport.calls("a")
        await asyncio.sleep(stats(made).cooldown_s - 0.1)
        return made.transport.calls("a") - before

    assert played({"a": [Turn(raises=ProviderUnreachable("gone"))]}, main) == 0


def test_probes_restore_a_demoted_deployment_without_a_request(caplog):
    turns = [FAST, Turn(raises=ProviderFailed("boom")), FAST, FAST] * 20

    async def main(made):
        await suffer(made, 25)
        assert stats(made).demoted
        turns[:] = [FAST]
        told = []
        made.engine.fleet.listen(lambda name, change: told.append((name, change)))
        began = now()
        ended = await until(made, lambda seen: not seen.demoted)
        return ended - began, told

    with caplog.at_level(logging.WARNING, "turnout.health"):
        took_s, told = played({"a": turns}, main, probed("a", calls_to_restore=5))
    assert took_s < 120.0
    assert told == [("a/m", "restored")]
    assert [each.getMessage().split(":")[0].split(";")[0] for each in caplog.records] == [
        "a/m is demoted",
        "a/m is restored",
    ]


def test_failing_probes_open_the_breaker_of_an_idle_deployment():
    async def main(made):
        await asyncio.sleep(30 * 8)
        return stats(made).state, made.engine.fleet.of("a/m").last_error

    state, word = played({"a": [Turn(raises=ProviderUnreachable("gone"))]}, main)
    assert (state, word) == ("open", "provider_unreachable")


def test_every_probe_is_told():
    async def main(made):
        told = []
        made.built.probes.listen(told.append)
        await asyncio.sleep(65)
        return [(each.deployment, each.error or each.outcome) for each in told]

    script = {"a": [FAST, Turn(raises=ProviderFailed("boom"))]}
    assert played(script, main)[:2] == [("a/m", "ok"), ("a/m", "provider_error")]


def test_a_path_is_asked_with_get_and_costs_nothing():
    async def main(made):
        while not made.transport.sent:  # noqa: ASYNC110  when the first comes is drawn
            await asyncio.sleep(0.25)
        await asyncio.sleep(1)
        (sent,) = made.transport.sent
        (record,) = await records(made)
        return sent, record

    config = probed("a", probe=msgspec.structs.replace(EVERY, path="/models"))
    sent, record = played({"a": [FAST]}, main, config)
    assert (sent.method, sent.url, sent.body) == ("GET", "http://a:1/v1/models", b"")
    assert record.outcome.usage.n_output == 0


def test_probes_follow_a_reload():
    async def main(made):
        built = made.built
        seen = [built.probes.watched]
        built.reload(config_for(("a", "b")))
        seen.append(built.probes.watched)
        await asyncio.sleep(500)
        n_calls = made.transport.calls("a") + made.transport.calls("b")
        config = probed("a", "b")
        none = msgspec.structs.replace(config.providers["a"], probe=Probe())
        built.reload(msgspec.structs.replace(config, providers={**config.providers, "a": none}))
        seen.append(built.probes.watched)
        await asyncio.sleep(100)
        return seen, n_calls, made.transport.calls("a"), made.transport.calls("b")

    seen, n_off, n_a, n_b = played({"a": [FAST], "b": [FAST]}, main)
    assert seen == [frozenset({"a/m", "b/m"}), frozenset(), frozenset({"b/m"})]
    assert (n_off, n_a) == (0, 0)
    assert n_b in (2, 3, 4)


def test_a_probe_under_way_ends_with_the_engine():
    async def main(made):
        await until(made, lambda seen: seen.in_flight)
        await made.built.close()
        n_left = len(asyncio.all_tasks()) - 1
        await asyncio.sleep(1000)
        return n_left, len(made.transport.sent), made.transport.n_open, stats(made).in_flight

    assert played({"a": [Turn(head_s=9.0)]}, main) == (0, 1, 0, 0)


def test_at_most_four_are_under_way_and_none_in_step():
    hosts = [f"h{n}" for n in range(12)]

    async def main(made):
        await asyncio.sleep(400)
        under_way = most = 0
        for _, _, what in made.transport.log:
            under_way += {"send": 1, "close": -1}.get(what, 0)
            most = max(most, under_way)
        firsts = {host: at for at, host, what in reversed(made.transport.log) if what == "send"}
        return most, len(set(firsts.values()))

    assert played({host: [Turn(head_s=20.0)] for host in hosts}, main) == (4, 12)


def test_a_provider_and_a_model_may_say_otherwise():
    from turnout.compile import compile_snapshot
    from turnout.config import parse_config
    from turnout.parts import load_catalog

    config = parse_config(
        """
health: {probe: {enabled: true}}
providers:
  a: {codec: anthropic, base_url: 'http://127.0.0.1:1', auth: none, probe: {enabled: true, path: /health}}
  b: {codec: anthropic, base_url: 'http://127.0.0.1:1', auth: none}
models: [a/m, b/m, {model: b/n, probe: {}}]
""",
        env={},
    )
    found = compile_snapshot(config, load_catalog(config), {}).deployments
    assert {name: each.probe for name, each in found.items()} == {
        "a/m": Probe(enabled=True, path="/health"),
        "b/m": Probe(enabled=True),
        "b/n": None,
    }


@pytest.mark.parametrize(
    "rule",
    [
        {"interval_s": 0.1},
        {"timeout_s": 0},
        {"max_tokens": 0},
        {"prompt": ""},
        {"path": "http://elsewhere/"},
        {"path": "/../admin"},
        {"path": "//elsewhere"},
    ],
)
def test_rules_that_would_hurt_are_refused(rule):
    with pytest.raises(ValueError, match=next(iter(rule))):
        Probe(**rule)
