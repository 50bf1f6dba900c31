"""A route under a certificate, through the whole engine: what it decides, counts, hears and keeps."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from tests.engine.kit import Turn, config_for, request, rig
from tests.learn.test_certificate import certificate as a_certificate
from turnout.build import build
from turnout.catalog.prices import UsdPrice
from turnout.config import ModelConfig
from turnout.errors import ConfigError
from turnout.evaluate.replay import replay
from turnout.jobs.monitor import TAG
from turnout.layers.certify import is_drawn
from turnout.learn.certificate import encode, sealed
from turnout.learn.monitor import LOSS_ALARM
from turnout.plan import deployments
from turnout.stores.base import Query
from turnout.testing.scripted import ScriptedTransport
from turnout.types.ask import Ask
from turnout.types.deployment import Candidate, Stats

NOW = datetime.now(UTC)


def certificate(**changes):
    base = {
        "created": NOW - timedelta(days=1),
        "expires": NOW + timedelta(days=29),
        "reference": "large/m",
        "policy_sha256": None,
        "candidates": ("small/m",),
    }
    return sealed(a_certificate(**{**base, **changes}))


def config(tmp_path, made, *, quality=0.88, extra=""):
    path = tmp_path / "certificate.json"
    path.write_bytes(encode(made) if not isinstance(made, bytes) else made)
    values = f"{{large/m: 0.9, small/m: {quality}}}"
    liked = "{type: constant, values: {small/m: 1, large/m: 0}}"
    strategy = f"{{type: pipeline, score: [{{type: quality, values: {values}, weight: 0}}, {liked}]}}"
    more = f", strategy: {strategy}, certificate: {{file: {path}{extra}}}"
    built = config_for(("large", "small"), more)
    journal = msgspec.structs.replace(built.journal, path=str(tmp_path / "journal.db"))
    return msgspec.structs.replace(built, journal=journal)


LARGE, SMALL = Turn(words=("from the ", "large")), Turn(words=("from the ", "small"))
SHADOW = ", shadow_share: 1, shadow_score: {type: regex, pattern: large}"


async def certified_rig(tmp_path, made=None, script=None, **options):
    script = script or {"large": [LARGE], "small": [SMALL]}
    return await rig(script, config=config(tmp_path, made or certificate(), **options))


async def test_within_the_threshold_the_small_model_answers_and_the_record_says_under_what(tmp_path):
    made = certificate()
    it = await certified_rig(tmp_path, made)
    assert await it.text() == "from the small"
    record = (await it.journal.query(Query())).records[0]
    seen = record.decision.certificate
    assert (seen.id, seen.tau, seen.routed, seen.uncertified) == (made.id, 0.041, ("small/m",), None)
    assert it.built.monitor.standings.states()[0].endings == {"routed": 1}
    assert replay(record, it.engine.snapshot).equal
    await it.built.close()


async def test_beyond_the_threshold_the_reference_answers(tmp_path):
    it = await certified_rig(tmp_path, quality=0.5)
    assert await it.text() == "from the large"
    assert it.built.monitor.standings.states()[0].endings == {"reference": 1}
    await it.built.close()


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (certificate(expires=NOW - timedelta(hours=1)), "expired"),
        (encode(certificate()).replace(b'"tau":0.041', b'"tau":0.19', 1), "changed_document"),
        (certificate(artifact_sha256="d" * 64), "artifact_mismatch"),
        (certificate(policy_sha256="d" * 64), "policy_mismatch"),
        (certificate(versions={"small/m": "m-2026-05"}), "model_version"),
    ],
)
async def test_one_that_does_not_hold_sends_everything_to_the_reference_and_says_so_once(
    tmp_path, made, word, caplog
):
    it = await certified_rig(tmp_path, made)
    assert [await it.text() for _ in range(3)] == ["from the large"] * 3
    record = (await it.journal.query(Query())).records[0]
    assert record.decision.certificate.uncertified == word
    assert it.built.monitor.standings.states()[0].endings == {word: 3}
    assert [r.getMessage().count(f": {word}; requests go to the reference") for r in caplog.records] == [1]
    assert replay(record, it.engine.snapshot).equal
    await it.built.close()


async def test_an_answer_in_place_of_a_broken_reference_is_counted_apart(tmp_path):
    it = await certified_rig(tmp_path, quality=0.5, script={"large": [Turn(status=529)], "small": [SMALL]})
    assert await it.text() == "from the small"
    assert it.built.monitor.standings.states()[0].endings == {"failover": 1}
    await it.built.close()


async def test_a_drawn_request_is_answered_twice_and_its_loss_is_kept_across_restarts(tmp_path):
    it = await certified_rig(tmp_path, extra=SHADOW)
    assert await it.text() == "from the small"
    assert await it.stream() == ["from the ", "small"]
    await it.built.monitor.shadows.settle()
    state = it.built.monitor.standings.states()[0]
    assert (state.n_pairs, state.mean_loss, state.void) == (2, 1.0, None)
    shadows = [r for r in (await it.journal.query(Query())).records if TAG in r.tags]
    assert [(r.outcome.model, r.metadata) for r in shadows] == [("large/m", {"shadow_of": "r"})] * 2
    await it.built.close()
    again = await certified_rig(tmp_path, extra=SHADOW)
    assert again.built.monitor.standings.states()[0].n_pairs == 2
    await again.built.close()


async def test_where_the_reference_answered_a_drawn_request_nothing_was_lost_and_nothing_is_paid(tmp_path):
    it = await certified_rig(tmp_path, quality=0.5, extra=SHADOW)
    await it.text()
    await it.built.monitor.shadows.settle()
    state = it.built.monitor.standings.states()[0]
    assert (state.n_pairs, state.mean_loss, len(it.transport.sent)) == (1, 0.0, 1)
    await it.built.close()


async def test_losses_end_the_certificate_for_this_process_and_the_next(tmp_path, caplog):
    it = await certified_rig(tmp_path, extra=SHADOW)
    for _ in range(25):
        await it.text()
        await it.built.monitor.shadows.settle()
    assert it.built.monitor.standings.void("r") == LOSS_ALARM
    assert await it.text() == "from the large"
    record = (await it.journal.query(Query(limit=1))).records[0]
    assert record.decision.certificate.void == record.decision.certificate.uncertified == LOSS_ALARM
    assert replay(record, it.engine.snapshot).equal
    await it.built.close()
    again = await certified_rig(tmp_path, extra=SHADOW)
    assert await again.text() == "from the large"
    assert "loss_alarm; requests go to the reference" in caplog.text
    await again.built.close()


async def test_a_pair_with_a_failed_half_is_left_out(tmp_path):
    script = {"large": [Turn(status=529)], "small": [SMALL]}
    it = await certified_rig(tmp_path, extra=SHADOW, script=script)
    assert await it.text() == "from the small"
    await it.built.monitor.shadows.settle()
    shadows = it.built.monitor.shadows
    assert (shadows.n_failed, shadows.n_scored) == (1, 0)
    await it.built.close()


async def test_closing_ends_shadows_under_way(tmp_path):
    script = {"large": [Turn(words=LARGE.words, head_s=3600)], "small": [SMALL]}
    it = await certified_rig(tmp_path, extra=SHADOW, script=script)
    await it.text()
    await asyncio.sleep(0)
    await it.built.close()
    assert it.built.monitor.standings.states()[0].n_pairs == 0


async def test_a_reload_keeps_what_was_seen_of_the_same_certificate(tmp_path):
    made = certificate()
    it = await certified_rig(tmp_path, made)
    await it.text()
    it.built.reload(config(tmp_path, made, quality=0.89))
    await it.text()
    assert it.built.monitor.standings.states()[0].endings == {"routed": 2}
    await it.built.close()


def test_a_share_is_drawn_by_the_id_alone():
    ids = [f"req_{n:026d}" for n in range(20_000)]
    drawn = sum(is_drawn(each, 0.02) for each in ids)
    assert 300 < drawn < 500
    assert all(is_drawn(each, 1.0) for each in ids)
    assert not any(is_drawn(each, 0.0) for each in ids)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (", max_loss: 0.01", r"certificate.file: it allows a mean loss of 0.02; max_loss is 0.01"),
        (", confidence: 0.95", r"certificate.file: its confidence is 0.9; confidence is 0.95"),
        (", reference: small/m", r"certificate.reference: is 'small/m'; the certificate's is 'large/m'"),
        (", shadow_share: 0.1", r"certificate.shadow_score: name the acceptor"),
        (", previous: /nowhere.json", r"certificate.previous: /nowhere.json cannot be read"),
    ],
)
async def test_a_certificate_that_is_not_what_the_route_asks_for_is_refused(tmp_path, extra, problem):
    with pytest.raises(ConfigError, match=problem):
        await certified_rig(tmp_path, extra=extra)


async def test_a_strategy_that_predicts_nothing_cannot_be_certified():
    made = config_for(("large", "small"), ", certificate: {reference: large/m}")
    with pytest.raises(ConfigError, match="the strategy 'priority' predicts no quality; use a pipeline"):
        await rig({"large": [LARGE], "small": [SMALL]}, config=made)


async def test_until_there_is_a_certificate_the_reference_answers():
    row = "{type: pipeline, score: [{type: quality, values: {large/m: 0.5, small/m: 0.9}}]}"
    made = config_for(("large", "small"), f", strategy: {row}, certificate: {{reference: large/m}}")
    it = await rig({"large": [LARGE], "small": [SMALL]}, config=made)
    assert await it.text() == "from the large"
    record = (await it.journal.query(Query())).records[0]
    assert record.decision.certificate.uncertified == "not_calibrated"
    await it.built.close()


async def test_whoever_listens_is_told_under_what_a_request_ended(tmp_path):
    events = []
    transport = ScriptedTransport({"large": [LARGE], "small": [SMALL]})
    made = certificate()
    built = await build(config(tmp_path, made), {}, transport=transport, on_event=events.append)
    async with built.engine.open(request(), Ask(request_id="req_1")) as reply:
        await reply.response()
    assert [(event.certificate, event.certified) for event in events] == [(made.id, "routed")]
    await built.close()


async def test_an_unwell_reference_is_still_the_reference(tmp_path):
    it = await certified_rig(tmp_path, quality=0.5)
    router = it.engine._running.router
    ask = it.ask()
    exchange = it.engine.exchange(request(), ask)
    routed = router.decide(exchange)
    unwell = tuple(
        Candidate(c.deployment, Stats(demoted=True)) if c.id == "large/m" else c for c in routed.candidates
    )
    again = router.weigh(routed.pool, unwell, routed.context, exchange)
    assert deployments(again.choice.plan)[0] == "large/m"
    assert again.choice.certificate.uncertified is None
    await it.built.close()


async def test_a_name_that_moved_to_another_version_of_the_model_ends_the_promise(tmp_path):
    dated = [Turn(words=("s",), model=f"m-{day}") for day in ("05", "05", "06", "06")]
    it = await certified_rig(tmp_path, script={"large": [LARGE], "small": dated})
    assert [await it.text(), await it.text(), "".join(await it.stream())] == ["s", "s", "s"]
    assert await it.text() == "from the large"
    records = (await it.journal.query(Query())).records
    assert [r.attempts[0].upstream_model for r in records[::-1]] == ["m-05", "m-05", "m-06", "scripted"]
    assert records[0].decision.certificate.uncertified == "model_version"
    assert it.built.monitor.standings.states()[0].void == "model_version"
    await it.built.close()
    again = await certified_rig(tmp_path)
    assert await again.text() == "from the large"
    await again.built.close()


@pytest.mark.parametrize(
    ("noted", "answers", "state"),
    [
        ("2026-05-01 1000000/4000000", "large", "price_change"),
        ("2026-05-01 2000000/8000000", "small", None),
        ("2026-05-01 2100000/8000000", "small", None),
        ("2026-05-01", "small", None),
    ],
)
async def test_a_price_that_moved_by_more_than_a_tenth_is_heeded_like_an_alarm(
    tmp_path, noted, answers, state
):
    built = config(tmp_path, certificate(prices={"small/m": noted}))
    priced = ModelConfig(model="small/m", price=UsdPrice(input=Decimal(2), output=Decimal(8)))
    built = msgspec.structs.replace(built, models=("large/m", priced))
    it = await rig({"large": [LARGE], "small": [SMALL]}, config=built)
    assert await it.text() == f"from the {answers}"
    record = (await it.journal.query(Query())).records[0]
    assert record.decision.certificate.uncertified == state
    assert it.built.monitor.standings.states()[0].void == state
    await it.built.close()
