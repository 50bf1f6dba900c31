"""`/{provider}/…`: what is let through, what is not, and what it is seen to cost."""

import json
from contextlib import asynccontextmanager

import pytest

from tests.server.kit import SECRET, call, rig, serving
from turnout.server.beneath import Masked, beneath
from turnout.server.opened import open_beside

THING = b'{"id": "thing_1", "object": "thing"}'
KEYS = """keys: [{name: ann, secret: sk-ann-0123456789abc, endpoints: [passthrough, chat]},
  {name: bob, secret: sk-bob-0123456789abc},
  {name: cat, secret: sk-cat-0123456789abc, endpoints: [passthrough], allow: [oai/one]},
  {name: dan, secret: sk-dan-0123456789abc, endpoints: [passthrough], routes: [assistant]}]"""


class Vendor:
    """A provider with endpoints that nobody knows; says what it was sent."""

    def __init__(self):
        self.seen = []
        self.answer = (200, [(b"content-type", b"application/json")], [THING])

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        self.seen.append((scope["method"], path.decode(), dict(scope["headers"]), body))
        status, headers, pieces = self.answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for at, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": at < len(pieces) - 1})


@asynccontextmanager
async def passing(*, server="", more="", vendors="[oai, ant]", paths="['*']"):
    vendor = Vendor()
    async with serving(vendor) as base:
        text = f"passthrough: {{vendors: {vendors}, paths: {paths}}}\n{more}"
        edit = lambda config: config.replace(config.split('base_url: "')[1].split("/v1")[0], base)  # noqa: E731
        async with rig(text, server=server, edit=edit) as running:
            open_beside(running.built, running.gateway)
            running.vendor = vendor
            yield running


def key(name):
    return f"Authorization: Bearer sk-{name}-0123456789abc"


async def test_what_is_let_through_goes_to_the_provider_with_the_operators_credential_alone():
    async with passing(server=KEYS) as running:
        running.vendor.answer = (
            201,
            [
                (b"content-type", b"application/json"),
                (b"set-cookie", b"a=b"),
                (b"server", b"vendor"),
                (b"etag", b'"1"'),
            ],
            [b'{"key": "sk-canary-up', b'stream-9f8e7d6c5b4a"}'],
        )
        reply = await call(
            running,
            "/oai/v1/assistants/a%20b?limit=2",
            {"name": "x"},
            key("ann"),
            "OpenAI-Beta: assistants=v2",
            "Cookie: s=1",
            "X-Forwarded-For: 1.2.3.4",
        )
        assert (reply.status, reply.json()) == (201, {"key": "***"})
        assert (reply.header("etag"), reply.header("set-cookie"), reply.header("server")) == (
            '"1"',
            None,
            None,
        )
        method, path, headers, body = running.vendor.seen[0]
        assert (method, path, json.loads(body)) == ("POST", "/v1/assistants/a%20b?limit=2", {"name": "x"})
        assert headers[b"authorization"].decode() == f"Bearer {SECRET}"
        assert headers[b"openai-beta"] == b"assistants=v2"
        assert not {b"cookie", b"x-forwarded-for"} & set(headers)
        record = await running.record(reply.header("x-turnout-request-id"))
        assert (record.endpoint, record.principal, record.outcome.provider) == ("passthrough", "ann", "oai")
        assert (record.outcome.cost_nusd, record.outcome.cost_state) == (None, "unknown")


async def test_usage_is_read_beside_what_passes_and_priced():
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = json.dumps({"id": "c", "model": "oai-one", "choices": [], "usage": usage}).encode()
    budget = "budgets: [{id: b, level: key, usd: 1, per: day}]\nledger: {store: memory}"
    async with passing(server=KEYS, more=budget) as running:
        running.vendor.answer = (200, [(b"content-type", b"application/json")], [body])
        asked = {"model": "oai-one", "max_tokens": 20}
        reply = await call(running, "/oai/unknown/endpoint", asked, key("ann"))
        assert (reply.status, reply.body) == (200, body)
        record = await running.record(reply.header("x-turnout-request-id"))
        assert (record.outcome.cost_nusd, record.outcome.cost_state) == (20_000, "exact")
        assert record.outcome.model == "oai/one"
        refused = await call(running, "/oai/unknown/endpoint", {"model": "elsewhere"}, key("ann"))
        assert (refused.status, refused.json()["error"]["code"]) == (402, "price_unknown")
        looked = await call(running, "/oai/things", None, key("ann"), method="GET")
        assert looked.status == 200
        frames = b"".join(
            b"data: " + json.dumps(each).encode() + b"\n\n"
            for each in (
                {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]},
                {"id": "c", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}},
            )
        )
        stream = [frames[:50], frames[50:], b"data: [DONE]\n\n"]
        running.vendor.answer = (200, [(b"content-type", b"text/event-stream")], stream)
        streamed = await call(running, "/oai/unknown/endpoint", {**asked, "stream": True}, key("ann"))
        assert streamed.body == b"".join(stream)
        record = await running.record(streamed.header("x-turnout-request-id"))
        assert (record.outcome.usage.n_input, record.outcome.cost_nusd) == (7, 9_000)


