"""`turnout alerts`: what is kept, what the rules say, and a receiver that is tried."""

import asyncio
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from turnout.cli.main import cli
from turnout.jobs.alerts.base import Alert, State
from turnout.jobs.alerts.keep import Kept
from turnout.stores.desk.sqlite import SqliteDesk

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
CONFIG = """
providers: {o: {vendor: openai, base_url: "http://127.0.0.1:9/v1", secret: sk-x}}
models: [{model: o/m}]
ledger: {store: memory}
alerts:
  receivers:
    ops: {type: webhook, url: "URL"}
    dead: {type: slack, url: "http://127.0.0.1:9/T0/TOKEN"}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turnout.yaml").write_text(CONFIG.replace("URL", "http://127.0.0.1:9/hook"))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, ["alerts", *arguments])


def test_what_is_kept_is_listed(folder) -> None:
    assert run("list").output == "Nothing was watched yet.\n"
    alert = Alert(
        id="0123456789abcdef",
        rule="stores",
        type="stores",
        severity="critical",
        text="the journal refuses",
        state="firing",
        since=AT,
        known_at=AT,
    )

    async def keep():
        kept = Kept(SqliteDesk(folder / ".turnout" / "alerts.db"))
        await kept.swap(0, State(checked_at=AT, alerts=(alert,)))
        await kept.close()

    asyncio.run(keep())
    assert run("list").output == (
        "0123456789abcdef  critical  2026-03-04 05:06  firing  stores: the journal refuses\n"
    )
    (told,) = json.loads(run("list", "--json").output)
    assert (told["id"], told["state"]) == ("0123456789abcdef", "firing")


def test_the_rules_are_asked_and_nobody_is_told(folder) -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "good     stores           the journal writes" in result.output.splitlines()
    assert not (folder / ".turnout" / "alerts.db").exists()


def test_a_receiver_is_tried_and_a_failure_names_no_address(folder) -> None:
    heard = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["what"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = CONFIG.replace("URL", f"http://127.0.0.1:{server.server_port}/hook")
        (folder / "turnout.yaml").write_text(text)
        assert run("test", "ops").output == "ops was told.\n"
        server.shutdown()
    assert heard == ["firing", "resolved"]
    dead = run("test", "dead")
    assert dead.exit_code == 1
    assert "dead was not told: provider_unreachable" in dead.output
    assert "TOKEN" not in dead.output
