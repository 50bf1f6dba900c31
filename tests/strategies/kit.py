"""Candidates, contexts and strategies for tests of choosing."""

from datetime import date
from random import Random

from turnout.catalog.benchmarks import Score, Scores
from turnout.errors import ConfigError
from turnout.strategies.base import Context, Setting
from turnout.strategies.rows import ready
from turnout.types.ask import Ask, Preferences
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.deployment import Candidate, Deployment, Limits, Model, Stats, Vendor
from turnout.types.usage import PicoUsd, Price

DAY = date(2026, 6, 1)


class Fixed:
    """A generator that says what it is told."""

    def __init__(self, seed=0):
        self.rng = Random(seed)


def price(usd_in, usd_out=None, **more):
    """Price in USD per million tokens."""
    return Price(
        input=PicoUsd(round(usd_in * 1e6)),
        output=PicoUsd(round((usd_in if usd_out is None else usd_out) * 1e6)),
        **more,
    )


def candidate(name, usd=1.0, *, weight=1.0, priority=0, limit=None, codec="openai_chat", **stats):
    """`v/m` at a price in USD per million tokens; None = not known."""
    vendor = name.partition("/")[0]
    model = Model(id=name, price=usd if isinstance(usd, Price) or usd is None else price(usd))
    return Candidate(
        Deployment(
            id=name,
            vendor=Vendor(name=vendor, base_url="https://x", codec=codec),
            model=model,
            upstream_model="m",
            weight=weight,
            priority=priority,
            limits=Limits(max_concurrency=limit),
        ),
        Stats(**stats),
    )


def seen(p50, p95=None, **more):
    """Live numbers with enough observations."""
    p95 = 2 * p50 if p95 is None else p95
    return {
        "n_observed": 100,
        "ttft_p50_s": p50,
        "ttft_p95_s": p95,
        "total_p50_s": p50,
        "total_p95_s": p95,
        **more,
    }


def request(*, stream=False, messages=None, **facts):
    messages = messages or (Message("user", (Text("hi"),)),)
    return ChatRequest(model="turnout/r", messages=messages, stream=stream, facts=Facts(**facts))


def context(req=None, *, prefer=None, **fields):
    ask = Ask(request_id="req_0", prefer=Preferences(**(prefer or {})))
    base = {"n_tokens_in": 1000, "n_tokens_out": 1000, "max_tokens_out": 4000}
    return Context(request=req or request(), ask=ask, **{**base, **fields})


def scores(**tables):
    """benchmark -> {model: number}."""
    return Scores(
        Score(model=model, benchmark=name, score=number, date=DAY, source="test")
        for name, table in tables.items()
        for model, number in table.items()
    )


def strategy(row, candidates, known=None):
    """Return the strategy a row describes, made ready for these candidates."""
    problems = []
    setting = Setting(
        pool=tuple(c.deployment for c in candidates), scores=known or Scores(), today=date(2026, 7, 1)
    )
    made = ready(row, "strategy", setting, problems)
    if problems:
        raise ConfigError(tuple(problems))
    return made


def choose(row, candidates, ctx=None, known=None, seed=0):
    return strategy(row, candidates, known).choose(ctx or context(), candidates, Fixed(seed))