async def test_it_is_closed_to_whom_it_was_not_opened():
    async with passing(server=KEYS, paths="['things*']") as running:
        statuses = {}
        for name, path, body in (
            ("bob", "/oai/things", {"model": "oai-one"}),
            ("dan", "/oai/things", {"model": "oai-one"}),
            ("cat", "/oai/things", {"model": "oai-two"}),
            ("cat", "/oai/things/2", {"model": "oai-one"}),
            ("ann", "/gem/things", {"model": "oai-one"}),
            ("ann", "/oai/other", {"model": "oai-one"}),
            ("ann", "/oai/things", b'{"model": "oai-one", "model": "oai-two"}'),
        ):
            statuses[name, path] = (await call(running, path, body, key(name))).status
        assert statuses == {
            ("bob", "/oai/things"): 403,
            ("dan", "/oai/things"): 403,
            ("cat", "/oai/things"): 403,
            ("cat", "/oai/things/2"): 200,
            ("ann", "/gem/things"): 404,
            ("ann", "/oai/other"): 404,
            ("ann", "/oai/things"): 400,
        }
        assert (await call(running, "/oai/things", {}, "Authorization: Bearer wrong")).status == 401
        assert (await call(running, "/oai/things", {}, key("ann"), method="DELETE")).status == 404
        assert [path for _, path, _, _ in running.vendor.seen] == ["/v1/things/2"]
    async with passing(vendors="[]") as running:
        assert (await call(running, "/oai/things", {})).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/oai/../admin/v1/keys",
        "/oai/a/%2e%2e/b",
        "/oai/a%2fb",
        "/oai/a%5cb",
        "/oai/a%00b",
        "/oai/a%252e",
        "/oai//evil.test/x",
        "/oai/a/./b",
        "/oai/http://evil.test/",
        "/%6fai/things",
        "/oai/v1/",
    ],
)
async def test_a_path_that_can_be_read_in_two_ways_is_not_let_through(path):
    async with passing() as running:
        reply = await call(running, path, {"a": 1})
        assert reply.status in (400, 404), reply.body
        assert running.vendor.seen == []


def test_a_version_that_the_address_has_is_not_repeated():
    base = "https://api.vendor.test/v1"
    assert beneath(b"/oai/v1/things", "oai", base) == "things"
    assert beneath(b"/oai/v2/things/", "oai", base) == "v2/things/"


def test_a_secret_is_masked_however_it_is_cut():
    data = b'{"a": "sk-secret-1234", "b": "sk-sec"}'
    for at in range(len(data)):
        masked = Masked((b"sk-secret-1234",))
        out = masked.feed(data[:at]) + masked.feed(data[at:]) + masked.end()
        assert out == b'{"a": "***", "b": "sk-sec"}', at


async def test_a_budget_that_is_set_to_block_blocks_here_too():
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    body = json.dumps({"id": "c", "choices": [], "usage": usage}).encode()
    budget = "budgets: [{id: b, level: key, usd: 0.0001, thresholds: [{at: 0.1, action: block}]}]"
    async with passing(server=KEYS, more=f"{budget}\nledger: {{store: memory}}") as running:
        running.vendor.answer = (200, [(b"content-type", b"application/json")], [body])
        asked = {"model": "oai-one", "max_tokens": 20}
        replies = [await call(running, "/oai/things", asked, key("ann")) for _ in range(2)]
        assert [reply.status for reply in replies] == [200, 402]
        assert len(running.vendor.seen) == 1
