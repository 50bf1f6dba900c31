"""A running gateway over a month of seeded traffic, with an emulated provider and two keys."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from turnout.testing.emulator import Behaviour, Emulator
from turnout.testing.emulator.serve import dialects, serving_in_thread

ROOT = Path(__file__).resolve().parent.parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ROUTES = ("assistant", "support", "search", "reports", "drafts")
ASKED = (
    *("openai/gpt-5.4", "openai/gpt-5.4-mini", "openai/gpt-5.4-nano"),
    *("anthropic/claude-sonnet-5", "anthropic/claude-haiku-4-5", "mistral/mistral-small-latest"),
)
N_LIVE = 24
"""Requests sent through the gateway itself, so that it has seen its providers."""
LISTENS = re.compile(r"http://127\.0\.0\.1:\d+")
MODELS = (
    *("gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"),
    *("claude-sonnet-5", "claude-haiku-4-5", "mistral-small-latest"),
)
TURNOUT = ("-c", "from turnout.cli.main import main; main()")
HOUSE = {
    "projects": ("shop", "insight"),
    "teams": ("web", "care", "data"),
    "customers": ("customer-01", "customer-02"),
}
TOLD_S = 30
PACE = Behaviour(ttft_s=0.02, tokens_per_s=400, jitter=0.3)


def chromium() -> str | None:
    """Return the browser's program; None = there is none."""
    named = os.environ.get("TURNOUT_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


class Pager(BaseHTTPRequestHandler):
    """Takes what alerts are told to, as a receiver's service does."""

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append(json.loads(told))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def pager():
    """Listen on loopback; yield the server, whose `told` are the messages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pager)
    server.told = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class World:
    """Seeds a folder, serves it, and ends what it started.

    Args:
        keyed: Whether keys exist, so that everybody signs in.
    """

    def __init__(self, folder: Path, *, n_requests: int = 3000, keyed: bool = True, port: int = 0) -> None:
        self.folder, self._n, self._keyed, self._port = folder, n_requests, keyed, port
        self.config = folder / "turnout.yaml"
        self.admin = self.caller = self.url = ""
        self.emulator = Emulator(dialects(), seed=7)
        self._closing = ExitStack()

    def __enter__(self) -> "World":
        with self._closing:
            for name in MODELS:
                self.emulator.add(name, behaviour=PACE)
            upstream = self._closing.enter_context(serving_in_thread(self.emulator))
            self._pager = self._closing.enter_context(pager())
            told = f"http://127.0.0.1:{self._pager.server_port}/"
            self._run("scripts/seed.py", str(self.folder), "--requests", str(self._n), "--emulator", upstream,
                      "--port", str(self._port), "--pager", told)  # fmt: skip
            if self._keyed:
                self.admin = self.key("--role", "owner", "--name", "Ada")
            self._serve()
            if self._keyed:
                self._settle()
            self._closing = self._closing.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.close()

    def _settle(self) -> None:
        """Make the organisation whose traffic was seeded, and a key that asks models."""
        self.admin_api("POST", "/organisations", {"id": "acme", "name": "Acme"})
        for kind, names in HOUSE.items():
            for name in names:
                self.admin_api("POST", f"/{kind}", {"id": name, "organisation": "acme"})
        of = {"organisation": "acme", "project": "shop", "team": "web"}
        self.caller = str(self.admin_api("POST", "/keys", {"name": "checkout", "role": "call", **of})["key"])
        for name in ASKED * 2:
            self.ask(name, "Hello")
        for n in range(N_LIVE):
            self.ask(f"turnout/{ROUTES[n % 5]}", f"How do I return parcel {n // 8}?", max_tokens=200)

    def admin_api(self, method: str, path: str, tree: object = None) -> dict:
        """Ask the admin API as the owner."""
        body = None if tree is None else json.dumps(tree).encode()
        headers = {"content-type": "application/json"}
        if self.admin:
            headers["authorization"] = f"Bearer {self.admin}"
        request = urllib.request.Request(f"{self.url}/admin/v1{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def told(self) -> list[dict]:
        """Wait until an alert is told to the pager; return what it was told."""
        ends = time.monotonic() + TOLD_S
        while not self._pager.told:
            assert time.monotonic() < ends, "no alert was told"
            time.sleep(0.1)
        return self._pager.told

    def key(self, *flags: str) -> str:
        """Make a key at the desk."""
        told = self._run(*TURNOUT, "keys", "create", "--config", str(self.config), "--json", *flags)
        return str(json.loads(told)["key"])

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """Change how an emulated model behaves from now on."""
        self.emulator.add(name, behaviour=behaviour)

    def ask(self, model: str, text: str, key: str | None = None, **more: object) -> tuple[int, dict]:
        """Send one request through the gateway; return status and answer."""
        tree = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        headers = {"content-type": "application/json"}
        if key or self.caller:
            headers["authorization"] = f"Bearer {key or self.caller}"
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions", json.dumps(tree).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def _run(self, *words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _serve(self) -> None:
        command = [sys.executable, *TURNOUT, "serve", "--config", str(self.config)]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._closing.callback(self._stop, process)
        said = []
        for line in process.stdout:
            said.append(line)
            if found := LISTENS.search(line):
                self.url = found[0]
                return
        raise AssertionError("".join(said))

    @staticmethod
    def _stop(process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
