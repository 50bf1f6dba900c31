"""What each signal costs on an intent of 2,000 characters, next to its ceiling (ROUTING.md 2.2).

Run: `python benchmarks/signals.py [rounds]`. One core; best and p99 over single calls, so a busy machine
shows in the p99 only. Rules: 20 that do not match, three conditions each.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from turnout.engine.outputs import Outputs
from turnout.errors import ConfigError
from turnout.learn.artifact import CardEncoder
from turnout.learn.encoders.vectors import Cache
from turnout.learn.features import HashEmbedder
from turnout.learn.intent import Card, CardHead, IntentModel, Method
from turnout.learn.intent_fit import Examples, fit_head
from turnout.registry import load, names
from turnout.signals.base import AbsentError, Sense
from turnout.signals.embed import EmbedSense
from turnout.signals.intent import IntentScoresSense, IntentSense
from turnout.strategies.base import Context
from turnout.strategies.rules import Rule, Rules
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts, Message, Text, ToolCall, ToolResult
from turnout.types.deployment import Candidate, Deployment, Model, Vendor
from turnout.types.moment import MOMENT, Moment
from turnout.types.signal import Canonical, Signal

CEILINGS_US = {
    "canonical": 150,
    "tokens.in": 40,
    "tokens.out_hat": 10,
    "lexical": 150,
    "has.code": 60,
    "has.images": 60,
    "has.math": 60,
    "has.tools": 60,
    "wants.json": 60,
    "lang": 60,
    "script": 60,
    "complexity": 10,
    "embed.hash": 150,
    "embed.static": 600,
    "embed.minilm": 8_000,
    "intent.scores": 100,
    "intent": 10,
    "trajectory": 40,
    "session": 10,
    "surface": 10,
    "load": 10,
    "time": 10,
}
"""`has.*` and `wants.json` share one ceiling, as do `lang` and `script`. Intents: 200 labels."""
SHORT = "What is the balance of my savings account?"
SENTENCES = (
    "Our nightly import of orders fails since we moved the database to the new cluster, and only for",
    "customers who have more than 250 open invoices. First check whether the connection pool is exhausted,",
    "then compare the query plans before and after the move. The log says `psycopg.errors.QueryCanceled`",
    "after 30 s; it must not be fixed by raising the timeout. Please explain the three most likely causes,",
    "list how to confirm each, and write the SQL for it.",
)
DEPLOYMENT = Deployment(
    id="vendor/model",
    vendor=Vendor(name="vendor", base_url="http://127.0.0.1", codec="openai_chat"),
    model=Model(id="vendor/model"),
    upstream_model="model",
)


def request() -> ChatRequest:
    intent = (" ".join(SENTENCES) * 6)[:2000]
    messages = (
        Message("system", (Text("You are a database expert. " * 40),)),
        Message("user", (Text(intent),)),
        Message("assistant", (ToolCall(id="c1", name="query", arguments='{"sql": "select 1"}'),)),
        Message("tool", (ToolResult(call_id="c1", content=(Text("error: permission denied"),)),)),
    )
    facts = Facts(
        n_chars=sum(len(p.text) for m in messages for p in m.parts if isinstance(p, Text)), n_messages=4
    )
    return ChatRequest(model="auto", messages=messages, facts=facts)


def timed(call: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Best and p99 of single calls, in µs."""
    clock, seen = time.perf_counter_ns, []
    for _ in range(rounds):
        before = clock()
        call()
        seen.append(clock() - before)
    seen.sort()
    return seen[0] / 1000, seen[int(0.99 * rounds)] / 1000


def seen_outputs() -> Outputs:
    """Ten deployments whose answers were seen often enough to go by."""
    made = Outputs()
    for n in range(10):
        for _ in range(20):
            made.note("r", f"v/m{n}", 100 * n + 50)
    return made


