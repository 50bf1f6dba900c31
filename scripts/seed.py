"""Fill a folder with a small company's month of traffic, and the configuration to serve it.

    python scripts/seed.py FOLDER --requests 6000 --emulator http://127.0.0.1:9000

Every Record comes from the real engine: its decisions, retries, fallbacks and costs are what Turnout does
with providers that behave as `Providers` says, on a clock that jumps. Only the instants of arrival are moved,
so that the month ends now, and the names are made up. What else the company has (budgets in use, an alert
that is over, a certificate that ends soon) is in `seed_standing.py`. Screenshots and browser tests use it.
"""

import argparse
import asyncio
import math
import random
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace
from seed_standing import alarm, certify, spend, standing

from turnout.build import build
from turnout.config import load_config, parse_config
from turnout.errors import ProviderUnreachable, TurnoutError
from turnout.parts import open_feedback, open_journal
from turnout.stores.base import Query
from turnout.stores.memory import MemoryJournal
from turnout.testing import clock
from turnout.transport.base import Authorise
from turnout.transport.guard import Egress
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.feedback import Feedback
from turnout.types.http import HttpRequest, Timeouts
from turnout.types.principal import Principal
from turnout.types.record import Record

DAYS = 30
CONFIG = """
version: 1
server: {{port: {port}}}
journal: {{path: {folder}/journal.db, fsync: never}}
desk: {{path: {folder}/desk.db}}
ledger: {{path: {folder}/ledger.db}}
admin: {{config: desk}}
providers:
  openai: {{vendor: openai, base_url: "{emulator}/v1", secret: sk-emulated-000000000000}}
  anthropic: {{codec: openai_chat, base_url: "{emulator}/v1", auth: none}}
  mistral: {{codec: openai_chat, base_url: "{emulator}/v1", auth: none}}
models:
  - {{model: openai/gpt-5.4, price: {{input: 1.25, output: 10}}}}
  - {{model: openai/gpt-5.4-mini, price: {{input: 0.25, output: 2}}}}
  - {{model: openai/gpt-5.4-nano, price: {{input: 0.05, output: 0.4}}}}
  - {{model: anthropic/claude-sonnet-5, price: {{input: 3, output: 15}}}}
  - {{model: anthropic/claude-haiku-4-5, price: {{input: 1, output: 5}}}}
  - {{model: mistral/mistral-small-latest, price: {{input: 0.1, output: 0.3}}}}
routes:
  - name: assistant
    models: [openai/gpt-5.4, anthropic/claude-sonnet-5, openai/gpt-5.4-mini, anthropic/claude-haiku-4-5]
    strategy:
      type: cheapest
      q_floor: 0.8
      quality:
        openai/gpt-5.4: 0.9
        anthropic/claude-sonnet-5: 0.89
        openai/gpt-5.4-mini: 0.79
        anthropic/claude-haiku-4-5: 0.74
  - name: support
    models: [anthropic/claude-haiku-4-5, openai/gpt-5.4-mini, mistral/mistral-small-latest]
    strategy: {{type: priority}}
    guards: [personal]
  - name: search
    models: [openai/gpt-5.4-nano, mistral/mistral-small-latest]
    strategy: {{type: fastest}}
    cache: {{mode: exact, sampled: true}}
  - name: reports
    models: [anthropic/claude-sonnet-5, openai/gpt-5.4]
    strategy:
      type: cheapest
      q_floor: 0.85
      quality: {{anthropic/claude-sonnet-5: 0.9, openai/gpt-5.4: 0.89}}
    certificate: {{file: {folder}/reports.certificate.json, max_loss: 0.03}}
  - name: drafts
    models: [openai/gpt-5.4-nano, openai/gpt-5.4]
    strategy: {{type: threshold, weak: openai/gpt-5.4-nano, strong: openai/gpt-5.4, threshold: 0.5}}
default_route: assistant
guards: {{rules: [{{name: personal, guard: {{type: pii}}, mode: redact}}]}}
quotas:
  - {{id: pace, level: key, of: requests, limit: 600, per: 1m}}
"""
TEAMS = {
    "web": ("assistant", "search", "drafts"),
    "care": ("support", "drafts"),
    "data": ("reports", "assistant"),
}
CUSTOMERS = [f"customer-{n:02d}" for n in range(1, 25)]
DIRECT, NAMED = 0.06, ("anthropic/claude-sonnet-5", "mistral/mistral-small-latest")
"""Share of requests that name a model, and therefore have nothing to fall back on."""
TELLING = 0.15
"""Share of requests in which somebody gives an address."""
PERSONAL = "Write to woodchuck@example.com, or call +1 202 555 0143."
QUESTION = "How much wood would a woodchuck chuck if a woodchuck could chuck wood? "
EASY = (
    "What time does the office in Oslo open?",
    "Translate 'good morning' into French.",
    "Write a short note that thanks a colleague.",
    "Say in one line: the parcel is late.",
)
HARD = (
    "Prove that the sum of two odd integers is even, step by step.",
    "Derive the gradient of the cross-entropy with respect to p = [0.2, 0.5, 0.3], and explain each step.",
    "Compare a token bucket, a sliding window and a leaky bucket over 12 regions; give bounds on the delay.",
    "Payment is due 30 days after delivery unless goods are defective; 40 % were, on March 3. What is due?",
)
"""What the route `drafts` is asked: it goes by how hard a request looks."""


