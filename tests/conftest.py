"""Fixtures every suite may use."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("turnout", derandomize=True, deadline=None, max_examples=60, print_blob=True)
settings.load_profile("turnout")

# One thread a process: there is a worker of pytest on each core already, and most matrices here are small. It
# must be said before numpy is there, and reaches what tests start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Keep thousands of tests and modules out of the cyclic collector's sight: they stay until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with recorded provider traffic and outcome tables; absent in a plain clone."""
    folder = Path(os.environ.get("TURNOUT_SHARED", ROOT.parent / "shared"))
    if not (folder / "wire").is_dir():
        pytest.skip(f"no recorded data at {folder}: set TURNOUT_SHARED to run this test")
    return folder
