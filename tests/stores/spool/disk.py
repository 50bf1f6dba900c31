"""A disk that is full, for one process."""

import resource
from contextlib import contextmanager


@contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond a size: what a full disk looks like to write(2)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
