"""Names that nobody used before, for tests that share a server."""

import itertools
import secrets

_RUN = secrets.token_hex(4)
_numbers = itertools.count()


def fresh(base="t"):
    """Return a name nobody used before."""
    return f"{base}_{_RUN}_{next(_numbers)}"
