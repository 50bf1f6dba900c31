"""Event loops for transport tests: the gateway runs uvloop, users of the SDK run either."""

import asyncio

import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config, item):
    """Run every asynchronous test of this folder on both loops."""
    return LOOPS