class Model(msgspec.Struct, frozen=True):
    """How an emulated model behaves."""

    first_s: float
    """Median time to the head of an answer."""
    words: int
    """Median length of an answer."""
    fails: float = 0.004


MODELS: Mapping[str, Model] = {
    "gpt-5.4": Model(1.1, 420),
    "gpt-5.4-mini": Model(0.55, 260),
    "gpt-5.4-nano": Model(0.28, 90),
    "claude-sonnet-5": Model(0.9, 380),
    "claude-haiku-4-5": Model(0.45, 210),
    "mistral-small-latest": Model(0.4, 150, fails=0.02),
}
OUTAGE = (0.81, 0.8112)
"""Share of the month in which Anthropic's models answer 529: about fifty minutes."""
BUSY = 90
"""Requests that arrive during it: it is a busy hour, and some ask again."""


class Providers:
    """A transport that answers as emulated providers would, on the loop's own clock."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.at = 0.0
        """Share of the month that has passed."""

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> "Reply":
        """Answer after a while, or fail."""
        tree = msgspec.json.decode(request.body)
        name, rng = str(tree["model"]), self._rng
        model = MODELS[name]
        await asyncio.sleep(model.first_s * rng.lognormvariate(0, 0.35))
        if name.startswith("claude") and OUTAGE[0] <= self.at <= OUTAGE[1]:
            return Reply(529, {"error": {"message": "Overloaded", "type": "overloaded_error"}})
        if rng.random() < model.fails:
            if rng.random() < 0.3:
                raise ProviderUnreachable("the connection closed without an answer")
            return Reply(429, {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}})
        n_out = max(1, round(model.words * rng.lognormvariate(0, 0.5)))
        n_in = len(request.body) // 4
        usage = {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}
        message = {"role": "assistant", "content": "Emulated."}
        choice = {"index": 0, "finish_reason": "stop"}
        facts = {"id": "x", "created": 1, "model": name, "usage": usage}
        if tree.get("stream"):
            chunk = {**facts, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}
            frames = b"data: " + msgspec.json.encode(chunk) + b"\n\ndata: [DONE]\n\n"
            return Reply(200, frames, writes_s=n_out * 0.008)
        await asyncio.sleep(n_out * 0.008)
        return Reply(200, {**facts, "object": "chat.completion", "choices": [{**choice, "message": message}]})

    def allow(self, egress: Egress) -> None:
        """Accept any destination: nothing is dialled."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class Reply:
    """One answer: a JSON tree, or the frames of a stream of which the last comes late."""

    def __init__(self, status: int, body: Mapping[str, object] | bytes, *, writes_s: float = 0.0) -> None:
        streams = isinstance(body, bytes)
        self.status = status
        self.headers: Mapping[str, str] = {
            "content-type": "text/event-stream" if streams else "application/json"
        }
        self._pieces = [msgspec.json.encode(body)]
        if isinstance(body, bytes):
            head, gap, tail = body.partition(b"\n\n")
            self._pieces = [head + gap, tail]
        self._writes_s = writes_s

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self._pieces)

    async def chunk(self) -> bytes:
        """Return the next piece."""
        if not self._pieces:
            return b""
        if len(self._pieces) == 1:
            await asyncio.sleep(self._writes_s)
        return self._pieces.pop(0)

    def close(self) -> None:
        """Do nothing: nothing is held."""


