"""Background jobs and the process that runs them: killed, drained, several workers. Real signals."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.cli.test_process import TURNOUT, Gateway, recorded
from turnout.testing.emulator import Behaviour, Emulator
from turnout.testing.emulator.serve import dialects, serving_in_thread

BODY = {"model": "emu/small", "messages": [{"role": "user", "content": "hi"}]}


class Queueing(Gateway):
    """A gateway with a queue."""

    def write(self, models):
        super().write(models)
        with self.file.open("a") as file:
            file.write(f"background: {{path: {self.folder}/jobs.db, lease_s: 1, max_running: 2}}\n")

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.base}{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def submit(self, n):
        wanted = {"path": "/v1/chat/completions", "body": BODY}
        return [
            self.call("/v1/background", {**wanted, "idempotency_key": f"job {each}"}) for each in range(n)
        ]

    def states(self):
        return sorted(job["state"] for job in self.call("/v1/background")["data"])


@pytest.fixture
def upstream():
    emulator = Emulator(dialects())
    with serving_in_thread(emulator) as url:
        yield f"{url}/v1", emulator


async def test_jobs_of_a_killed_gateway_are_each_answered_once_after_a_restart(tmp_path, upstream):
    url, emulator = upstream
    emulator.add("small", behaviour=Behaviour(ttft_s=30.0))
    gateway = Queueing(tmp_path, url)
    jobs = gateway.submit(5)
    gateway.wait(lambda: gateway.states() == ["queued"] * 3 + ["running"] * 2)
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.stop()
    emulator.add("small", behaviour=Behaviour())
    again = Queueing(tmp_path, url)
    try:
        again.wait(lambda: again.states() == ["done"] * 5)
        assert [job["id"] for job in again.submit(5)] == [job["id"] for job in jobs]
        for job in jobs:
            found = again.call(f"/v1/background/{job['id']}")
            assert (found["request_id"], found["runs"], found["status"]) == (job["request_id"], 1, 200)
            assert found["response"]["body"]["choices"][0]["message"]["content"]
    finally:
        assert again.stop() == 0
    assert sorted(await recorded(tmp_path / "journal.db")) == sorted(job["request_id"] for job in jobs)


async def test_a_drained_gateway_lets_a_running_job_end(tmp_path, upstream):
    url, emulator = upstream
    emulator.add("small", behaviour=Behaviour(ttft_s=1.0))
    gateway = Queueing(tmp_path, url)
    (job,) = gateway.submit(1)
    gateway.wait(lambda: gateway.states() == ["running"])
    assert gateway.stop() == 0
    again = Queueing(tmp_path, url)
    try:
        assert again.call(f"/v1/background/{job['id']}")["state"] == "done"
    finally:
        again.stop()
    assert await recorded(tmp_path / "journal.db") == [job["request_id"]]


async def test_workers_never_run_a_job_twice(tmp_path, upstream):
    url, emulator = upstream
    emulator.add("small", behaviour=Behaviour(ttft_s=0.05))
    gateway = Queueing(tmp_path, url, "emu/small", "--workers", "2")
    try:
        jobs = gateway.submit(12)
        gateway.wait(lambda: gateway.states() == ["done"] * 12)
    finally:
        assert gateway.stop() == 0
    assert emulator.served["small"].calls == 12
    assert sorted(await recorded(tmp_path / "journal.db")) == sorted(job["request_id"] for job in jobs)


def test_a_queue_that_cannot_be_opened_is_one_line(tmp_path, upstream):
    gateway = Queueing(tmp_path, upstream[0])
    try:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            gateway.call("/v1/background/job_none")
    finally:
        gateway.stop()
    (tmp_path / "jobs.db").write_bytes(b"no database at all, and long enough to be read" * 50)
    second = subprocess.run(
        [TURNOUT, "serve", "-c", str(gateway.file), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert "background.path: " in line
    assert "cannot be used as a database" in line
