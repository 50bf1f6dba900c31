"""The description of the data plane says what is served, no less and no more."""

import json
import re

from tests.server.kit import call
from tests.server.kit import rig as start
from turnout.server import verbs
from turnout.server.endpoints import OPERATIONS
from turnout.server.gemini_batches import VERBS

OURS = re.compile(r"/(admin|auth|ui|dashboard)(/|$)|/$")
"""The other plane, which has a description of its own, and its pages."""


def entry(paths, method, path):
    """What serves a call: the endpoint, and the ending that a table row names, if any."""
    found = paths._exact.get((method, path))
    if found is not None:
        return method, found.endpoint, ""
    for row in paths._prefixes:
        if row.method == method and row.serves(path):
            return method, row.found.endpoint, row.ending
    return None


def served(paths):
    """Everything that is served, aliases told by their endpoint alone."""
    rows = {(m, found.endpoint, "") for (m, path), found in paths._exact.items() if not OURS.match(path)}
    beneath = (row for row in paths._prefixes if not OURS.match(row.prefix))
    rows |= {(row.method, row.found.endpoint, row.ending) for row in beneath}
    return {row for row in rows if row[0] != "HEAD"}


async def test_what_is_described_is_served_and_what_is_served_is_described(rig):
    paths = rig.gateway._paths
    described = {(each.method.upper(), re.sub(r"\{[a-z]+\}", "x", each.path)) for each in OPERATIONS}
    rows = {key: entry(paths, *key) for key in described}
    assert [key for key, row in rows.items() if row is None] == []
    assert served(paths) - set(rows.values()) == set()
    told = {path.rpartition(":")[2] for _, path in described if ":" in path and "/models/" in path}
    jobs = {verb[1:] for verb in VERBS}
    known = {*verbs._STREAMS, *verbs._ALONE, verbs._COUNT, *jobs}
    assert told == known


async def test_the_description_is_whole_and_tells_what_is_let_through():
    passing = "passthrough: {vendors: [oai], paths: ['files*'], methods: [GET, DELETE]}"
    for extra, vendors in (("", {}), (passing, {"/oai/{path}": {"get", "delete"}})):
        async with start(extra) as rig:
            reply = await call(rig, "/openapi.json", method="GET")
            if extra:
                rig.gateway.passing.till = type("Till", (), {"built": rig.built})()
                reply = await call(rig, "/openapi.json", method="GET")
        tree = json.loads(reply.body)
        found = {path: set(row) for path, row in tree["paths"].items() if path.startswith("/oai/")}
        assert found == vendors
        names = [each["operationId"] for row in tree["paths"].values() for each in row.values()]
        assert len(names) == len(set(names)) == len(OPERATIONS) + len(vendors) * 2
        refs = set(re.findall(r'"#/components/schemas/([\w.]+)"', reply.body.decode()))
        assert refs == set(tree["components"]["schemas"])
