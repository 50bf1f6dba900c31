"""The pages for people who come from other routers, played as a reader would who types everything in."""

from pathlib import Path

import pytest

from tests.test_docs import LATER
from tests.test_docs import test_a_page_does_what_it_shows as play


@pytest.mark.parametrize("page", LATER, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows_here_too(page: Path, tmp_path: Path) -> None:
    play(page, tmp_path)
