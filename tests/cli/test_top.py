"""`turnout top`: one frame in a pipe, and a screen that listens to keys."""

import asyncio
import io
import os
import pty
import re
import select
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from rich.console import Console

from tests.server.admin.kit import desked
from turnout.cli.top import top
from turnout.cli.top_frame import SORTS, WIDE, Deployment, Frame, Latency, Seen, Used, drawn, ordered
from turnout.cli.top_source import Gateway, TopError
from turnout.stores.base import encode
from turnout.stores.sqlite import SqliteRows
from turnout.testing.store import example_record

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "journal.db"
    rows = SqliteRows(path)
    now = datetime.now(UTC)
    found = [example_record(n, error="timeout_ttft" if n == 2 else None) for n in range(5)]
    rows.insert([encode(replace(each, at=now)) for each in found])
    rows.close()
    return path


def lines(text):
    return [re.sub(r"\s{2,}", "  ", line).strip() for line in text.splitlines()]


def test_a_pipe_gets_one_frame_of_a_journal_with_its_sums_models_and_latest_requests(db):
    done = CliRunner().invoke(top, ["--journal", str(db), "--minutes", "5"])
    assert (done.exit_code, "\x1b" in done.output) == (0, False)
    told = lines(done.output)
    assert told[0].startswith("turnout top · journal.db · last 5 min · ")
    assert told[1].startswith("5 requests (0.02/s) · 20.0% failed · ")
    assert told[3] == "Models, by cost"
    assert "Latest requests" in told
    latest = told[told.index("Latest requests") + 2 :]
    assert (len(latest), sum("timeout ttft" in line for line in latest)) == (5, 1)


async def test_a_gateway_is_asked_over_its_admin_api_and_says_what_is_wrong(tmp_path):
    async with desked(tmp_path) as found:
        url = found.rig.url
        done = await run_aside(found.keys["viewer"], "--url", url, "--once")
        refused = await run_aside(found.keys["call"], "--url", url)
    gone = await run_aside("", "--url", url)
    assert (done.exit_code, done.stderr) == (0, "")
    told = lines(done.stdout)
    assert told[0].startswith(f"turnout top · {url} · last 60 min · ")
    assert told[1].startswith("0 requests")
    assert any(line.endswith("up") for line in told)
    assert (refused.exit_code, gone.exit_code) == (1, 1)
    assert refused.stderr.startswith(f"Error: {url} answers 403: ")
    assert gone.stderr.startswith(
        f"Error: {url} cannot be reached: Connection refused; `turnout serve` starts"
    )


async def run_aside(key, *words):
    environment = {"TURNOUT_ADMIN_KEY": key}
    return await asyncio.to_thread(CliRunner().invoke, top, words, env=environment)


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("server: {port: 1}", "http://127.0.0.1:1 cannot be reached: "),
        ("server: {host: '::', port: 1, behind_proxy: true}", "http://[::1]:1 cannot be reached: "),
        ("admin: {listen: {port: 2}}\nserver: {port: 1}", "http://127.0.0.1:2 cannot be reached: "),
        ("server: {prot: 1}", "turnout.yaml: server.prot: unknown key; did you mean 'port'?; --url names"),
    ],
)
def test_the_gateway_of_the_configuration_is_asked(tmp_path, monkeypatch, file, asked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turnout.yaml").write_text(file)
    done = CliRunner().invoke(top, ["--once"])
    assert (done.exit_code, done.stderr.startswith(f"Error: {asked}")) == (1, True), done.stderr


def test_a_key_goes_nowhere_in_the_clear():
    with pytest.raises(TopError, match="use https"):
        Gateway("http://gateway.example:4000", "tn_secret")
    with pytest.raises(TopError, match="no address of a gateway"):
        Gateway("gateway.example", None)


def test_models_are_ordered_by_every_column():
    small = Used(model="a", requests=10, failed=5, cost_usd=1.0, ttft_s=Latency(1.0, 9.0))
    large = Used(model="b", requests=20, failed=1, cost_usd=2.0, total_s=Latency(1.0, 9.0))
    found = {by: "".join(row.model for row in ordered([small, large], by)) for by in SORTS}
    assert found == {
        "cost": "ba",
        "requests": "ba",
        "failed": "ab",
        "first": "ab",
        "whole": "ba",
        "model": "ab",
    }


def test_a_terminal_is_listened_to_and_given_back(db):
    """Keys sort, pause and quit; the alternate screen is left."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="120", LINES="40")
        code = "from turnout.cli.main import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, "top", "--journal", str(db)])
    seen = until(master, "by cost")
    os.write(master, b"s")
    seen += until(master, "by requests")
    os.write(master, b"p")
    seen += until(master, "paused")
    os.write(master, b"q")
    seen += until(master, "\x1b[?1049l")
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert (os.waitstatus_to_exitcode(status), "\x1b[?1049h" in seen) == (0, True)


def until(master, wanted, wait_s=20.0):
    """Read a terminal until it shows a text."""
    seen, ends = "", time.monotonic() + wait_s
    while wanted not in seen:
        assert time.monotonic() < ends, seen
        if select.select([master], [], [], 1.0)[0]:
            try:
                seen += os.read(master, 65536).decode("utf-8", "replace")
            except OSError:  # Linux tells so that nobody is left at the other end
                assert wanted in seen
    return seen


@pytest.mark.parametrize("width", [80, 120])
def test_no_number_is_cut_where_the_terminal_is_narrow(width):
    name = "a-provider/a-model-with-a-very-long-name-indeed"
    used = Used(
        model=name,
        requests=1234567,
        failed=3,
        cost_usd=0.001234,
        input_tokens=9999999,
        output_tokens=88888,
        ttft_s=Latency(0.5, 0.9),
        total_s=Latency(1.0, 12.5),
    )
    seen = Seen(
        request_id="r",
        at=NOW,
        route="a-route-of-long-name",
        model=name,
        error="provider_overloaded",
        cost_usd=0.000516,
        input_tokens=12345,
        output_tokens=678,
        ttft_s=0.036,
        total_s=0.103,
    )
    frame = Frame(
        where="j",
        at=NOW,
        span=timedelta(hours=24),
        total=used,
        models=(used,),
        latest=(seen,),
        deployments=(Deployment(name, name),),
    )
    console = Console(width=width, file=io.StringIO())
    console.print(drawn(frame, "cost", width=width))
    told = console.file.getvalue()
    assert max(map(len, told.splitlines())) <= width
    for number in (
        "1,234,567",
        "0.0%",
        "$0.001234",
        "900 ms",
        "12.5 s",
        "up",
        "$0.000516",
        "103 ms",
        "last 24 h",
    ):
        assert number in told
    assert ("9,999,999" in told, "a-route" in told) == (width >= WIDE, width >= WIDE)
