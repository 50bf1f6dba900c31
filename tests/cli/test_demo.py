"""`turnout demo`: run as a user runs it, and what its checks would notice."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.source import ROOT
from turnout.cli import demo_exam
from turnout.cli.demo_cast import LARGE, MEDIUM
from turnout.cli.demo_checks import Seen, check
from turnout.cli.demo_questions import Question, Told
from turnout.testing import local_model
from turnout.testing.emulator import Served
from turnout.types.record import Asked, Attempt, Decision, InputView, Outcome, Record
from turnout.types.usage import Usage

CODE = "import sys; from turnout.cli.main import main; sys.argv[0] = 'turnout'; main()"
LIMIT_S = 110


def command(*options: str, **env: str) -> tuple[list[str], dict[str, str]]:
    nowhere = {"TURNOUT_SHARED": "/nonexistent", **env}
    return [sys.executable, "-c", CODE, "demo", "--port", "0", *options], {**os.environ, **nowhere}


def demo(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    words, environment = command(*options, **env)
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def recorded_answers() -> list[str]:
    """Options that add the recorded answers where they are."""
    folder = Path(os.environ.get("TURNOUT_SHARED", ROOT.parent / "shared")) / "data" / "routellm"
    return ["--data", str(folder)] if folder.is_dir() else []


def test_the_real_model_answers_and_recorded_answers_are_routed() -> None:
    try:
        local_model.weights()
        pytest.importorskip("xllamacpp", exc_type=ImportError)
    except local_model.UnavailableError as missing:
        pytest.skip(str(missing))
    data = recorded_answers()
    result = demo("--once", *data)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"all {13 if data else 11} checks passed" in result.stdout
    assert "local/smollm2-135m, really: “" in result.stdout
    assert ("always strong" in result.stdout) == bool(data)


def test_a_model_that_cannot_be_loaded_is_said_and_is_a_failure_with_once(tmp_path: Path) -> None:
    message = "libgomp.so.1: cannot open shared object file"
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({message!r})\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = demo("--once", PYTHONPATH=path, TURNOUT_BORROWED_LIBRARIES=str(tmp_path / "none"))
    assert result.returncode == 1
    assert "! the real model is left out: libgomp.so.1 is missing: install" in result.stdout
    assert "✗ the real model takes part: libgomp.so.1 is missing" in result.stdout
    assert "1 of 11 checks failed" in result.stdout


def test_every_step_happens_the_gateway_stays_until_ctrl_c_and_nothing_is_left_behind() -> None:
    with staying("--no-local-model") as (process, told):
        url = next(re.finditer(r"gateway +turnout serve, on (\S+)/v1", told))[1]
        key = next(re.finditer(r"authorization: (Bearer tn_demo_\S+)'", told))[1]
        listing = urllib.request.Request(f"{url}/v1/models", headers={"authorization": key})
        with urllib.request.urlopen(listing, timeout=5) as answer:
            assert b"emu-openai/large" in answer.read()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, told + rest
    assert "all 10 checks passed" in told
    assert re.search(r"SIGKILL to the process of +emu-openai/large", told)
    assert re.search(r"not asked +local/smollm2-135m +left out +--no-local-model", told)
    for address in set(re.findall(r"http://127\.0\.0\.1:\d+", told)):
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address, timeout=5)


@contextmanager
def staying(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words, env = command(*options)
    process = subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    told = ""
    try:
        for line in process.stdout:
            told += line
            if "everything runs until Ctrl-C" in line:
                break
        yield process, told
    finally:
        process.kill()
        process.wait()


def test_a_folder_without_the_table_is_refused(tmp_path: Path) -> None:
    result = demo("--once", "--no-local-model", "--data", str(tmp_path))
    assert result.returncode == 2
    assert f"Invalid value for --data: {tmp_path} holds no gsm8k.parquet" in result.stderr


def test_a_taken_port_is_one_line() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = demo("--once", "--no-local-model", "--port", str(port))
    assert result.returncode == 1
    assert f"turnout: gateway ended with status 2: turnout: server.port: 127.0.0.1:{port}" in result.stderr


# What the checks notice

USAGE = Usage(input_uncached=7, output_text=5)
QUESTION = Question(prompt="Why?", by=(MEDIUM.id,), reasons=("fallback_error",), stream=True, fallback=True)
TOLD = Told(
    question=QUESTION, request_id="req_1", model=MEDIUM.id, text="Because.", n_chunks=3, n_in=7, n_out=5
)


def attempt(deployment: str, **fields: object) -> Attempt:
    provider = deployment.partition("/")[0]
    base = {"n": 1, "deployment": deployment, "model": deployment, "provider": provider}
    return Attempt(**base, start_s=0.0, duration_s=0.1, **fields)  # type: ignore[arg-type]


RECORD = Record(
    request_id="req_1",
    at=datetime(2026, 1, 31, tzinfo=UTC),
    endpoint="chat",
    dialect="openai_chat",
    decision=Decision(
        decision_id="dec_1",
        route="assistant",
        strategy="priority",
        asked=Asked(endpoint="chat", dialect="openai_chat", model="auto", source="auto"),
        input=InputView(n_tokens=7, n_tokens_source="estimate"),
        candidates=(),
        plan=None,
        kind="sequence",
        chosen=(LARGE.id, MEDIUM.id),
        reason="fallback_error",
    ),
    attempts=(
        attempt(LARGE.id, outcome="failed", error="provider_unreachable"),
        attempt(MEDIUM.id, outcome="ok", usage=USAGE),
    ),
    outcome=Outcome(
        finish="stop", model=MEDIUM.id, usage=USAGE, cost_nusd=32_000, cost_state="exact", n_fallbacks=1
    ),
)
SEEN = Seen(
    told=[TOLD],
    records={"req_1": RECORD},
    n_journal=1,
    n_sent=1,
    served={MEDIUM.model: Served(calls=1, input_tokens=7, output_tokens=5)},
    players=[LARGE, MEDIUM],
)
ABSENT = {
    "the tool was called and its result used; the structured answer has its shape",
    "a key past half its budget was sent to a cheaper model, then refused; it spent no more than it had",
}


def failing(seen: Seen) -> set[str]:
    """Claims that do not hold, without those that need a tool or a budget among the questions."""
    return {each.claim for each in check(seen) if each.wrong} - ABSENT


def test_books_that_agree_pass() -> None:
    assert failing(SEEN) == set()


def with_told(**changes: object) -> Seen:
    return replace(SEEN, told=[replace(TOLD, **changes)])


def with_outcome(**changes: object) -> Seen:
    return replace(SEEN, records={"req_1": replace(RECORD, outcome=replace(RECORD.outcome, **changes))})


@pytest.mark.parametrize(
    ("seen", "claim"),
    [
        (with_told(text=""), "every request was answered, or refused where it had to be"),
        (with_told(n_chunks=1), "every stream came in pieces"),
        (
            with_told(model="emu-gemini/small"),
            "every answer came from where the rules send it, for the reason on record",
        ),
        (
            replace(SEEN, records={"req_1": replace(RECORD, attempts=RECORD.attempts[1:])}),
            "after its process was killed, another vendor answered for the large model",
        ),
        (replace(SEEN, n_journal=2), "the journal holds one Record per request, and no other"),
        (replace(SEEN, records={}), "the journal holds one Record per request, and no other"),
        (with_told(n_out=6), "the Records say what the client saw: model, tokens, errors"),
        (
            replace(SEEN, served={MEDIUM.model: Served(calls=1, input_tokens=7, output_tokens=6)}),
            "tokens on record equal what the emulators counted themselves",
        ),
        (with_outcome(cost_nusd=31_999), "costs on record are those tokens at the stated prices"),
        (with_outcome(cost_state="estimated"), "costs on record are those tokens at the stated prices"),
    ],
)
def test_books_that_differ_are_noticed(seen: Seen, claim: str) -> None:
    assert claim in failing(seen)


# The recorded answers


def test_the_table_is_found_where_it_may_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "shared" / "data" / "routellm" / "gsm8k.parquet"
    table.parent.mkdir(parents=True)
    table.touch()
    (tmp_path / "checkout").mkdir()
    monkeypatch.delenv("TURNOUT_SHARED", raising=False)
    for where in (tmp_path, tmp_path / "checkout"):
        monkeypatch.chdir(where)
        found = demo_exam.find(None)
        assert found is not None
        assert found.resolve() == table
    assert demo_exam.find(table.parent) == table
    assert demo_exam.find(tmp_path / "shared") == table
    assert demo_exam.find(tmp_path / "checkout") is None
    monkeypatch.setenv("TURNOUT_SHARED", str(tmp_path / "elsewhere"))
    assert demo_exam.find(None) is None


def test_the_same_questions_are_drawn_each_time_without_contaminated_ones(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    table = shared / "data" / "routellm" / "gsm8k.parquet"
    first, second = demo_exam.draw(table), demo_exam.draw(table)
    assert first == second
    assert (first.of, len(first.items)) == (1307, demo_exam.N_QUESTIONS)
    assert first.strong.model == "gpt-4-1106-preview"
    assert first.weak.model == "mistralai/Mixtral-8x7B-Instruct-v0.1"
    assert all(item.scores.keys() == item.answers.keys() for item in first.items)
