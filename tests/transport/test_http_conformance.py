"""The pooled client passes every check a network transport must pass."""

import pytest

from turnout.testing.transport import CHECKS, SCRIPTS, check_script
from turnout.testing.transport_probe import Setup
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpOptions, HttpTransport
from turnout.transport.pool import PoolLimits
from turnout.transport.response import ResponseLimits


def make(setup: Setup) -> HttpTransport:
    return HttpTransport(
        egress_for(setup.urls),
        HttpOptions(
            pool=PoolLimits(max_connections=setup.max_connections),
            limits=ResponseLimits(body_bytes=setup.body_bytes),
            tick_s=0.01,
        ),
        lookup=setup.lookup,
    )


@pytest.mark.parametrize("scripted", SCRIPTS, ids=lambda scripted: scripted.name)
async def test_gives_the_outcome_of_the_script(scripted):
    await check_script(make, scripted)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_passes(check):
    await check(make)
