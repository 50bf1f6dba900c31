"""What a learned decision costs: `python -m benchmarks.routing.learned_decisions`.

Twenty models, made-up labels on made-up prompts of about 2,000 characters; each request is new, so nothing is
cached. Times the senses with the vector, then the decision of the `learned` preset on their signals.
Several rounds; told is the quietest, by the p50 of both: what else runs on a machine slows any number.
The p50 of every round stands beside it.
"""

import argparse
import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.machine import facts
from turnout.engine.sense import sense
from turnout.evaluate.fit import encoder_of
from turnout.evaluate.queries import ASK, queries
from turnout.learn.artifact import Artifact, Card, CardDomain, CardEncoder, CardModel, decode, encode
from turnout.learn.base import Labels
from turnout.learn.pooled_fit import PooledLogistic
from turnout.registry import load
from turnout.signals.embed import EmbedSense
from turnout.strategies.base import Context, Setting
from turnout.strategies.rows import ready
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Candidate, Deployment, Model, Vendor
from turnout.types.moment import Moment
from turnout.types.usage import PicoUsd, Price

N_MODELS, N_PROMPTS = 20, 600
WORDS = tuple(
    f"{a}{b}{c}" for a in ("ta", "re", "mi", "so") for b in ("lon", "ver", "da") for c in ("", "s", "ly")
)
OUT = Path(__file__).resolve().parents[1] / "results" / "routing" / "learned_decisions.json"

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.routing.learned_decisions"


def prompt(seed: int) -> str:
    random = Random(seed)
    return " ".join(random.choice(WORDS) for _ in range(330))


def artifact(name: str) -> tuple[bytes, bytes]:
    encoder, random = encoder_of(name), np.random.default_rng(0)
    asked = queries([prompt(i) for i in range(N_PROMPTS)], encoder)
    models = tuple(f"v/m{i}" for i in range(N_MODELS))
    chance = 0.5 + 0.4 * np.tanh(asked.embeddings @ random.normal(size=(encoder.dimensions, N_MODELS)))
    scores = (random.random(chance.shape) < chance).astype(float)
    model = PooledLogistic().fit(Labels(models=models, queries=asked, scores=scores))
    now = datetime.now(UTC)
    card = Card(
        kind="pooled",
        created=now,
        expires=now + timedelta(days=1),
        turnout_version="0",
        encoder=CardEncoder(name=name, id=encoder.id, dimensions=encoder.dimensions),
        canonicaliser="0",
        models=tuple(CardModel(id=m) for m in models),
        data=(),
        domain=CardDomain(ood_cosine=-1.0),
    )
    return encode(Artifact(card, model))


class Shelf:
    def __init__(self, made: Artifact) -> None:
        self.made = made

    def intents(self, path: str) -> tuple[str, ...]:
        return ()

    def learned(self, path: str, on_expired: str) -> Artifact:
        return self.made


def measure(name: str, n: int) -> dict:
    npz, card = artifact(name)
    began = time.process_time()
    opened = decode(npz, card, now=datetime.now(UTC))
    load_s = time.process_time() - began
    tracemalloc.start()
    decode(npz, card, now=datetime.now(UTC))
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    price = Price(input=PicoUsd(10**6), output=PicoUsd(10**6))
    vendor = Vendor(name="v", base_url="https://x", codec="openai_chat")
    pool = [
        Candidate(Deployment(id=m, vendor=vendor, model=Model(id=m, price=price), upstream_model="m"))
        for m in opened.card.pool
    ]
    setting = Setting(pool=tuple(c.deployment for c in pool), files=Shelf(opened))
    problems: list[str] = []
    strategy = ready({"type": "learned", "artifact": "a.npz"}, "strategy", setting, problems)
    assert strategy is not None, problems
    names = ("canonical", "has.code", "has.math", "lexical", "wants.json")
    senses = (*(load("turnout.signals", each) for each in names), EmbedSense(kind=name))
    sensed, decided = [], []
    for i in range(n + 50):
        request = ChatRequest(model="auto", messages=(Message("user", (Text(prompt(10_000 + i)),)),))
        t0 = time.process_time_ns()
        signals = sense(senses, request, ASK, Moment(at=datetime(2026, 1, 1, tzinfo=UTC)))
        t1 = time.process_time_ns()
        context = Context(
            request=request, ask=ASK, n_tokens_in=500, n_tokens_out=200, max_tokens_out=400, signals=signals
        )
        choice = strategy.choose(context, pool, Fixed())
        t2 = time.process_time_ns()
        assert choice.abstained is None
        if i >= 50:
            sensed.append(t1 - t0)
            decided.append(t2 - t1)
    both = np.array(sensed) + np.array(decided)
    quantiles = {
        part: {"p50_us": float(np.quantile(x, 0.5)) / 1e3, "p99_us": float(np.quantile(x, 0.99)) / 1e3}
        for part, x in (("signals", np.array(sensed)), ("decision", np.array(decided)), ("both", both))
    }
    return {
        "encoder": name,
        **quantiles,
        "load_ms": load_s * 1e3,
        "npz_kb": len(npz) / 1e3,
        "peak_kb": memory / 1e3,
    }


class Fixed:
    rng = Random(0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, default=OUT)
    given = options.parse_args()
    rows = []
    for name in ("hash", "static"):
        rounds = [measure(name, given.n) for _ in range(given.rounds)]
        quiet = min(rounds, key=lambda each: each["both"]["p50_us"])
        rows.append({**quiet, "decision_p50_us_by_round": [each["decision"]["p50_us"] for each in rounds]})
    report = {
        "command": COMMAND + f" -n {given.n} --rounds {given.rounds}",
        "clock": "CPU time of the process",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": facts({"numpy": np.__version__}),
        "models": N_MODELS,
        "rows": rows,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
