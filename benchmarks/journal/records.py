"""Synthetic Records: 20 organisations, 400 keys, 5,000 customers, 12 models, 5 routes, over 42 days.

`TURNOUT_JOURNAL_DAYS` makes fewer of them, of 240,000 Records each, for a machine with less room or time.
"""

import os
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from turnout.stores.base import encode
from turnout.types.record import (
    Asked,
    Attempt,
    CandidateView,
    CostView,
    Decision,
    GuardView,
    InputView,
    Outcome,
    Record,
    SignalView,
)
from turnout.types.usage import NanoUsd, Usage

DAYS = int(os.environ.get("TURNOUT_JOURNAL_DAYS", "42"))
ENDS = datetime(2026, 11, 22, tzinfo=UTC)
BEGINS = ENDS - timedelta(days=DAYS)
ORGANISATIONS, PROJECTS, TEAMS, KEYS, CUSTOMERS = 20, 3, 2, 20, 5_000
PROVIDERS = ("openai", "anthropic", "google", "mistral")
MODELS = [f"{PROVIDERS[n % 4]}/{name}-{n // 4 + 1}" for n, name in enumerate(("large", "small", "mini") * 4)]
PRICES = [5_000 * 2**n for n in range(12)]
ROUTES = ("assistant", "batch", "search", "support", "code")
SURFACES = (None, "sdk", "editor", "chat")
TAGS = [f"feature-{n}" for n in range(12)]
ERRORS = (
    *("timeout_ttft", "provider_rate_limited", "provider_overloaded", "context_length_exceeded"),
    *("content_filtered", "budget_exceeded", "client_closed", "provider_error"),
)


def customer(n: int) -> str:
    return f"customer-{n:05d}"


def records(n: int) -> list[bytes]:
    """Return the Records of the first two hours, as payloads."""
    rng = Random(1)
    # A few customers ask most: the first 1 % of them a fifth of all.
    weights = [1 / (n + 10) for n in range(CUSTOMERS)]
    who = rng.choices(range(CUSTOMERS), weights, k=n)
    which = rng.choices(range(12), [13 - n for n in range(12)], k=n)
    step_us = 7_200_000_000 // n
    return [
        encode(_record(at, BEGINS + timedelta(microseconds=at * step_us), person, model, rng))
        for at, (person, model) in enumerate(zip(who, which, strict=True))
    ]


def _record(n: int, at: datetime, person: int, model: int, rng: Random) -> Record:
    chance = rng.random()
    organisation = person % ORGANISATIONS
    key = int(rng.random() * KEYS)
    route = ROUTES[int(chance * 97) % 5]
    failed = chance < 0.02
    hit = 0.02 <= chance < 0.07
    name, provider = MODELS[model], MODELS[model].partition("/")[0]
    n_in, n_out = 200 + int(3000 * rng.random() ** 3), 20 + int(900 * rng.random() ** 2)
    ttft, total = 0.2 + 2 * rng.random() ** 4, 0.6 + 20 * rng.random() ** 3
    cost = None if failed else NanoUsd(0 if hit else PRICES[model] * (n_in + 4 * n_out) // 1000)
    error = ERRORS[int(chance * 50 * 8)] if failed else None
    usage = None if failed else Usage(input_uncached=n_in, cache_read=n_in // 3, output_text=n_out)
    seats = tuple(
        CandidateView(
            id=MODELS[m],
            model=MODELS[m],
            status="eligible",
            cost_nusd=CostView(NanoUsd(PRICES[m] * 3), NanoUsd(PRICES[m] * 9)),
        )
        for m in (model, min(model + 2, 11))
    )
    return Record(
        request_id=f"req_{int(at.timestamp() * 1000):011x}{n + 1:015x}",
        at=at,
        endpoint="chat",
        dialect="openai_chat",
        principal=f"key_{organisation:02d}{key:02d}",
        organisation=f"org-{organisation:02d}",
        project=f"project-{organisation:02d}-{key % PROJECTS}",
        team=f"team-{organisation:02d}-{key % TEAMS}",
        customer=customer(person),
        surface=SURFACES[n % 4],
        tags=(TAGS[n % 12],) if n % 3 else (),
        decision=Decision(
            decision_id=f"dec_{n:026x}",
            route=route,
            strategy="pipeline",
            asked=Asked(endpoint="chat", dialect="openai_chat", model="auto", source="auto"),
            input=InputView(n_tokens=n_in, n_tokens_source="estimated"),
            signals={"complexity": SignalView(value=round(chance * 37 % 1, 4), confidence=0.8)},
            candidates=seats,
            plan={"try": name},
            kind="single",
            chosen=(name,),
            reason="highest_score",
            rng_seed=n,
        ),
        attempts=(
            Attempt(
                n=1,
                deployment=name,
                model=name,
                provider=provider,
                start_s=0.001,
                ttft_s=None if failed else ttft,
                duration_s=total,
                outcome="failed" if failed else "ok",
                error=error,
                usage=usage,
            ),
        ),
        guards=_guards(n),
        outcome=Outcome(
            error=error,
            model=name,
            provider=provider,
            usage=usage,
            cost_nusd=cost,
            cache="hit" if hit else "miss",
            ttft_s=None if failed else ttft,
            total_s=total,
            n_attempts=1,
        ),
    )


def _guards(n: int) -> tuple[GuardView, ...]:
    """Every second request passes a guard on its way in and out; in one of a hundred it finds something."""
    if n % 2:
        return ()
    found = {"email": 1} if n % 100 == 0 else {}
    action: Literal["pass", "redact"] = "redact" if found else "pass"
    return (
        GuardView(name="pii", type="pii", stage="in", action=action, found=found, duration_s=0.0002),
        GuardView(name="pii", type="pii", stage="out", action="pass", duration_s=0.0002),
    )
