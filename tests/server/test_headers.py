"""Headers: what every answer says (WIRE.md 6), what requests may say (5, 7), who may come in (4)."""

import pytest

from tests.server.kit import Fault, call, chat, gateway, message
from tests.server.kit import rig as start

ALWAYS = {"x-turnout-request-id", "x-request-id"}
CHOSEN = {
    *("x-turnout-model", "x-turnout-provider", "x-turnout-route", "x-turnout-strategy", "x-turnout-reason"),
    *("x-turnout-decision-id", "x-turnout-attempts", "x-turnout-fallbacks"),
}
SETTLED = {"x-turnout-cost-usd", "x-turnout-cost-state", "x-turnout-overhead-ms", "x-turnout-upstream-ms"}
EMBED = {"model": "oai/vectors", "input": "Hello"}


def ours(reply):
    return {name for name, _ in reply.headers if name.startswith("x-") or name == "request-id"}


# Answers


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("/v1/chat/completions", chat(), SETTLED),
        ("/v1/chat/completions", chat(stream=True), {"x-accel-buffering"}),
        ("/v1/messages", message(), SETTLED | {"request-id"}),
        ("/v1/messages", message(stream=True), {"x-accel-buffering", "request-id"}),
        ("/v1/embeddings", EMBED, SETTLED),
    ],
)
async def test_an_answer_says_who_gave_it_and_why(rig, path, body, more):
    reply = await call(rig, path, body)
    assert ours(reply) == ALWAYS | CHOSEN | more
    assert len({value for name, value in reply.headers if name.endswith("request-id")}) == 1
    request_id = reply.header("x-turnout-request-id")
    assert (len(request_id), request_id[:4]) == (30, "req_")
    assert reply.header("x-turnout-decision-id") == "dec_" + request_id[4:]
    assert (reply.header("x-turnout-attempts"), reply.header("x-turnout-fallbacks")) == ("1", "0")
    assert reply.header("x-turnout-reason") == "pinned_by_caller"


async def test_cost_and_time_agree_with_the_journal(rig):
    reply = await call(rig, "/v1/chat/completions", chat("oai/one"))
    record = await rig.record(reply.header("x-turnout-request-id"))
    usage = reply.json()["usage"]
    nano = usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000
    assert record.outcome.cost_nusd == nano
    assert round(float(reply.header("x-turnout-cost-usd")) * 1e9) == nano
    assert reply.header("x-turnout-cost-state") == "exact"
    assert float(reply.header("x-turnout-overhead-ms")) == pytest.approx(
        record.outcome.overhead_s * 1000, abs=0.001
    )
    assert float(reply.header("x-turnout-upstream-ms")) > 0


async def test_a_price_nobody_knows_is_unknown_and_not_zero():
    async with start(edit=lambda text: text.replace("price: {input: 1, output: 2}, ", "")) as rig:
        reply = await call(rig, "/v1/chat/completions", chat())
        record = await rig.record(reply.header("x-turnout-request-id"))
    assert (reply.header("x-turnout-cost-usd"), reply.header("x-turnout-cost-state")) == (None, "unknown")
    assert (record.outcome.cost_nusd, record.outcome.cost_state) == (None, "unknown")


