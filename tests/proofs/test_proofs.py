"""The short form of the proofs; `python -m tests.proofs --seeds 50` is the long one."""

import pytest

from tests.proofs import killed
from tests.proofs.money import prove
from tests.proofs.rates import prove_rates
from turnout.errors import ConfigError
from turnout.testing.servers import postgres, valkey


@pytest.fixture
def stores():
    """Servers of one's own: they must be empty."""
    try:
        one = valkey()
    except ConfigError as error:
        pytest.skip(str(error))
    with one, postgres() as other:
        yield one.url, other.url


@pytest.mark.parametrize("kill", [False, True], ids=["all live", "one replica killed"])
async def test_a_budget_is_never_passed_and_all_books_agree(kill, stores, tmp_path):
    result = await prove(7, tmp_path, stores, clients=24, workers=2, kill=kill)
    assert result.most_used <= 1_000_000_000
    assert result.statuses["200"] > 50
    assert result.statuses["402"] > 50


@pytest.mark.parametrize("kill", [False, True], ids=["all live", "one replica killed"])
async def test_the_same_holds_for_processes_that_share_files(kill, stores, tmp_path):
    result = await prove(7, tmp_path, ("sqlite", stores[1]), clients=24, workers=2, kill=kill)
    assert result.most_used <= 1_000_000_000
    assert result.statuses["402"] > 50


@pytest.mark.parametrize("seed", [1, 2])
async def test_files_hold_what_killed_processes_were_told(seed, tmp_path):
    result = await killed.prove(seed, tmp_path)
    assert result.settled > 1000


async def test_rates_are_never_passed_and_can_be_used(stores, tmp_path):
    await prove_rates(7, tmp_path, stores, clients=24, workers=2)
