"""The second client passes the same checks as the first."""

import pytest

from tests.transport.makers import make_library
from turnout.testing.transport import CHECKS, SCRIPTS, check_script

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@pytest.mark.parametrize("scripted", SCRIPTS, ids=lambda scripted: scripted.name)
async def test_gives_the_outcome_of_the_script(scripted):
    await check_script(make_library, scripted)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_passes(check):
    await check(make_library)
