"""Real servers for tests: started when first asked for, once a run."""

import os
from urllib.parse import quote

import pytest

from tests.stores.fresh import fresh
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


@pytest.fixture
def empty(postgres_url):
    """Return a function that makes addresses of parts of the database with nothing in them."""

    def make():
        import psycopg

        name = fresh()
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {name}")
        joint = "&" if "?" in postgres_url else "?"
        return f"{postgres_url}{joint}options={quote(f'-csearch_path={name}')}"

    return make


@pytest.fixture
def made(empty):
    """Return a function that makes addresses of parts in the form that is needed."""

    def make():
        url = empty()
        from turnout.stores.postgres.migrate import migrate

        migrate(url)
        return url

    return make
