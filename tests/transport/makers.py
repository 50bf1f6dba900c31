"""The two network transports, made for a check."""

from turnout.testing.transport_probe import Setup
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpOptions, HttpTransport
from turnout.transport.library import LibraryOptions, LibraryTransport
from turnout.transport.pool import PoolLimits
from turnout.transport.response import ResponseLimits


def make_http(setup: Setup) -> HttpTransport:
    return HttpTransport(
        egress_for(setup.urls),
        HttpOptions(
            pool=PoolLimits(max_connections=setup.max_connections),
            limits=ResponseLimits(body_bytes=setup.body_bytes),
            tick_s=0.01,
        ),
        lookup=setup.lookup,
    )


def make_library(setup: Setup) -> LibraryTransport:
    return LibraryTransport(
        egress_for(setup.urls),
        LibraryOptions(
            max_connections=setup.max_connections, limits=ResponseLimits(body_bytes=setup.body_bytes)
        ),
        lookup=setup.lookup,
    )
