"""A browser that has signed in, and that fails a test when a page complains or looks elsewhere."""

import pytest

from tests.browser.look import Reader, browser, sign_in
from tests.browser.world import World, chromium


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The gateway that most tests look at: they leave it as it was, or do not mind what others did."""
    _needed()
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def chrome():
    _needed()
    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def state(world, chrome):
    """The cookies of one sign-in, for every test: signing in is tested elsewhere."""
    context = chrome.new_context()
    sign_in(context.new_page(), world.url, world.admin)
    yield context.storage_state()
    context.close()


@pytest.fixture
def reader(world, chrome, state):
    with Reader(chrome, world.url, state) as reader:
        yield reader


def _needed() -> None:
    pytest.importorskip("playwright", reason="Playwright is not installed: `make browser` installs it")
    if chromium() is None:
        pytest.skip("no Chromium: install it, or name it in TURNOUT_TEST_CHROMIUM")
