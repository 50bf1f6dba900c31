"""Client connections, at length: a hundred thousand inputs mean to ours what they mean to uvicorn's."""

import pytest

from tests.server.test_front_fuzz import compare_alike, fuzz


@pytest.mark.parametrize("seed", range(20))
async def test_ours_is_never_laxer_and_never_another(seed: int) -> None:
    n_served, n_refused = await fuzz(3000, seed)
    assert min(n_served, n_refused, await compare_alike(2000, seed)) > 1500
