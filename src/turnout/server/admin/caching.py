"""Endpoints of the cache: how much is kept, and letting go of it. Floor 6.

A key of one organisation sees and clears that organisation's answers alone. What a process has counted since
it started is of all organisations, so it is told to keys of none.
"""

import re
from typing import Final

from turnout.errors import InvalidRequest
from turnout.layers.cache import Caches
from turnout.server.admin.audit import noted
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.stores.cache.base import Held, Selector
from turnout.types.json import Json

QUERY: Final = ("route", "organisation", "project", "key_id", "prefix")
NOTHING: Final = Held(0, 0)
_PREFIX: Final = re.compile(r"[0-9a-f]{1,64}")


def _selector(call: Call) -> Selector:
    prefix = call.text("prefix") or ""
    if prefix and not _PREFIX.fullmatch(prefix):
        raise InvalidRequest("prefix: expected hexadecimal digits", param="prefix")
    return Selector(
        route=call.text("route"),
        organisation=call.organisation(),
        project=call.text("project"),
        key_id=call.text("key_id"),
        prefix=prefix,
    )


def _told(which: Selector) -> dict[str, Json]:
    named = {
        "route": which.route,
        "organisation": which.organisation,
        "project": which.project,
        "key": which.key_id,
        "prefix": which.prefix or None,
    }
    return {name: value for name, value in named.items() if value is not None}


async def _stats(call: Call) -> Given:
    which, caches = _selector(call), call.built.caches.caches
    held = NOTHING if caches is None else await caches.shelf.held(which)
    tree: dict[str, Json] = {
        "object": "cache",
        "store": call.built.config.cache.where.scheme,
        "of": _told(which),
        "answers": held.n,
        "bytes": held.n_bytes,
    }
    if caches is not None and call.actor.organisation is None:
        tree["since_start"] = _counted(caches)
    return Given(body=tree)


def _counted(caches: Caches) -> Json:
    semantic = caches.semantic
    compared: dict[str, Json] = {}
    if semantic is not None:
        for route, (n, wrong) in semantic.watched().items():
            compared[route] = {"n": n, "false": wrong, "off": semantic.is_off(route)}
    return {
        "hits": {str(status): n for status, n in caches.hits.items()},
        "saved_nusd": caches.saved_nusd,
        "store_failures": caches.shelf.n_failed,
        "forged": getattr(caches.shelf.store, "n_forged", 0),
        "questions": 0 if semantic is None else len(semantic),
        "compared": compared,
    }


async def _clear(call: Call) -> Given:
    which, caches = _selector(call), call.built.caches.caches
    told = _told(which)
    await noted(call, "cache", told)
    n = 0 if caches is None else await caches.clear(which)
    return Given(body={"object": "cache.cleared", "of": told, "answers": n})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/cache",
        serve=_stats,
        summary="How many answers are kept, and of use",
        query=QUERY,
    ),
    Endpoint(
        method="DELETE",
        path="/cache",
        serve=_clear,
        summary="Let go of answers: all, or those of a route, tenant, key or digest",
        query=QUERY,
    ),
)
