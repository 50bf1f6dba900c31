"""Real servers for tests: started when first asked for, once a run."""

import os

import pytest

from turnout.errors import ConfigError
from turnout.testing.servers import postgres, valkey


@pytest.fixture(scope="session")
def valkey_url():
    """Address of a Valkey: the one named by TURNOUT_TEST_VALKEY, or one of our own."""
    yield from _address("TURNOUT_TEST_VALKEY", valkey)


@pytest.fixture(scope="session")
def postgres_url():
    """Address of a PostgreSQL: the one named by TURNOUT_TEST_POSTGRES, or one of our own."""
    yield from _address("TURNOUT_TEST_POSTGRES", postgres)


def _address(name, start):
    if os.environ.get(name):
        yield os.environ[name]
        return
    try:
        server = start()
    except ConfigError as error:
        pytest.skip(f"{error}; set {name} to run this test")
    with server:
        yield server.url
