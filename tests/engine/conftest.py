"""Every asynchronous test of this folder runs on the loop whose time jumps."""

from turnout.testing.clock import ClockLoop


def pytest_asyncio_loop_factories(config, item):
    return {"clock": ClockLoop}
