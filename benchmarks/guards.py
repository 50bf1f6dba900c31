"""What each guard costs, in µs per KB of CPU, on text it finds nothing in and on text full of findings.

python benchmarks/guards.py [--data ../shared/data]
"""

import argparse
import json
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from turnout.guards.base import Context
from turnout.guards.injection import Injection
from turnout.guards.pii import Pii
from turnout.guards.secrets import Secrets

OUT = Path(__file__).parent / "results/guards"
ROUNDS = 15
GUARDS = {"pii": Pii(), "secrets": Secrets(), "injection": Injection()}
CLEAN = ("alpaca_eval", "bipia_email", "bipia_code", "cyberseceval_frr")


def texts(data):
    prompts = pq.read_table(data / "guard/prompts.parquet").to_pylist()
    clean = [r["text"] for r in prompts if r["source"] in CLEAN and len(r["text"]) >= 512]
    dense = [r["text"] for r in pq.read_table(data / "pii/presidio_synth_v2.parquet").to_pylist()]
    return {
        "prompts and documents": clean,
        "personal data": ["\n".join(dense[at : at + 12]) for at in range(0, len(dense), 12)],
    }


def measure(guard, rows, source):
    n_kb = sum(map(len, rows)) / 1024
    rounds, context = [], Context("in", source)
    for _ in range(ROUNDS):
        began = time.process_time()
        for row in rows:
            guard.check(row, context)
        rounds.append((time.process_time() - began) * 1e6 / n_kb)
    return round(min(rounds), 1), round(statistics.median(rounds), 1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = texts(parser.parse_args().data)
    rows = []
    for name, guard in GUARDS.items():
        for what, found in data.items():
            for source in ("user", "tool") if name == "injection" else ("user",):
                best, median = measure(guard, found, source)
                rows.append(
                    {
                        "guard": name,
                        "source": source,
                        "text": what,
                        "us_per_kb_best": best,
                        "us_per_kb_median": median,
                    }
                )
    told = {
        "command": "python benchmarks/guards.py --data ../shared/data",
        "date": datetime.now(UTC).date().isoformat(),
        "python": sys.version.split()[0],
        "machine": f"{platform.machine()}, 2 cores shared with other work",
        "rows": rows,
    }
    (OUT / "cost.json").write_text(json.dumps(told, indent=1) + "\n")
    lines = [
        "# What guards cost",
        "",
        f"`{told['command']}`, {told['date']}, Python {told['python']}, {told['machine']}.",
        "",
    ]
    lines += [
        "CPU time per KB of text; best and median of fifteen rounds.",
        "",
        "| guard | source | text | best µs/KB | median µs/KB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        "| {guard} | {source} | {text} | {us_per_kb_best} | {us_per_kb_median} |".format(**row)
        for row in rows
    ]
    (OUT / "cost.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