def moments(n: int, rng: random.Random) -> list[float]:
    """Return when requests arrive, as shares of the month: more by day, fewer on two days in seven."""
    found = [rng.uniform(*OUTAGE) for _ in range(min(BUSY, n // 5))]
    while len(found) < n:
        at = rng.random()
        day, hour = at * DAYS % 7, at * DAYS * 24 % 24
        if rng.random() < (0.35 if day >= 5 else 1.0) * (0.55 - 0.45 * math.cos((hour - 2) / 24 * math.tau)):
            found.append(at)
    return sorted(found)


async def play(text: str, n: int, seed: int) -> list[Record]:
    """Send requests; return their Records, in the order of arrival."""
    rng = random.Random(seed)  # noqa: S311  made-up traffic
    config = parse_config(text, env={})
    journal, network = MemoryJournal(), Providers(rng)
    config = replace(config, ledger=replace(config.ledger, store=None), budgets=(), quotas=(), desk=None)
    built = await build(config, {}, transport=network, journal=journal, clock=asyncio.get_running_loop().time)
    ends = datetime.now(UTC)
    arrivals: dict[str, datetime] = {}
    try:
        for number, at in enumerate(moments(n, rng)):
            network.at = at
            team = rng.choices(list(TEAMS), (5, 3, 2))[0]
            ask = asking(number, rng, team)
            arrivals[ask.request_id] = ends - timedelta(days=DAYS * (1 - at), seconds=30)
            model = f"turnout/{rng.choice(TEAMS[team])}" if rng.random() > DIRECT else rng.choice(NAMED)
            text_in = asked(model, rng) + (PERSONAL if rng.random() < TELLING else "")
            message = Message(role="user", parts=(Text(text_in),))
            request = ChatRequest(model=model, messages=(message,), stream=rng.random() < 0.7)
            try:
                async with built.engine.open(request, ask) as reply:
                    await reply.response()
            except TurnoutError:
                pass  # it is in its Record
            await asyncio.sleep(1.0)
        found = (await journal.query(Query(order="oldest", limit=n))).records
    finally:
        await built.close()
    return sorted((replace(each, at=arrivals[each.request_id]) for each in found), key=lambda each: each.at)


def asked(model: str, rng: random.Random) -> str:
    """Return a question."""
    if model != "turnout/drafts":
        return QUESTION * max(1, round(rng.lognormvariate(2.2, 1.0)))
    hard = rng.betavariate(1.2, 1.8)
    parts = [rng.choice(HARD if rng.random() < hard else EASY) for _ in range(rng.randint(1, 7))]
    return " ".join(parts) + " "


def asking(number: int, rng: random.Random, team: str) -> Ask:
    """Return who asks."""
    principal = Principal(
        key_id=f"key_{team}",
        organisation="acme",
        project="shop" if team != "data" else "insight",
        team=team,
        customer=rng.choices(CUSTOMERS, [1 / (n + 1) for n in range(len(CUSTOMERS))])[0],
        tags=("checkout",) if rng.random() < 0.2 else (),
    )
    return Ask(
        request_id=f"req_{number:026d}",
        principal=principal,
        surface=rng.choice(("chat", "editor", None)),
        dialect="openai_chat",
    )


async def keep(folder: Path, records: list[Record]) -> None:
    """Write Records to the journal of a folder's configuration."""
    journal = open_journal(load_config(folder / "turnout.yaml"))
    for at, record in enumerate(records):
        journal.append(record)
        if at % 500 == 0:
            await journal.flush()
    await journal.close()


WORTH = {"openai/gpt-5.4": 0.93, "anthropic/claude-sonnet-5": 0.92, "openai/gpt-5.4-mini": 0.82}
"""How good answers are taken to be; of any other model 0.75."""
WEAK = 0.75


async def say(folder: Path, records: list[Record], seed: int) -> int:
    """Write what was said of some answers: a quarter judged, a tenth with thumbs, a few signs."""
    rng, now = random.Random(seed), datetime.now(UTC)  # noqa: S311  made-up words
    store = open_feedback(load_config(folder / "turnout.yaml").journal)
    n = 0
    for record in records:
        if record.outcome.error is not None or record.decision is None:
            continue
        worth = worth_of(record)
        graded, liked = min(1.0, max(0.0, rng.gauss(worth, 0.08))), float(rng.random() < worth)
        words: list[tuple[float, int, dict[str, object]]] = [
            (
                0.25,
                5,
                {"kind": "judge", "score": graded, "chance": 0.25, "source": "anthropic/claude-sonnet-5"},
            ),
            (
                0.1,
                120,
                {"kind": "thumb", "value": "up" if liked else "down", "score": liked, "source": "client"},
            ),
            (0.03, 60, {"kind": "implicit.rephrase", "score": 0.0, "weight": 0.05, "source": "session"}),
        ]
        for share, later_s, said in words:
            if rng.random() < share:
                at = min(now, record.at + timedelta(seconds=later_s))
                await store.put(_word(record, at, f"fb_{n:026d}", said))
                n += 1
    await store.close()
    return n


def worth_of(record: Record) -> float:
    """Return how good an answer is: of a small model the better, the easier the request looked."""
    worth = WORTH.get(record.outcome.model or "", 0.75)
    signal = None if record.decision is None else record.decision.signals.get("complexity")
    if signal is None or not isinstance(signal.value, float) or worth > WEAK:
        return worth
    return min(0.97, max(0.05, 0.97 - 6 * max(0.0, signal.value - 0.38)))


def _word(record: Record, at: datetime, name: str, said: Mapping[str, object]) -> Feedback:
    about = {
        "request_id": record.request_id,
        "at": at,
        "asked_at": record.at,
        "principal": record.principal,
        "speaker": record.principal,
        "organisation": record.organisation,
        "project": record.project,
        "customer": record.customer,
        "route": None if record.decision is None else record.decision.route,
        "model": record.outcome.model,
    }
    return msgspec.convert({"id": name, **about, **said}, Feedback)


def main() -> int:
    """Fill the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--emulator", default="http://127.0.0.1:9000", help="where models are asked later")
    parser.add_argument("--pager", default="http://127.0.0.1:9009/", help="whom alerts are told to later")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    assert urlsplit(options.emulator).hostname == "127.0.0.1"
    folder = options.folder.resolve()
    certify(folder)
    text = CONFIG.format(folder=folder, port=options.port, emulator=options.emulator)
    records = clock.run(play(text, options.requests, options.seed))
    (folder / "turnout.yaml").write_text(text + standing(folder, records, options.pager))
    if records:
        asyncio.run(furnish(folder, records, options.seed))
        report(folder)
    sys.stdout.write(f"{len(records)} requests in {options.folder}; serve them with\n")
    sys.stdout.write(f"    turnout serve --config {options.folder}/turnout.yaml\n")
    return 0


async def furnish(folder: Path, records: list[Record], seed: int) -> None:
    """Write everything to the stores of a folder's configuration."""
    await keep(folder, records)
    await say(folder, records, seed)
    await spend(folder, records)
    begins = records[-1].at - timedelta(days=DAYS)
    await alarm(folder, records, tuple(begins + share * timedelta(days=DAYS) for share in OUTAGE))


def report(folder: Path) -> None:
    """Write what `turnout calibrate feedback` says of the route that goes by a number."""
    words = ["calibrate", "feedback", "--config", str(folder / "turnout.yaml"), "--route", "drafts"]
    words += ["--out", str(folder / "reports" / "drafts.json")]
    run = "from turnout.cli.main import main; main()"
    (folder / "reports").mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", run, *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
