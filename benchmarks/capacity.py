"""How many replicas, Valkey operations and PostgreSQL rows a rate of requests needs.

    python -m benchmarks.capacity [--rps 100,10000,1000000] [--costs FILE] [--busy 0.6]

The model is a product: what a request costs each part, times requests per second, over the share of a core
that may be busy. It is right as long as costs do not grow with the rate, which `benchmarks.growth` and
`benchmarks.scale` look at; where they must (one counter that everybody counts in), it says so.
"""

import argparse
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import msgspec

RATES = (100.0, 10_000.0, 1_000_000.0)
RESULTS = Path(__file__).parent / "results" / "scale.json"
BUSY = 0.6
"""Share of a core that may be used: beyond it, waiting grows faster than load."""


class Costs(msgspec.Struct, frozen=True):
    """What one request of the distributed profile takes."""

    gateway_us: float
    valkey_us: float
    valkey_calls: float
    """Round trips."""
    valkey_commands: float
    """Those inside of scripts too: what a Valkey counts as its operations."""
    postgres_us: float
    postgres_rows: float
    postgres_commits: float

    @property
    def total_us(self) -> float:
        """Processor time of all parts."""
        return self.gateway_us + self.valkey_us + self.postgres_us


class Need(msgspec.Struct, frozen=True):
    """What a rate takes."""

    rps: float
    gateway_cores: int
    """Workers of one core each; as replicas, divided by the cores of one."""
    valkey_per_s: float
    valkey_cores: int
    postgres_rows_per_s: float
    postgres_cores: int


def predict(costs: Costs, rps: float, busy: float = BUSY) -> Need:
    """Return what a rate takes; two workers at least, so that one may fail."""

    def cores(us: float) -> int:
        return ceil(rps * us / 1e6 / busy)

    return Need(
        rps=rps,
        gateway_cores=max(2, cores(costs.gateway_us)),
        valkey_per_s=rps * costs.valkey_commands,
        valkey_cores=max(1, cores(costs.valkey_us)),
        postgres_rows_per_s=rps * costs.postgres_rows,
        postgres_cores=max(1, cores(costs.postgres_us)),
    )


def saturated(costs: Costs, cores: float, beside_us: float) -> float:
    """Return the rate at which everything on so many cores together uses them up.

    Args:
        costs: Of a request.
        cores: That gateways, stores, load and upstream share.
        beside_us: What load and upstream cost a request.
    """
    return cores * 1e6 / (costs.total_us + beside_us)


def markdown(needs: Sequence[Need]) -> str:
    """Write the table."""
    lines = [
        "| requests/s | gateway cores | Valkey commands/s | its cores | PostgreSQL rows/s | its cores |",
        "|---" * 6 + "|",
    ]
    lines += [
        f"| {n.rps:,.0f} | {n.gateway_cores:,} | {n.valkey_per_s:,.0f} | {n.valkey_cores:,} "
        f"| {n.postgres_rows_per_s:,.0f} | {n.postgres_cores:,} |"
        for n in needs
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the table for some rates."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rps", default=",".join(f"{rate:g}" for rate in RATES))
    parser.add_argument("--costs", type=Path, default=RESULTS, help="JSON that `benchmarks.scale` wrote")
    parser.add_argument("--busy", type=float, default=BUSY)
    given = parser.parse_args()
    if not given.costs.exists():
        print(
            f"capacity: {given.costs} is not there; `python -m benchmarks.scale` writes it", file=sys.stderr
        )
        return 2
    costs = msgspec.convert(msgspec.json.decode(given.costs.read_bytes())["costs"], Costs)
    print(costs)
    print(markdown([predict(costs, float(rate), given.busy) for rate in given.rps.split(",")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