def embeddings(asked: ChatRequest, ask: Ask, so_far: dict[str, Signal], rounds: int) -> None:
    """Vectors as a request has them that was never seen (nothing is cached), and intents read off them."""
    for kind, n in (("hash", rounds), ("static", rounds), ("minilm", min(rounds, 100))):
        try:
            sense = EmbedSense(kind=kind, cache=Cache(size=0))
            found = sense.read(asked, ask, so_far)
        except ConfigError as error:
            print(f"embed.{kind:10} {error}")
            continue
        so_far[sense.name] = found
        line(sense.name, *timed(lambda s=sense: s.read(asked, ask, so_far), n))
        short = {"canonical": Canonical(intent=SHORT, windows=(SHORT,))}
        line(f"  {len(SHORT)} characters", *timed(lambda s=sense, c=short: s.read(asked, ask, c), n))
    kept = EmbedSense(kind="hash")
    line("  kept", *timed(lambda: kept.read(asked, ask, so_far), rounds))
    for method, each in (("top", 5), ("top", 20), ("logistic", 10)):
        scores = IntentScoresSense(model=intents(method, each))
        signal = scores.read(asked, ask, so_far)
        told = timed(lambda s=scores: s.read(asked, ask, so_far), rounds)
        line("intent.scores" if (method, each) == ("top", 5) else f"  {method} {each}", *told)
    so_far[scores.name] = signal
    intent = IntentSense(artifact="")
    line("intent", *timed(lambda: intent.read(asked, ask, so_far), rounds))


def intents(method: Method, n_each: int, n_labels: int = 200) -> IntentModel:
    """An artifact of as many labels as the ceiling allows, on vectors drawn at random."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n_labels * n_each, 256))
    labels = np.repeat(np.arange(n_labels), n_each)
    head, told = fit_head(
        Examples(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels, n_labels), method
    )
    encoder = CardEncoder(name="hash", id=HashEmbedder().id, dimensions=256)
    card = Card(
        created=datetime(2026, 11, 22, tzinfo=UTC),
        turnout_version="",
        canonicaliser="",
        labels=tuple(f"label {at}" for at in range(n_labels)),
        utterances=(n_each,) * n_labels,
        negatives=0,
        heads=(CardHead(encoder=encoder, method=method, fitted=told),),
    )
    return IntentModel(card, (head,))


def line(name: str, best: float, p99: float) -> None:
    print(f"{name:16} {best:9.1f} {p99:9.1f} {CEILINGS_US.get(name, 0) or '':>8}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    asked, ask = request(), Ask(request_id="req_bench", session="s", surface="support")
    at = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    candidates = (Candidate(DEPLOYMENT),)
    outputs = seen_outputs()
    print(f"outputs of 10 deployments: {timed(lambda: outputs.of('r', 4096), rounds)[0]:.1f} µs")
    moment = Moment(value=at.timestamp(), at=at, candidates=candidates, outputs=outputs.of("r", 4096))
    so_far: dict[str, Signal] = {MOMENT: moment}
    print(f"{'signal':16} {'best µs':>9} {'p99 µs':>9} {'ceiling':>8}")
    for name in sorted(names("turnout.signals"), key=lambda n: (n != "canonical", n != "lexical", n)):
        if name == "tokens.exact" or name.startswith("embed."):
            continue  # an extra, without a ceiling; vectors have lines of their own
        sense: Sense = load("turnout.signals", name)  # type: ignore[assignment]

        def call(sense: Sense = sense) -> object:
            try:
                return sense.read(asked, ask, so_far)
            except AbsentError as error:
                return error

        best, p99 = timed(call, rounds)
        found = call()
        if isinstance(found, Signal):
            so_far[name] = found
        print(f"{name:16} {best:9.1f} {p99:9.1f} {CEILINGS_US.get(name, 0):8d}")
    embeddings(asked, ask, so_far, rounds)
    rules = Rules(
        rules=tuple(
            Rule(
                when=f'tokens.in > {90_000 + i} and not has.code or tags["team"] == "t{i}"',
                models=("vendor/model",),
            )
            for i in range(20)
        )
    )
    context = Context(
        request=asked, ask=ask, n_tokens_in=900, n_tokens_out=512, max_tokens_out=512, signals=so_far, at=at
    )
    best, p99 = timed(lambda: rules.choose(context, candidates, None), rounds)  # type: ignore[arg-type]
    print(f"{'20 rules':16} {best:9.1f} {p99:9.1f} {15:8d}")


if __name__ == "__main__":
    main()