async def test_a_fallback_is_told(rig):
    rig.behave("oai-one", Fault(kind="rate_limit"))
    reply = await call(rig, "/v1/chat/completions", chat("turnout/assistant"))
    assert (reply.status, reply.header("x-turnout-model")) == (200, "ant/one")
    assert (reply.header("x-turnout-attempts"), reply.header("x-turnout-fallbacks")) == ("2", "1")
    assert reply.header("x-turnout-reason") == "fallback_rate_limited"
    assert reply.header("x-turnout-route") == "assistant"
    assert reply.header("x-turnout-strategy") == "priority"


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", chat(stream=True)), ("/v1/messages", message("oai/one"))]
)
async def test_a_failure_after_the_choice_says_whom_it_asked(rig, path, body):
    rig.behave("oai-one", Fault(kind="server_error"))
    reply = await call(rig, path, body, "x-turnout-retries: 0")
    extra = {"request-id"} if path == "/v1/messages" else set()
    assert ours(reply) == ALWAYS | CHOSEN | {"x-turnout-error-class", "x-should-retry"} | extra
    assert reply.header("x-turnout-model") == "oai/one"
    assert reply.header("x-turnout-error-class") == "provider_error"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat("nope")),
        ("/v1/chat/completions", b"{"),
        ("/v1/messages", message("nope")),
        ("/v1/embeddings", {"model": "nope", "input": "x"}),
        ("/v1beta/models/nope:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
        ("/v1/nothing", {}),
        ("/anthropic/v1/nothing", {}),
    ],
)
async def test_a_failure_before_the_choice_says_its_class(rig, path, body):
    reply = await call(rig, path, body)
    extra = {"request-id"} if "messages" in path or "anthropic" in path else set()
    assert ours(reply) == ALWAYS | {"x-turnout-error-class", "x-should-retry"} | extra
    assert (reply.status // 100, reply.header("x-should-retry")) == (4, "false")


async def test_other_documents_name_their_request_too(rig):
    for path in ("/v1/models", "/v1/models/oai/one", "/livez", "/readyz", "/", "/api/hello"):
        reply = await call(rig, path, method="GET")
        assert (reply.status, ours(reply)) == (200, ALWAYS)


@pytest.mark.parametrize(
    ("kind", "retry"),
    [
        ("overloaded", "true"),
        ("server_error", "true"),
        ("auth", "false"),
        ("context", "false"),
        ("model_gone", "false"),
    ],
)
async def test_whether_to_come_back_is_told_alike_in_header_and_body(rig, kind, retry):
    rig.behave("oai-one", Fault(kind=kind))
    reply = await call(rig, "/v1/chat/completions", chat(), "x-turnout-retries: 0")
    assert reply.header("x-should-retry") == retry
    assert reply.json()["error"]["turnout"]["retryable"] is (retry == "true")


async def test_names_of_dropped_fields_cannot_break_a_header(rig):
    evil = {
        "a\r\nset-cookie: x=1": 1,
        "ünï": 2,
        "fine": 3,
        "x" * 500: 4,
        **{f"f{at}": at for at in range(100)},
    }
    reply = await call(rig, "/v1/chat/completions", chat("ant/one", **evil))
    dropped = reply.header("x-turnout-dropped-params").split(",")
    assert (reply.status, reply.header("set-cookie"), dropped[0], len(dropped)) == (200, None, "fine", 32)


# Requests


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("x-turnout-retries: 6", "invalid_request"),
        ("x-turnout-retries: -1", "invalid_request"),
        ("x-turnout-retries: many", "invalid_request"),
        ("x-turnout-timeout-ms: soon", "invalid_request"),
        ("x-turnout-timeout-ms: 0", "invalid_request"),
        ("x-turnout-timeout-ms: nan", "invalid_request"),
        ("x-turnout-ttft-timeout-ms: -5", "invalid_request"),
        ("x-turnout-idle-timeout-ms: inf", "invalid_request"),
        ("x-turnout-max-cost-usd: free", "invalid_request"),
        ("x-turnout-min-quality: 1.5", "invalid_request"),
        ("x-turnout-explain: all", "invalid_request"),
        ("x-turnout-cache: never", "invalid_request"),
        ("x-turnout-cache-ttl-s: -1", "invalid_request"),
        ("x-turnout-log-content: on", "invalid_request"),
        ("x-turnout-metadata: [1]", "invalid_request"),
        ('x-turnout-metadata: {"a": {"b": 1}}', "invalid_request"),
        ("x-turnout-tags: " + ",".join("abcdefghijklmnopqrstuvwxyz"), "invalid_request"),
        ("x-turnout-session: " + "s" * 257, "invalid_request"),
        ("x-turnout-new-thing: 1", "invalid_request"),
        ("x-turnout-provider-key: oai sk-x", "invalid_request"),
        ("x-request-id: with space", "invalid_request"),
        ("x-request-id: " + "r" * 65, "invalid_request"),
        ("idempotency-key: " + "k" * 257, "invalid_request"),
        ("x-litellm-timeout: -1", "invalid_request"),
        ("x-litellm-num-retries: 9", "invalid_request"),
        ("x-portkey-metadata: nope", "invalid_request"),
        ("x-portkey-custom-host: http://evil.test", "forbidden_header"),
        ("x-portkey-forward-headers: authorization", "forbidden_header"),
        ("x-bf-eh-anything: 1", "forbidden_header"),
        ("helicone-target-url: http://evil.test", "forbidden_header"),
        ('x-portkey-config: {"provider": "x"}', "forbidden_header"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_bad_and_refused_headers_are_told_by_name(rig, path, header, code):
    name = header.partition(":")[0]
    body = chat() if "chat" in path else message()
    reply = await call(rig, path, body, header)
    error = reply.json()["error"]
    assert (reply.status, error["type"]) == (400, "invalid_request_error")
    assert f"header {name}" in error["message"]
    if "chat" in path:
        assert (error["code"], error["param"]) == (code, name)
    assert rig.emulator.served == {}


@pytest.mark.parametrize(
    "name",
    ["authorization", "x-api-key", "content-type", "x-turnout-route", "x-turnout-tags", "x-request-id"],
)
async def test_a_single_header_sent_twice_is_refused(rig, name):
    value = "application/json" if name == "content-type" else "assistant"
    doubled = [f"{name}: {value}", f"{name}: {value}"][: 1 if name == "content-type" else 2]
    reply = await call(rig, "/v1/chat/completions", chat(), *doubled)
    assert (reply.status, reply.json()["error"]["message"]) == (400, f"header {name} was sent twice")


async def test_names_with_underscores_cannot_stand_in(rig):
    reply = await call(rig, "/v1/chat/completions", chat(), "x_turnout_retries: 99", "x_turnout_route: nope")
    assert reply.status == 200


async def test_internal_headers_of_ours_are_nobody_elses(rig):
    reply = await call(rig, "/v1/chat/completions", chat(), "x-turnout-internal-anything: 1")
    assert reply.status == 200


RECORDED = [
    ("x-turnout-tags: a, b", "x-litellm-tags: a,b", {"tags": ("a", "b")}),
    (
        'x-turnout-metadata: {"k": "v", "n": 1}',
        'x-portkey-metadata: {"k": "v", "n": 1}',
        {"metadata": {"k": "v", "n": "1"}},
    ),
    ('x-turnout-metadata: {"k": "v"}', 'cf-aig-metadata: {"k": "v"}', {"metadata": {"k": "v"}}),
    ('x-turnout-metadata: {"k": "v"}', 'x-litellm-spend-logs-metadata: {"k": "v"}', {"metadata": {"k": "v"}}),
    ('x-turnout-metadata: {"team": "x"}', "helicone-property-team: x", {"metadata": {"team": "x"}}),
    ('x-turnout-metadata: {"app": "shop"}', "x-title: shop", {"metadata": {"app": "shop"}}),
    ("x-request-id: mine-1", "x-request-id: mine-1", {"client_request_id": "mine-1"}),
    (
        f"traceparent: 00-{'a' * 32}-{'b' * 16}-01",
        f"cf-aig-otel-trace-id: {'a' * 32}\r\ncf-aig-otel-parent-span-id: {'b' * 16}",
        {"trace_id": "a" * 32},
    ),
]


@pytest.mark.parametrize(("header", "peer", "fields"), RECORDED)
async def test_peers_headers_mean_what_ours_mean(rig, header, peer, fields):
    for each in (header, peer):
        reply = await call(rig, "/v1/chat/completions", chat(), each)
        record = await rig.record(reply.header("x-turnout-request-id"))
        assert {name: getattr(record, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("ours_", "peer", "word"),
    [
        ("x-turnout-timeout-ms: 60", "x-litellm-timeout: 0.06", "timeout_total"),
        ("x-turnout-timeout-ms: 60", "x-portkey-request-timeout: 60", "timeout_total"),
        ("x-turnout-ttft-timeout-ms: 60", "x-litellm-stream-timeout: 0.06", "timeout_ttft"),
        ("x-turnout-ttft-timeout-ms: 60", "cf-aig-request-timeout: 60", "timeout_ttft"),
    ],
)
async def test_time_limits_of_peers_are_kept_in_their_units(rig, ours_, peer, word):
    rig.behave("oai-one", Fault(kind="hang"))
    for header in (ours_, peer):
        reply = await call(rig, "/v1/chat/completions", chat(), header)
        assert (reply.status, reply.header("x-turnout-error-class")) == (504, word)


@pytest.mark.parametrize(
    "header", ["x-turnout-retries: 0", "x-litellm-num-retries: 0", "cf-aig-max-attempts: 0"]
)
async def test_retries_can_be_turned_off(rig, header):
    rig.behave("oai-one", Fault(kind="overloaded", first=1))
    reply = await call(rig, "/v1/chat/completions", chat(), header)
    assert (reply.status, reply.header("x-turnout-attempts")) == (503, "1")


async def test_a_failure_that_passes_is_retried_unseen(rig):
    rig.behave("oai-one", Fault(kind="overloaded", first=1))
    reply = await call(rig, "/v1/chat/completions", chat())
    assert (reply.status, reply.header("x-turnout-attempts"), reply.header("x-turnout-fallbacks")) == (
        200,
        "2",
        "0",
    )


@pytest.mark.parametrize("order", [("ours", "peer"), ("peer", "ours")])
async def test_our_header_wins_over_a_peers_in_any_order(rig, order):
    headers = {"ours": "x-turnout-tags: ours", "peer": "x-litellm-tags: theirs"}
    reply = await call(rig, "/v1/chat/completions", chat(), *(headers[each] for each in order))
    assert (await rig.record(reply.header("x-turnout-request-id"))).tags == ("ours",)


@pytest.mark.parametrize(
    ("body", "header", "tags"),
    [
        ({"turnout": {"tags": ["body"]}}, "x-turnout-tags: header", ("body",)),
        ({"metadata": {"tags": ["peer"]}}, "x-turnout-tags: header", ("header",)),
        ({"metadata": {"tags": ["peer"]}}, "x-litellm-tags: header", ("peer",)),
        (
            {"turnout": {"tags": ["body"]}, "metadata": {"tags": ["peer"]}},
            "x-litellm-tags: header",
            ("body",),
        ),
        ({}, "x-turnout-tags: header", ("header",)),
    ],
)
async def test_the_turnout_object_wins_over_headers_and_both_over_peers_fields(rig, body, header, tags):
    reply = await call(rig, "/v1/chat/completions", chat(**body), header)
    assert (await rig.record(reply.header("x-turnout-request-id"))).tags == tags


async def test_a_header_of_ours_wins_over_a_peers_time_limit_in_the_body(rig):
    rig.behave("oai-one", ttft_s=0.15)
    reply = await call(rig, "/v1/chat/completions", chat(timeout=0.05), "x-turnout-timeout-ms: 5000")
    assert reply.status == 200
    late = await call(rig, "/v1/chat/completions", chat(timeout=0.05))
    assert late.status == 504


async def test_content_is_kept_only_where_nobody_forbids_it():
    async with start(routes="  - {name: kept, models: [oai/one], store_content: true}") as rig:
        kept = {}
        for header in (
            "x-plain: 1",
            "x-turnout-log-content: off",
            "x-litellm-enable-message-redaction: true",
        ):
            reply = await call(rig, "/v1/chat/completions", chat("turnout/kept"), header)
            record = await rig.record(reply.header("x-turnout-request-id"))
            kept[header.partition(":")[0]] = record.content is not None
        loosened = "x-litellm-enable-message-redaction: true", "cf-aig-collect-log-payload: true"
        reply = await call(rig, "/v1/chat/completions", chat("turnout/kept"), *loosened)
        kept["both"] = (await rig.record(reply.header("x-turnout-request-id"))).content is not None
    assert kept == {
        "x-plain": True,
        "x-turnout-log-content": False,
        "x-litellm-enable-message-redaction": False,
        "both": False,
    }


async def test_a_request_that_came_by_here_before_is_a_loop(rig):
    hop = rig.gateway._instance
    own = await call(rig, "/v1/chat/completions", chat(), f"x-turnout-hop: aa, {hop}")
    long = await call(rig, "/v1/chat/completions", chat(), "x-turnout-hop: a,b,c,d")
    fine = await call(rig, "/v1/chat/completions", chat(), "x-turnout-hop: a,b,c")
    assert [reply.status for reply in (own, long, fine)] == [508, 508, 200]
    assert own.header("x-turnout-error-class") == "loop_detected"


async def test_two_gateways_in_front_of_each_other_see_the_loop():
    def behind(base):
        provider = f"oai: {{codec: openai_chat, base_url: '{base}/v1', auth: none}}"
        model = "{model: oai/m, upstream_model: oai/m}"
        return f"max_retries: 0\njournal: {{enabled: false}}\nproviders: {{{provider}}}\nmodels: [{model}]"

    async with gateway(behind("http://127.0.0.1:1")) as one, gateway(behind(one.url)) as two:
        one.built.reload(one.parsed(behind(two.url)))
        reply = await call(one, "/v1/chat/completions", chat("oai/m"))
        n_calls = len(await one.records()), len(await two.records())
    assert (reply.status, n_calls) == (502, (1, 1))


# Keys


KEYS = (
    "keys: [{name: app, secret: tn_app_0123456789abcdef}, "
    "{name: narrow, secret: tn_narrow_0123456789abcdef, allow: [ant], default_route: mine}]"
)
MINE = "  - {name: mine, models: [ant/one]}"


@pytest.mark.parametrize(
    "header",
    [
        "authorization: Bearer tn_app_0123456789abcdef",
        "authorization: bearer tn_app_0123456789abcdef",
        "x-api-key: tn_app_0123456789abcdef",
        "x-goog-api-key: tn_app_0123456789abcdef",
        "api-key: tn_app_0123456789abcdef",
        "x-turnout-key: tn_app_0123456789abcdef",
        "x-api-key: tn_app_0123456789abcdef\r\nauthorization: Bearer tn_app_0123456789abcdef",
    ],
)
async def test_a_key_opens_in_any_carrier(header):
    async with start(server=KEYS, routes=MINE) as rig:
        reply = await call(rig, "/v1/chat/completions", chat(), header)
        record = await rig.record(reply.header("x-turnout-request-id"))
    assert (reply.status, record.principal) == (200, "app")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/chat/completions", "POST"),
        ("/v1/messages", "POST"),
        ("/v1beta/models/oai/one:generateContent", "POST"),
        ("/v1/embeddings", "POST"),
        ("/v1/explain", "POST"),
        ("/v1/recommend", "POST"),
        ("/v1/models", "GET"),
        ("/v1/models/oai/one", "GET"),
        ("/openai/v1/chat/completions", "POST"),
        ("//v1/chat/completions", "POST"),
        ("/v1/../v1/chat/completions", "POST"),
        ("/V1/chat/completions", "POST"),
        ("/v1/chat/completions/", "POST"),
        ("/v1/chat%2fcompletions", "POST"),
    ],
)
async def test_nothing_is_served_without_a_key(path, method):
    async with start(server=KEYS, routes=MINE) as rig:
        body = chat() if method == "POST" else None
        replies = [
            await call(rig, path, body, *headers, method=method)
            for headers in ((), ("authorization: Bearer wrong",), ("x-api-key: ",), ("cookie: key=tn_app",))
        ]
    assert {reply.status for reply in replies} <= {401, 404}
    assert rig.emulator.served == {}
    if replies[0].status == 401:
        assert replies[0].header("x-turnout-error-class") == "unauthenticated"


async def test_the_door_speaks_the_dialect_of_its_path():
    async with start(server=KEYS, routes=MINE) as rig:
        chatted = await call(rig, "/v1/chat/completions", chat())
        messaged = await call(rig, "/v1/messages", message())
        generated = await call(rig, "/v1beta/models/gem/one:generateContent", {"contents": []})
        listed = await call(rig, "/v1/models", None, "anthropic-version: 2023-06-01", method="GET")
    assert chatted.json()["error"]["code"] == "invalid_api_key"
    assert messaged.json()["error"]["type"] == listed.json()["error"]["type"] == "authentication_error"
    assert generated.json()["error"]["status"] == "UNAUTHENTICATED"


async def test_credentials_that_differ_are_a_conflict():
    async with start(server=KEYS, routes=MINE) as rig:
        headers = ("authorization: Bearer tn_app_0123456789abcdef", "x-api-key: tn_narrow_0123456789abcdef")
        reply = await call(rig, "/v1/chat/completions", chat(), *headers)
    assert (reply.status, reply.json()["error"]["code"]) == (400, "conflicting_credentials")


@pytest.mark.parametrize("query", ["?key=tn_app_0123456789abcdef", "?beta=true&key=x"])
async def test_a_key_in_the_url_is_refused(query):
    async with start(server=KEYS, routes=MINE) as rig:
        key = "x-api-key: tn_app_0123456789abcdef"
        reply = await call(rig, f"/v1/chat/completions{query}", chat(), key)
        fine = await call(rig, "/v1/chat/completions?beta=true&api-version=1", chat(), key)
    assert (reply.status, fine.status) == (400, 200)
    assert "tn_app" not in reply.body.decode()


async def test_a_key_sees_and_gets_only_what_it_may_use():
    async with start(server=KEYS, routes=MINE) as rig:
        key = "x-api-key: tn_narrow_0123456789abcdef"
        listed = await call(rig, "/v1/models", None, key, method="GET")
        hidden = await call(rig, "/v1/models/oai/one", None, key, method="GET")
        foreign = await call(rig, "/v1/chat/completions", chat("oai/one"), key)
        route = await call(rig, "/v1/chat/completions", chat("turnout/assistant"), key)
        auto = await call(rig, "/v1/chat/completions", chat("auto"), key)
        theirs = await call(rig, "/v1/chat/completions", chat("auto"), "x-api-key: tn_app_0123456789abcdef")
    assert [item["id"] for item in listed.json()["data"]] == [
        *("ant/one", "ant/two", "fast", "helper", "turnout/assistant", "turnout/mine")
    ]
    assert (hidden.status, foreign.status) == (404, 403)
    assert (route.status, route.header("x-turnout-model")) == (200, "ant/one")
    assert auto.header("x-turnout-route") == "mine"
    assert theirs.header("x-turnout-route") == "assistant"


async def test_a_filter_list_of_a_route_does_not_open_it_to_other_keys():
    routes = MINE + "\n  - {name: bare, models: [oai/one], filter: [{type: capable}]}"
    async with start(server=KEYS, routes=routes) as rig:
        reply = await call(
            rig, "/v1/chat/completions", chat("turnout/bare"), "x-api-key: tn_narrow_0123456789abcdef"
        )
    assert reply.status == 403


async def test_guessing_is_slowed_down_and_a_valid_key_is_not():
    async with start(server=KEYS, routes=MINE) as rig:
        statuses = [
            (await call(rig, "/v1/models", None, f"x-api-key: guess{n}", method="GET")) for n in range(22)
        ]
        valid = await call(rig, "/v1/models", None, "x-api-key: tn_app_0123456789abcdef", method="GET")
    assert [reply.status for reply in statuses] == [401] * 20 + [429] * 2
    assert 0 < int(statuses[-1].header("retry-after")) <= 60
    assert valid.status == 200


async def test_a_key_may_have_so_many_streams_open():
    from tests.server.kit import request, wire

    async with start(server=KEYS + ", max_streams_per_key: 1", routes=MINE) as rig:
        rig.behave("oai-one", tokens_per_s=10)
        key = "x-api-key: tn_app_0123456789abcdef"
        async with wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat(stream=True), key))
            await connection.head()
            second = await call(rig, "/v1/chat/completions", chat(stream=True), key)
            whole = await call(rig, "/v1/chat/completions", chat("ant/one"), key)
        assert (second.status, whole.status) == (503, 200)
        assert second.header("x-turnout-error-class") == "gateway_overloaded"
