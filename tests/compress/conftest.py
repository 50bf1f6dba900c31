from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

import pytest


@pytest.fixture
def cpu():
    """Return a limit of CPU seconds for what stands under it."""

    @contextmanager
    def within(limit_s: float) -> Iterator[None]:
        began = process_time()
        yield
        assert process_time() - began <= limit_s

    return within
