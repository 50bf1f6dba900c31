"""The gateway as a process: killed, drained, reloaded, on several workers. Real sockets, real signals."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from turnout.stores.base import Query
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.testing.emulator import Behaviour, Emulator
from turnout.testing.emulator.serve import dialects, serving_in_thread

TURNOUT = str(Path(sys.executable).with_name("turnout"))

CONFIG = """
providers:
  emu: {{codec: openai_chat, base_url: "{url}", auth: none}}
models: [{models}]
journal: {{path: {folder}/journal.db}}
"""


class Gateway:
    """One `turnout serve` under test."""

    def __init__(self, folder, url, models="emu/small", *options):
        self.file = folder / "turnout.yaml"
        self.folder, self.url = folder, url
        self.write(models)
        self.process = subprocess.Popen(
            [TURNOUT, "serve", "-c", str(self.file), "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines = []
        self.base = ""
        for line in self.process.stderr:
            self.lines.append(line.strip())
            if found := re.search(r"serving on (http://127\.0\.0\.1:\d+)", line):
                self.base = found[1]
                break
        assert self.base, self.lines
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()
        self.wait(lambda: self.ready() is not None)

    def _drain(self):
        for line in self.process.stderr:
            self.lines.append(line.strip())

    def write(self, models):
        self.file.write_text(CONFIG.format(url=self.url, models=models, folder=self.folder))

    def wait(self, claim, seconds=15):
        end = time.monotonic() + seconds
        while not claim():
            assert time.monotonic() < end, self.lines[-5:]
            time.sleep(0.02)

    def ready(self):
        try:
            with urllib.request.urlopen(f"{self.base}/readyz", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def ask(self, model="emu/small"):
        """Return the request id of one completely read answer."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = urllib.request.Request(
            f"{self.base}/v1/chat/completions", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
            return answer.headers["x-turnout-request-id"]

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()


@pytest.fixture
def upstream():
    emulator = Emulator(dialects())
    with serving_in_thread(emulator) as url:
        yield f"{url}/v1", emulator


async def recorded(path):
    journal = SpooledJournal(SqliteRows(path), spool_beside(path))
    try:
        await journal.flush()
        page = await journal.query(Query(limit=100_000))
        return [entry.record.request_id for entry in page.entries]
    finally:
        await journal.close()


async def test_a_gateway_killed_under_load_has_recorded_every_request_it_answered(tmp_path, upstream):
    gateway = Gateway(tmp_path, upstream[0])
    answered, lock, stop = [], threading.Lock(), threading.Event()

    def load():
        while not stop.is_set():
            try:
                found = gateway.ask()
            except OSError:
                return
            with lock:
                answered.append(found)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    gateway.wait(lambda: len(answered) >= 150)
    os.kill(gateway.process.pid, signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    gateway.stop()
    again = Gateway(tmp_path, upstream[0])
    assert again.stop() == 0
    found = await recorded(tmp_path / "journal.db")
    assert len(found) == len(set(found))
    assert set(answered) - set(found) == set()


def test_a_changed_file_is_in_force_without_a_restart_and_a_bad_one_changes_nothing(tmp_path, upstream):
    gateway = Gateway(tmp_path, upstream[0])
    try:
        gateway.write("emu/small, emu/large")
        gateway.wait(lambda: gateway.ready()["config_version"] == 2)
        gateway.ask("emu/large")
        gateway.write("emu/small, emu/large, [")
        os.kill(gateway.process.pid, signal.SIGHUP)
        gateway.wait(lambda: any("old one stays in force" in line for line in gateway.lines))
        assert gateway.ready()["config_version"] == 2
        gateway.ask("emu/large")
    finally:
        assert gateway.stop() == 0


def test_a_drained_gateway_lets_an_open_answer_finish(tmp_path, upstream):
    url, emulator = upstream
    emulator.add("small", behaviour=Behaviour(ttft_s=1.0))
    gateway = Gateway(tmp_path, url)
    answered = []
    thread = threading.Thread(target=lambda: answered.append(gateway.ask()))
    thread.start()
    gateway.wait(lambda: emulator.served.get("small") is not None)
    assert gateway.stop() == 0
    thread.join()
    assert len(answered) == 1
    with pytest.raises(urllib.error.URLError):
        gateway.ask()


def test_workers_share_a_port_and_a_dead_one_is_replaced(tmp_path, upstream):
    gateway = Gateway(tmp_path, upstream[0], "emu/small", "--workers", "2")
    try:
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(gateway.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert len(children) == 2
        os.kill(int(children[0]), signal.SIGKILL)
        gateway.wait(lambda: any("ended with -9" in line for line in gateway.lines))
        for _ in range(20):
            gateway.ask()
    finally:
        assert gateway.stop() == 0


def test_a_taken_port_is_one_line(tmp_path, upstream):
    gateway = Gateway(tmp_path, upstream[0])
    try:
        port = gateway.base.rsplit(":", 1)[1]
        second = subprocess.run(
            [TURNOUT, "serve", "-c", str(gateway.file), "--port", port],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 2
        taken = f"127.0.0.1:{port} cannot be bound: Address already in use; choose another address or port"
        assert second.stderr.splitlines() == [f"turnout: server.port: {taken}"]
    finally:
        gateway.stop()
