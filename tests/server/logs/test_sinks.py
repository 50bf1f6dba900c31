"""Sinks on this machine: rotation, several writers, pipes that nobody reads."""

import gc
import json
import os
import threading

from turnout.config import parse_config
from turnout.server.logs.line import Line, as_json, as_text
from turnout.server.logs.redact import MOST, Redactor, secrets_in
from turnout.server.logs.sinks import RotatedFile, Stream, Threaded
from turnout.server.serve import calm_collector


def line(message: str, **more) -> Line:
    return Line(at=1763802000.25, level="info", logger="turnout.x", message=message, **more)


def test_a_line_is_one_line_in_both_forms():
    said = line("a\nb\x1b[31m\x7f", request_id="req_1", status=200)
    assert json.loads(as_json(said)) == {
        "time": "2025-11-22T09:00:00.250Z",
        "level": "info",
        "logger": "turnout.x",
        "message": "a\nb\x1b[31m\x7f",
        "request_id": "req_1",
        "status": 200,
    }
    assert as_text(said) == rb"INFO turnout.x: a\nb\x1b[31m\x7f request_id=req_1 status=200"
    assert b"\n" not in as_json(said)


def test_writers_share_a_file_and_rotate_it_without_losing_a_line(tmp_path):
    path = tmp_path / "sub" / "gateway.log"
    writers = [RotatedFile(path, max_bytes=2000, keep=100) for _ in range(4)]

    def write(n):
        for i in range(100):
            writers[n].write(b"%d %03d %s\n" % (n, i, b"x" * 40))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    files = [each for each in path.parent.iterdir() if not each.name.endswith(".lock")]
    lines = [text for each in files for text in each.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{n} {i:03d} {'x' * 40}" for n in range(4) for i in range(100))
    assert len(files) > 5
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def test_only_so_many_files_are_kept(tmp_path):
    path = tmp_path / "g.log"
    writer = RotatedFile(path, max_bytes=10, keep=2)
    for n in range(5):
        writer.write(b"line %d\n" % n)
    writer.close()
    found = {each.name: each.read_text() for each in tmp_path.iterdir() if each.suffix != ".lock"}
    assert found == {"g.log": "line 4\n", "g.log.1": "line 3\n", "g.log.2": "line 2\n"}


def test_a_pipe_that_nobody_reads_stops_no_one_and_what_finds_no_room_is_counted():
    reader, writer = os.pipe()
    sink = Threaded(Stream(writer), as_text, most=10)
    for n in range(5000):
        sink.put(line(f"{n} " + "x" * 200))
    assert sink.full > 4000
    os.close(reader)  # what waits fails, and is counted too
    sink.close()
    os.close(writer)
    assert sink.sent + sink.full + sink.failed == 5000


def test_known_secrets_and_the_forms_of_credentials_are_masked():
    redact = Redactor(["hunter-22-secret", "abc"])
    key = "tn_" + "0123456789abcdef" * 2
    assert redact(f"a hunter-22-secret b {key} abc") == "a *** b *** abc"
    assert redact("Authorization: Bearer abcdefghijk.lmn") == "Authorization: Bearer ***"
    assert redact("x" * (MOST - 5) + " hunter-22-secret") == "x" * (MOST - 5) + " ***"


def test_every_secret_of_a_configuration_is_known_wherever_it_stands():
    text = """
    providers: {openai: {secret: sk-first, secrets: [sk-second]}}
    server: {keys: [{name: one, secret: sk-turnout-0123456789abcdef}]}
    ledger: {store: "valkey://user:from-an-address@127.0.0.1:6379/0"}
    """
    found = sorted(secrets_in(parse_config(text, env={})))
    assert found == ["from-an-address", "sk-first", "sk-second", "sk-turnout-0123456789abcdef"]


def test_a_worker_that_serves_lets_the_collector_look_again():
    before = gc.get_threshold()
    gc.disable()
    try:
        calm_collector()
        assert (gc.isenabled(), gc.get_freeze_count() > 0) == (True, True)
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*before)
