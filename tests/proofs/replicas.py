"""Gateway processes that share a ledger and a PostgreSQL, each replica in front of an emulator of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

from turnout.testing.emulator import Behaviour, Emulator, Fault
from turnout.testing.emulator.serve import dialects, serving_in_thread
from turnout.testing.servers import _children

CLEAN = ("steady-1", "steady-2", "refusing")
"""Models whose every billed call is answered in full: the emulator's count is what must be settled."""
MODELS = (*CLEAN, "breaking", "slow")
FAULTS = {
    "refusing": Behaviour(faults=(Fault(kind="server_error", share=0.2),)),
    "breaking": Behaviour(faults=(Fault(kind="cut", share=0.3), Fault(kind="half_frame", share=0.2))),
    "slow": Behaviour(tokens_per_s=40.0),
}
SECRETS = {team: f"tn_{team}_0123456789abcdef0123456789abcdef" for team in ("money", "rate", "tokens")}
BUDGET_NUSD = 1_000_000_000
RATE = 200
TOKENS = 20_000


def prices(rng):
    """Draw USD per million tokens, so that a request costs some tenths of a cent."""
    return {name: (rng.randint(5, 30), rng.randint(25, 150)) for name in MODELS}


def config(folder, n, emulator, table, workers):
    """Write the configuration of one replica."""
    keys = "\n".join(f"    - {{name: {t}, secret: {s}, team: {t}}}" for t, s in SECRETS.items())
    rows = "\n".join(
        f"  - {{model: emu{n}/{name}, price: {{input: {table[name][0]}, output: {table[name][1]}}}}}"
        for name in MODELS
    )
    path = folder / "turnout.yaml"
    path.write_text(f"""
server:
  workers: {workers}
  grace_s: 5
  keys:
{keys}
providers: {{emu{n}: {{codec: openai_chat, base_url: "{emulator}/v1", auth: none}}}}
models:
{rows}
timeouts: {{total_s: 10}}
retry: {{base_s: 0.01, max_wait_s: 0.05}}
breaker: {{enabled: false}}
journal: {{path: {folder}/journal.db}}
ledger: {{timeout_s: 10, path: {folder.parent}/ledger.db}}
budgets: [{{id: one, level: team, subject: money, usd: 1, per: lifetime}}]
quotas:
  - {{id: rpm, level: team, subject: rate, of: requests, limit: {RATE}, per: 1m}}
  - {{id: tpm, level: team, subject: tokens, of: tokens, limit: {TOKENS}, per: 1m}}
""")
    return path


class Replica:
    """One `turnout serve` with its workers."""

    def __init__(self, folder, n, emulator, table, stores, workers):
        folder.mkdir()
        self.folder = folder
        self.lines = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from turnout.cli.main import main; main()", "serve"),
                *("-c", str(config(folder, n, emulator, table, workers)), "--port", "0"),
                *("--store", stores[0], "--journal", stores[1]),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def wait(self):
        """Return when it accepts connections."""
        for line in self.process.stderr:
            self.lines.append(line.strip())
            if found := re.search(r"serving on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("\n".join(self.lines))
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        for line in self.process.stderr:
            self.lines.append(line.strip())

    @property
    def spool(self):
        return self.folder / "journal.db.spool"

    def kill(self):
        """The machine is gone: supervisor and workers, all at once."""
        for pid in (self.process.pid, *_children(self.process.pid)):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Drain and end."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds=30):
        """Return when it has ended, forced after a while."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not drain: {self.lines[-5:]}") from None


class Rig:
    """Two replicas with their emulators."""

    def __init__(self, folder, rng, stores, workers):
        self._stack = ExitStack()
        self.table = prices(rng)
        self.emulators = []
        self.replicas = []
        for n in range(2):
            emulator = Emulator(dialects(), seed=rng.randrange(1 << 30))
            for name in MODELS:
                emulator.add(name, behaviour=FAULTS.get(name))
            url = self._stack.enter_context(serving_in_thread(emulator))
            self.emulators.append(emulator)
            self.replicas.append(Replica(folder / f"replica-{n}", n, url, self.table, stores, workers))

    def __enter__(self):
        try:
            for replica in self.replicas:
                replica.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for replica in self.replicas:
            if replica.process.poll() is None:
                replica.kill()
        self._stack.close()

    def billed(self, n):
        """Return what an emulator counted, model by model: input and output tokens."""
        served = self.emulators[n].served
        return {
            name: (served[name].input_tokens, served[name].output_tokens) if name in served else (0, 0)
            for name in CLEAN
        }


def body(rng, n, model):
    """Draw a request."""
    words = " ".join("word" for _ in range(rng.randint(3, 30)))
    return {
        "model": f"emu{n}/{model}",
        "messages": [{"role": "user", "content": words}],
        "max_tokens": rng.randint(40, 60),
        "stream": rng.random() < 0.5,
    }


def wire(team, asked):
    """Write a request as bytes."""
    text = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {SECRETS[team]}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + text
