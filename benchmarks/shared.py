"""Stores that replicas share, started by the bench: Valkey and PostgreSQL from packages, on loopback.

The stores run on the core of the load, not on the measured one: what is counted as the gateway's cost is the
gateway's. What the stores themselves cost is read beside it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks import gateway
from benchmarks.machine import Unusable, cpu_ns
from benchmarks.profiles import Shape
from turnout.errors import ConfigError
from turnout.testing.servers import Server, postgres, valkey

NAME = "turnout, distributed"


class Stores(msgspec.Struct, frozen=True):
    """Both, running."""

    ledger: Server
    records: Server

    @property
    def shape(self) -> Shape:
        """The production profile on them."""
        return msgspec.structs.replace(gateway.PRODUCTION, ledger=self.ledger.url, records=self.records.url)

    def cpu_ns(self) -> tuple[int, int]:
        """Return what Valkey and PostgreSQL have used so far."""
        return cpu_ns(_pid(self.ledger)), cpu_ns(_pid(self.records))


def _pid(server: Server) -> int:
    process = server._process  # noqa: SLF001  ours, and it tells nobody else
    assert process is not None
    return process.pid


@contextmanager
def stores(core: int) -> Iterator[Stores]:
    """Run both, pinned to a core. Raises `Unusable`."""
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started inherits it
    try:
        ledger = valkey()
    except ConfigError as problem:
        raise Unusable(str(problem)) from None
    finally:
        os.sched_setaffinity(0, here)
    with ledger:
        os.sched_setaffinity(0, {core})
        try:
            records = postgres()
        except (ConfigError, ImportError) as problem:
            raise Unusable(str(problem)) from None
        finally:
            os.sched_setaffinity(0, here)
        with records:
            yield Stores(ledger, records)
