"""`turnout serve` as people run it: a process of its own, signals, reload, workers, the journal it leaves."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.run import COMMAND, QUIET, turnout
from tests.lived import lived
from turnout.stores.base import Query
from turnout.stores.sqlite import SqliteRows
from turnout.testing.emulator import Behaviour, Emulator, dialects, serving

BODY = {"model": "turnout/main", "messages": [{"role": "user", "content": "Hello"}]}
SOON_S = 60.0
KEYS = "keys: [{name: a, secret: tn_0123456789abcdef}]"


def config_text(upstream, *, server="", extra="", models="one, two"):
    names = ", ".join(f"up/{name.strip()}" for name in models.split(","))
    rows = "".join(
        f"  - {{model: up/{name.strip()}, price: {{input: 1, output: 2}}}}\n" for name in models.split(",")
    )
    return f"""
server: {{port: 0{", " + server if server else ""}}}
providers:
  up: {{base_url: "{upstream}/v1", secret: sk-upstream-canary}}
models:
{rows}
routes: [{{name: main, models: [{names}]}}]
{extra}
"""


class Served:
    """A running `turnout serve`."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        self.lines: list[str] = []
        self.url = self.metrics = ""

    async def line(self, pattern):
        """Read standard error until a line matches."""
        async with asyncio.timeout(SOON_S):
            for said in self.lines:
                if found := re.search(pattern, said):
                    return found
            while raw := await self.process.stderr.readline():
                self.lines.append(raw.decode().rstrip("\n"))
                if found := re.search(pattern, self.lines[-1]):
                    return found
        raise AssertionError(f"it ended without {pattern!r}: {self.lines}")

    async def rest(self):
        """Read standard error to its end; return the exit status."""
        async with asyncio.timeout(SOON_S):
            self.lines += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()

    def signal(self, sig):
        self.process.send_signal(sig)

    def records(self):
        rows = SqliteRows(self.folder / ".turnout" / "journal.db")
        try:
            return rows.query(Query(order="oldest", limit=100_000)).records
        finally:
            rows.close()


