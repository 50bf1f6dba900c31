"""Fixtures of the gateway's tests."""

import pytest_asyncio

from tests.server.kit import rig as start


@pytest_asyncio.fixture
async def rig():
    """A gateway with the kit's configuration and one emulator behind it."""
    async with start() as running:
        yield running
