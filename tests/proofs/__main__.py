"""Run the proofs over many seeds: `python -m tests.proofs --seeds 50`.

Prints one line of JSON for each run, and ends with status 1 at the first that fails.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.proofs.money import prove
from turnout.testing.servers import postgres, valkey


def main():
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--files", action="store_true", help="count in files in place of a Valkey")
    given = parser.parse_args()
    for seed in range(given.first, given.first + given.seeds):
        with valkey() as one, postgres() as other, tempfile.TemporaryDirectory() as folder:
            run = prove(
                seed,
                Path(folder),
                ("sqlite" if given.files else one.url, other.url),
                clients=given.clients,
                workers=given.workers,
                kill=seed % 4 != 0,
            )
            sys.stdout.write(msgspec.json.encode(asyncio.run(run)).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
