"""What compression costs, in µs of CPU per KB of conversation, by step and by kind of text.

python benchmarks/compress.py
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from turnout.compress import Job, shorten
from turnout.compress.base import Sizes
from turnout.compress.marks import marked
from turnout.signals.tokens.estimate import estimate
from turnout.types.chat import ChatRequest, Message, Text, ToolCall, ToolResult
from turnout.types.compress import Compact, CompressRule

OUT = Path(__file__).parent / "results/compress.json"
N_ROUNDS = 7
SYSTEM = "You are a dispatcher of a railway. Answer in one sentence. " * 40
ROWS = [
    {"train": at, "line": f"S{at % 9}", "stop": at * 7, "late": at % 5 == 0, "note": None}
    for at in range(400)
]
PROSE = " ".join(
    f"At {at % 24}:15 the signal of block {at} showed red and train {at} waited." for at in range(300)
)
LOG = "\n".join(f"2026-11-22T10:00:{at % 60:02} block {at} free, points {at % 7} set" for at in range(500))
KINDS = {
    "JSON with layout": json.dumps({"turn": "{at}", "rows": ROWS}, indent=2),
    "log": "Log {at}\n" + LOG,
    "prose": "Report {at}. " + PROSE,
}
"""With something in each that makes one turn's result another than the next one's."""
RULES = {
    "nothing to do: sizes alone": CompressRule(tidy=False, min_tokens=0),
    "lossless": CompressRule(min_tokens=0),
    "lossless and tables": CompressRule(min_tokens=0, tables=True),
    "lossless and trimming to 500": CompressRule(min_tokens=0, tool_tokens=500),
    "lossless and compaction to 1,000": CompressRule(
        min_tokens=0, compact=Compact(above_tokens=1_000, keep_turns=2)
    ),
}


def conversation(text: str, n_turns: int = 8) -> tuple[Message, ...]:
    """A tool loop whose results are of one kind."""
    out = [Message("system", (Text(SYSTEM),))]
    for at in range(n_turns):
        call = ToolCall(id=f"c{at}", name="find", arguments=f'{{"train": {at}}}')
        out += [
            Message("user", (Text(f"Where is train {at}, and is it late?"),)),
            Message("assistant", (call,)),
            Message(
                "tool", (ToolResult(call_id=call.id, content=(Text(text.replace("{at}", str(at), 1)),)),)
            ),
            Message("assistant", (Text(f"Train {at} stands at stop {at * 7}."),)),
        ]
    return (*out, Message("user", (Text("Which trains were late?"),)))


def timed(messages: tuple[Message, ...], job: Job) -> float:
    """Return the median of rounds, in µs of CPU."""
    rounds = []
    for _ in range(N_ROUNDS):
        began = time.process_time()
        shorten(messages, job)
        rounds.append((time.process_time() - began) * 1e6)
    return statistics.median(rounds)


def marks() -> Mapping[str, float]:
    """Return what marking a prompt costs, in µs of CPU a call."""
    request = ChatRequest(model="m", messages=conversation(LOG))
    rounds = []
    for _ in range(N_ROUNDS):
        began = time.process_time()
        for _ in range(10):
            marked(request, 1024, Sizes(estimate), calls=True)
        rounds.append((time.process_time() - began) * 1e5)
    return {"µs": round(statistics.median(rounds), 1)}


def main() -> int:
    """Measure, print and write."""
    rows: dict[str, dict[str, float]] = {}
    for kind, text in KINDS.items():
        messages = conversation(text)
        n_kb = sum(len(p.text) for m in messages for p in m.parts if isinstance(p, Text)) / 1024
        n_kb += len(text) * 8 / 1024
        for name, rule in RULES.items():
            job = Job(rule=rule, count=estimate)
            _, view = shorten(messages, job)
            rows[f"{kind}: {name}"] = {
                "µs/KB": round(timed(messages, job) / n_kb, 1),
                "saved": round(1 - view.n_after / view.n_before, 3),
            }
    rows["marks of a prompt of 200 KB"] = dict(marks())
    found = {
        "made": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        "note": "CPU time; other work ran on the machine",
        "rows": rows,
    }
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for name, row in rows.items():
        print(f"{name:<58}{row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
