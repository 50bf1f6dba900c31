"""A database's part of its own for each test."""

from urllib.parse import quote

import psycopg
import pytest

from tests.stores.fresh import fresh
from turnout.stores.postgres.migrate import migrate


@pytest.fixture
def empty(postgres_url):
    """Return a function that makes addresses of parts of the database with nothing in them."""

    def make():
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
        migrate(url)
        return url

    return make
