"""The pooled client passes every check a network transport must pass."""

import pytest

from tests.transport.makers import make_http
from turnout.testing.transport import CHECKS, SCRIPTS, check_script
from turnout.testing.transport_scripts import SLOW

QUICK = [scripted for scripted in SCRIPTS if scripted not in SLOW]


@pytest.mark.parametrize("scripted", QUICK, ids=lambda scripted: scripted.name)
async def test_gives_the_outcome_of_the_script(scripted):
    await check_script(make_http, scripted)


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("scripted", SLOW, ids=lambda scripted: scripted.name)
async def test_gives_the_outcome_of_the_slow_script(scripted):
    await check_script(make_http, scripted)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_passes(check):
    await check(make_http)