@asynccontextmanager
async def serve(folder, *arguments, env=None):
    """Start `turnout serve` and wait until it says where."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "serve",
        *arguments,
        cwd=folder,
        env={**QUIET, **(env or {})},
        stderr=asyncio.subprocess.PIPE,
    )
    served = Served(process, folder)
    try:
        served.url = (await served.line(r"serving on (http://\S+)/v1$"))[1]
        if "--metrics-port" in arguments:
            served.metrics = (await served.line(r"metrics on (http://\S+)$"))[1]
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # A worker that outlives a killed process holds the pipe open: only this closes our end of it.
        process._transport.close()
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def emulator():
    return Emulator(dialects())


@pytest_asyncio.fixture
async def upstream(emulator):
    async with serving(emulator) as url:
        yield url


@pytest_asyncio.fixture
async def http():
    async with httpx.AsyncClient(timeout=10) as client:
        yield client


async def until(claim):
    """Wait until something is so: there is no event to wait for in another process."""
    async with asyncio.timeout(SOON_S):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ask(http, served, **fields):
    return await http.post(f"{served.url}/v1/chat/completions", json={**BODY, **fields})


async def test_the_first_answer_comes_soon_after_the_start_and_the_end_is_clean(tmp_path, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    async with serve(tmp_path) as served:
        reply = await ask(http, served)
        ready = await http.get(f"{served.url}/readyz")
        served.signal(signal.SIGTERM)
        status = await served.rest()
    assert (reply.status_code, reply.headers["x-turnout-model"]) == (200, "up/one")
    assert ready.json()["config_version"] == 1
    assert status == 0
    assert served.lines == [f"turnout: serving on {served.url}/v1"]
    assert [record.request_id for record in served.records()] == [reply.headers["x-turnout-request-id"]]


async def test_an_interrupt_ends_it_as_cleanly(tmp_path, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    async with serve(tmp_path) as served:
        await ask(http, served)
        served.signal(signal.SIGINT)
        assert await served.rest() == 0
    assert len(served.records()) == 1


# Drain


async def test_sigterm_lets_streams_end_and_refuses_new_connections(tmp_path, emulator, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    emulator.add("one", behaviour=Behaviour(tokens_per_s=12))
    async with serve(tmp_path) as served:
        request = http.build_request(
            "POST", f"{served.url}/v1/chat/completions", json={**BODY, "stream": True}
        )
        stream = await http.send(request, stream=True)
        chunks = stream.aiter_raw()
        first = await anext(chunks)
        served.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{served.url}/livez")
        body = first + b"".join([chunk async for chunk in chunks])
        status = await served.rest()
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"error"' not in body
    assert status == 0
    (record,) = served.records()
    assert (record.outcome.error, record.outcome.finish) == (None, "stop")


async def test_what_outlives_the_grace_period_is_told_so_and_settled(tmp_path, emulator, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, server="grace_s: 0.3"))
    emulator.add("one", behaviour=Behaviour(tokens_per_s=4))
    emulator.add("two", behaviour=Behaviour(ttft_s=30))
    async with serve(tmp_path) as served:
        request = http.build_request(
            "POST", f"{served.url}/v1/chat/completions", json={**BODY, "stream": True}
        )
        stream = await http.send(request, stream=True)
        chunks = stream.aiter_raw()
        first = await anext(chunks)
        waiting = asyncio.create_task(ask(http, served, model="up/two"))
        await until(lambda: "two" in emulator.served)
        served.signal(signal.SIGTERM)
        body = first + b"".join([chunk async for chunk in chunks])
        reply = await waiting
        status = await served.rest()
    assert b"gateway_overloaded" in body
    assert body.endswith(b"data: [DONE]\n\n")
    assert (reply.status_code, reply.json()["error"]["turnout"]["class"]) == (503, "gateway_overloaded")
    assert status == 0
    assert {record.outcome.error for record in served.records()} == {"gateway_overloaded"}
    assert len(served.records()) == 2
    assert emulator.served["one"].cancelled == emulator.served["two"].cancelled == 1


async def test_a_second_signal_ends_the_grace_period(tmp_path, emulator, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    emulator.add("one", behaviour=Behaviour(ttft_s=60))
    async with serve(tmp_path) as served:
        waiting = asyncio.create_task(ask(http, served))
        await until(lambda: "one" in emulator.served)
        served.signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        served.signal(signal.SIGTERM)
        status, slept_s = await lived(served.rest())
        reply = await waiting
    assert (status, reply.status_code) == (0, 503)
    assert slept_s < 5
    assert [record.outcome.error for record in served.records()] == ["gateway_overloaded"]


# Reload


async def newer(http, served, than):
    """Wait until a newer version is in force; return it. A signal and the file may each bring one."""
    async with asyncio.timeout(SOON_S):
        while True:
            found = (await http.get(f"{served.url}/readyz")).json()["config_version"]
            if found > than:
                return found
            await asyncio.sleep(0.02)


async def test_a_signal_and_a_changed_file_put_another_configuration_in_force(
    tmp_path, emulator, upstream, http
):
    path = tmp_path / "turnout.yaml"
    path.write_text(config_text(upstream))
    emulator.add("one", behaviour=Behaviour(ttft_s=1.0))
    async with serve(tmp_path, "--port", "0") as served:
        before = asyncio.create_task(ask(http, served))
        await until(lambda: "one" in emulator.served)
        path.write_text(config_text(upstream, models="three"))
        served.signal(signal.SIGHUP)
        second = await newer(http, served, 1)
        during = await ask(http, served)
        gone = await ask(http, served, model="up/one")
        path.write_text(config_text(upstream, models="four"))
        while (after := await ask(http, served)).headers["x-turnout-model"] != "up/four":
            second = await newer(http, served, second)
        old = await before
        served.signal(signal.SIGTERM)
        assert await served.rest() == 0
    assert (old.status_code, old.headers["x-turnout-model"]) == (200, "up/one")
    assert during.headers["x-turnout-model"] == "up/three"
    assert after.headers["x-turnout-model"] == "up/four"
    assert gone.status_code == 404
    told = [line for line in served.lines if "version" in line]
    assert told == [
        f"INFO turnout.server: configuration version {n} is in force" for n in range(2, 2 + len(told))
    ]
    assert len({record.decision.policy_version for record in served.records() if record.decision}) == 3


async def test_a_bad_file_is_refused_and_the_old_one_kept(tmp_path, upstream, http):
    path = tmp_path / "turnout.yaml"
    good = config_text(upstream)
    path.write_text(good)
    async with serve(tmp_path) as served:
        path.write_text(good.replace("models: [up/one, up/two]", "models: [up/one, up/two], modls: 1"))
        await served.line("routes")
        reply = await ask(http, served)
        ready = (await http.get(f"{served.url}/readyz")).json()
        path.unlink()
        await served.line("no such file")
        still = await ask(http, served)
        path.write_text(good)
        await newer(http, served, 1)
        served.signal(signal.SIGTERM)
        assert await served.rest() == 0
    assert (reply.status_code, still.status_code, ready["config_version"]) == (200, 200, 1)
    refused = [line.partition("in force: turnout.yaml: ")[2] for line in served.lines if "refused" in line]
    assert refused == [
        "routes[0].modls: unknown key; did you mean 'models'?",
        "no such file; `turnout check --example` prints one to start from",
    ]
    assert all(line.startswith("ERROR turnout.server: configuration refused") for line in served.lines[1:3])


async def test_a_reload_takes_keys_and_limits_and_says_what_waits_for_a_restart(tmp_path, upstream, http):
    path = tmp_path / "turnout.yaml"
    path.write_text(config_text(upstream))
    async with serve(tmp_path, "--log-level", "info") as served:
        path.write_text(config_text(upstream, server=f"{KEYS}, max_body_mib: 0.001, workers: 3"))
        served.signal(signal.SIGHUP)
        await served.line("version 2 is in force")
        locked = await ask(http, served)
        headers = {"authorization": "Bearer tn_0123456789abcdef"}
        opened = await http.post(f"{served.url}/v1/chat/completions", json=BODY, headers=headers)
        large = {**BODY, "messages": [{"role": "user", "content": "x" * 2000}]}
        refused = await http.post(f"{served.url}/v1/chat/completions", json=large, headers=headers)
        ready = (await http.get(f"{served.url}/readyz")).json()
        served.signal(signal.SIGTERM)
        await served.rest()
    assert (locked.status_code, opened.status_code, refused.status_code) == (401, 200, 413)
    assert ready == {"status": "ok"}
    later = "WARNING turnout.server: changed, but in force only after a restart: server.workers"
    assert {line for line in served.lines if "restart" in line} == {later}


async def test_a_reload_cannot_open_a_gateway_that_strangers_reach(tmp_path, upstream, http):
    path = tmp_path / "turnout.yaml"
    path.write_text(config_text(upstream, server=f"host: 0.0.0.0, behind_proxy: true, {KEYS}"))
    async with serve(tmp_path) as served:
        path.write_text(config_text(upstream, server="host: 127.0.0.1"))
        await served.line("configuration refused.*server.keys: 0.0.0.0 is not loopback")
        local = served.url.replace("0.0.0.0", "127.0.0.1")
        reply = await http.post(f"{local}/v1/chat/completions", json=BODY)
    assert reply.status_code == 401


async def test_a_hangup_without_a_file_changes_nothing(tmp_path, http):
    async with serve(tmp_path, "--port", "0", env={"OPENAI_API_KEY": "sk-x"}) as served:
        served.signal(signal.SIGHUP)
        await newer(http, served, 1)
        served.signal(signal.SIGTERM)
        assert await served.rest() == 0


# Start


async def test_a_taken_port_is_one_line(tmp_path, upstream):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = await asyncio.to_thread(turnout, "serve", "--port", port, cwd=tmp_path)
    line = f"turnout: server.port: 127.0.0.1:{port} cannot be bound: Address already in use; choose another "
    assert (result.returncode, result.stdout, result.stderr) == (2, "", line + "address or port\n")


@pytest.mark.parametrize(
    ("server", "arguments", "word"),
    [
        ("", ["--host", "0.0.0.0"], "server.keys"),
        ("host: '::'", [], "server.keys"),
        (KEYS, ["--host", "0.0.0.0"], "server.tls"),
        ("host: 192.0.2.1, behind_proxy: true", [], "server.keys"),
        (f"host: 192.0.2.1, behind_proxy: true, {KEYS}", [], "server.port"),
        (f"host: nowhere.invalid, behind_proxy: true, {KEYS}", [], "server.port"),
        ("keys: [{name: a, secret: short}]", [], "server.keys[0].secret"),
        ("tls: {cert: /nowhere, key: /nowhere}", [], "server.tls"),
        ("", ["--workers", "2"], ""),
    ],
)  # fmt: skip
def test_a_start_that_would_be_unsafe_or_cannot_be_is_refused_in_one_line(tmp_path, server, arguments, word):
    extra = "nope: 1" if not word else ""
    (tmp_path / "f.yaml").write_text(config_text("http://127.0.0.1:9", server=server, extra=extra))
    result = turnout("serve", "-c", "f.yaml", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_configuration_of_many_workers_is_told_once(tmp_path):
    (tmp_path / "f.yaml").write_text(config_text("http://127.0.0.1:9", extra="aliases: {a: b}"))
    result = turnout("serve", "-c", "f.yaml", "--workers", "3", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "aliases.a" in result.stderr


def test_a_gateway_in_front_of_itself_does_not_start(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "f.yaml").write_text(config_text(f"http://localhost:{port}"))
    result = turnout("serve", "-c", "f.yaml", "--port", port, cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "is this gateway's own; requests would loop" in result.stderr


def test_a_journal_that_cannot_be_kept_is_one_line(tmp_path):
    (tmp_path / "f.yaml").write_text(
        config_text("http://127.0.0.1:9", extra="journal: {path: /proc/nowhere/journal.db}")
    )
    result = turnout("serve", "-c", "f.yaml", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith("turnout: journal: ")


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate, in cert.pem and key.pem."""
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    made = subprocess.run([*make, *files], cwd=tmp_path, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no openssl command to make a certificate with")


async def test_tls_is_served_with_a_certificate(tmp_path, upstream, certificate):
    tls = "tls: {cert: cert.pem, key: key.pem}"
    (tmp_path / "turnout.yaml").write_text(config_text(upstream, server=tls))
    async with serve(tmp_path) as served, httpx.AsyncClient(verify=False) as http:
        url = served.url.replace("http://", "https://")
        reply = await http.post(f"{url}/v1/chat/completions", json=BODY)
    assert reply.status_code == 200


# Workers


def children(pid):
    """Return the process ids of a process's children."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in found.stdout.split()]


def total(families, name, **labels):
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )


async def scrape(http, served):
    reply = await http.get(served.metrics)
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return list(text_string_to_metric_families(reply.text))


async def test_workers_share_a_port_replace_each_other_and_sum_their_metrics(tmp_path, upstream):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    async with serve(tmp_path, "--workers", "2", "--metrics-port", "0") as served:

        async def fresh(n):
            for _ in range(n):
                async with httpx.AsyncClient(timeout=10) as each:
                    assert (await ask(each, served)).status_code == 200

        await fresh(1)
        first = set(children(served.process.pid))
        await fresh(23)
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        await served.line(rf"worker {victim} ended with -9")
        await until(lambda: len(set(children(served.process.pid)) - {victim}) == 2)
        now = set(children(served.process.pid))
        await fresh(16)
        async with httpx.AsyncClient(timeout=10) as each:
            families = await scrape(each, served)
        served.signal(signal.SIGTERM)
        status = await served.rest()
    assert len(first) == 2
    assert len(now - first) == 1
    assert total(families, "turnout_requests_total", outcome="ok") == 40
    assert status == 0
    records = served.records()
    assert len(records) == len({record.request_id for record in records}) == 40
    with socket.socket() as probe:
        host, _, port = served.url.removeprefix("http://").partition(":")
        assert probe.connect_ex((host, int(port))) != 0


async def test_a_worker_whose_supervisor_died_drains(tmp_path, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    async with serve(tmp_path, "--workers", "2") as served:
        await ask(http, served)
        workers = children(served.process.pid)
        served.process.kill()
        await until(lambda: not any(_alive(pid) for pid in workers))
    assert len(workers) == 2


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_a_hangup_reaches_every_worker(tmp_path, upstream):
    path = tmp_path / "turnout.yaml"
    path.write_text(config_text(upstream))
    async with serve(tmp_path, "--workers", "2") as served:
        path.write_text(config_text(upstream, models="three"))
        served.signal(signal.SIGHUP)
        await all_serve(served, "up/three")
        victim = children(served.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: len(set(children(served.process.pid)) - {victim}) == 2)
        await all_serve(served, "up/three")


async def all_serve(served, model):
    """Wait until a dozen fresh connections in a row are served by a model: until no worker serves another."""
    async with asyncio.timeout(SOON_S):
        n_in_a_row = 0
        while n_in_a_row < 12:
            async with httpx.AsyncClient() as each:
                reply = await ask(each, served)
            n_in_a_row = n_in_a_row + 1 if reply.headers["x-turnout-model"] == model else 0


# Metrics


async def test_metrics_and_administration_have_listeners_of_their_own_and_ask_who_it_is(
    tmp_path, upstream, http
):
    scrape = "{name: s, secret: tn_scrape0123456789, role: scrape}"
    server = f"host: 0.0.0.0, behind_proxy: true, {KEYS.replace('[', f'[{scrape}, ')}"
    text = config_text(upstream, server=server)
    (tmp_path / "turnout.yaml").write_text(text + "admin: {listen: {port: 0}}\n")
    async with serve(tmp_path, "--metrics-port", "0") as served:
        base = served.metrics.replace("0.0.0.0", "127.0.0.1").removesuffix("/metrics")
        call = {"authorization": "Bearer tn_0123456789abcdef"}
        scrape = {"authorization": "Bearer tn_scrape0123456789"}
        found = {
            path: [(await http.get(base + path, headers=each)).status_code for each in ({}, call, scrape)]
            for path in ("/livez", "/readyz", "/metrics")
        }
        assert found == {"/livez": [200, 200, 200], "/readyz": [401, 401, 200], "/metrics": [401, 401, 200]}
        data = served.url.replace("0.0.0.0", "127.0.0.1")
        apart = (await served.line(r"administration on (http://127\S+)/$"))[1]
        found = {
            path: [(await http.get(base + path, headers=call)).status_code for base in (data, apart)]
            for path in ("/livez", "/v1/models", "/admin/v1/keys", "/auth/me")
        }
        said = (await http.get(f"{data}/admin/v1/keys", headers=call)).json()["error"]["message"]
    assert said == "no such endpoint: GET /admin/v1/keys"
    assert found == {
        "/livez": [200, 200],
        "/v1/models": [200, 404],
        "/admin/v1/keys": [404, 403],  # not there, and not for a key that calls models
        "/auth/me": [404, 401],
    }


async def test_metrics_parse_and_agree_with_the_journal(tmp_path, emulator, upstream, http):
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    emulator.add("three")
    async with serve(tmp_path, "--metrics-port", "0") as served:
        for n in range(5):
            await ask(http, served, messages=[{"role": "user", "content": "word " * n + "x"}])
            await ask(http, served, stream=True)
        await ask(http, served, model="nope")
        from turnout.testing.emulator import Fault

        emulator.add("one", behaviour=Behaviour(faults=(Fault(kind="rate_limit"),)))
        fallback = await ask(http, served)
        families = await scrape(http, served)
        live = [await http.get(served.metrics.replace("/metrics", path)) for path in ("/livez", "/readyz")]
        missing = await http.get(served.metrics.replace("/metrics", "/v1/models"))
        served.signal(signal.SIGTERM)
        await served.rest()
    records = served.records()
    assert fallback.headers["x-turnout-model"] == "up/two"
    assert len(records) == 12
    for model in ("up/one", "up/two"):
        mine = [record.outcome for record in records if record.outcome.model == model]
        labels = {"model": model}
        assert total(families, "turnout_requests_total", **labels) == len(mine)
        assert total(families, "turnout_tokens_total", direction="input", **labels) == sum(
            o.usage.n_input for o in mine
        )
        assert total(families, "turnout_tokens_total", direction="output", **labels) == sum(
            o.usage.n_output for o in mine
        )
        assert total(families, "turnout_cost_usd_total", **labels) == pytest.approx(
            sum(o.cost_nusd for o in mine) / 1e9
        )
        assert total(families, "turnout_request_seconds_count", **labels) == len(mine)
    assert total(families, "turnout_requests_total", outcome="model_not_found") == 1
    assert total(families, "turnout_fallbacks_total") == 1
    assert total(families, "turnout_in_flight") == 0
    assert total(families, "turnout_open_requests") == 0
    assert [reply.status_code for reply in live] == [200, 200]
    assert live[1].json()["config_version"] == 1
    assert missing.status_code == 404
    values = {value for family in families for sample in family.samples for value in sample.labels.values()}
    assert not any("nope" in value or "req_" in value for value in values)


# The journal of a process that dies


async def test_kill_under_load_loses_no_answered_request(tmp_path, upstream):
    """Every request whose answer was read to its end is in the journal after a restart."""
    (tmp_path / "turnout.yaml").write_text(config_text(upstream))
    answered: list[str] = []
    async with serve(tmp_path) as served:

        async def load(http, stream):
            while True:
                reply = await ask(http, served, stream=stream)
                if reply.status_code == 200 and (not stream or reply.text.endswith("[DONE]\n\n")):
                    answered.append(reply.headers["x-turnout-request-id"])

        async with httpx.AsyncClient(timeout=10) as http:
            tasks = [asyncio.create_task(load(http, stream)) for stream in (True, False) * 4]
            await until(lambda: len(answered) >= 300)
            served.process.kill()
            await served.process.wait()
            failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(failure, httpx.HTTPError) for failure in failures)
    async with serve(tmp_path) as served:
        served.signal(signal.SIGTERM)
        assert await served.rest() == 0
    kept = {record.request_id: record for record in served.records()}
    assert set(answered) <= set(kept)
    assert len(answered) >= 300
    assert {kept[each].outcome.error for each in answered} == {None}
    told = turnout("journal", "show", answered[-1], "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["request_id"] == answered[-1]
