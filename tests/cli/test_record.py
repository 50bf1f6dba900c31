"""`turnout record`: what the proxy writes down, and what verification finds."""

import asyncio
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from turnout.cli.main import cli
from turnout.evaluate.capture import Capture
from turnout.evaluate.unspoken import UNKNOWN
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects, serving
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.transport.replay import RecordingTransport

ASK = {"model": "m", "messages": [{"role": "user", "content": "two words"}]}
SECRET = "sk-proxy-test-0123456789"


def line(**changes: object) -> str:
    """One exchange in OpenAI's form."""
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    exchange = {
        "id": "0123456789abcdef",
        "provider": "openai",
        "method": "POST",
        "url": "https://api.openai.com/v1/chat/completions",
        "request_headers": {"content-type": "application/json"},
        "request_body": json.dumps(ASK),
        "status": 200,
        "response_headers": {"content-type": "application/json"},
        "response_body": json.dumps(answer),
        "fidelity": {"request": "verbatim", "response": "verbatim"},
    }
    return json.dumps({**exchange, **changes}) + "\n"


def verify(tmp_path: Path, text: str, *options: str) -> Result:
    file = tmp_path / "calls.jsonl"
    file.write_text(text)
    return CliRunner().invoke(cli, ["record", "verify", str(file), *options])


# verify


def test_equal_records_and_those_not_spoken_are_counted(tmp_path: Path) -> None:
    other = line(url="https://api.openai.com/v1/vector_stores", request_body='{"model":"m","input":"hi"}')
    media = line(response_body="AAAA", response_body_encoding="base64")
    result = verify(tmp_path, line() + other + media)
    assert result.exit_code == 0, result.output
    rows = [row.split() for row in result.output.splitlines()]
    assert rows[1:4] == [
        ["openai", "openai_chat", "1", "1", "1"],
        ["openai", "–", "2", "2"],
        ["all", "3", "1", "1", "0", "2"],
    ]
    assert [" ".join(row) for row in rows[4:6]] == [
        "not spoken: 1 × vector stores: a search of one provider's own; passthrough",
        "not spoken: 1 × bytes where this endpoint answers with text",
    ]
    assert rows[6][:3] == ["1", "records", "equal"]


def test_a_difference_is_shown_and_is_a_failure(tmp_path: Path) -> None:
    body = '{"id":"x","choices":[{"message":{"role":"assistant"'
    result = verify(tmp_path, line(response_body=body))
    assert result.exit_code == 1
    assert "calls.jsonl 0123456789abcdef (openai, openai_chat) decode" in result.output
    assert "1 of 1 records differ" in result.output


def test_the_json_names_every_difference(tmp_path: Path) -> None:
    result = verify(tmp_path, line() + line(response_body="{}"), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert {key: told[key] for key in ("records", "checked", "equal", "different", "not_spoken")} == {
        "records": 2,
        "checked": 2,
        "equal": 1,
        "different": 1,
        "not_spoken": 0,
    }
    assert told["differences"][0]["id"] == "0123456789abcdef"
    assert told["rows"][0]["compared"]["usage"] >= 1


def test_only_one_provider_can_be_asked_for(tmp_path: Path) -> None:
    result = verify(tmp_path, line() + line(provider="else"), "--provider", "else", "--json")
    assert [row["provider"] for row in json.loads(result.stdout)["rows"]] == ["else"]


def test_a_line_that_is_no_exchange_is_named(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text(line() + "{}\n")
    result = run("record", "verify", str(file))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"turnout: {file}:2: not a recorded exchange (")
    assert result.stderr.count("\n") == 1


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    result = verify(tmp_path, line(method="GET", request_body=""))
    assert result.exit_code == 0
    assert (
        result.output.splitlines()[-1] == "nothing to compare: no record is in a format that is spoken here"
    )


def test_all_recorded_traffic_is_read_as_it_was_sent(shared: Path) -> None:
    files = [str(file) for file in sorted((shared / "wire").glob("*.jsonl"))]
    result = CliRunner().invoke(cli, ["record", "verify", *files, "--json"])
    told = json.loads(result.stdout)
    sys.stdout.write(f"{told['checked']} of {told['records']} records checked, {told['equal']} equal\n")
    assert told["differences"] == []
    assert result.exit_code == 0
    assert told["checked"] >= 2500
    assert sum(told["unspoken"].values()) == told["not_spoken"]
    assert UNKNOWN not in told["unspoken"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from turnout.cli.main import main; sys.argv[0] = 'turnout'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


# proxy


async def captured(emulator: Emulator, *calls: tuple[str, str, dict[str, object]]) -> tuple[list, list]:
    """Send calls through a proxy in front of an emulator; return the answers and what was written down."""
    lines: list[bytes] = []
    async with serving(emulator) as upstream:
        transport = RecordingTransport(HttpTransport(egress_for([upstream])), lines.append)
        async with serving(Capture(upstream, transport)) as url, httpx.AsyncClient(base_url=url) as web:
            keys = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET, "accept": "*/*"}
            answers = [
                await web.request(method, path, json=body or None, headers=keys)
                for method, path, body in calls
            ]
        await transport.close()
    return answers, [json.loads(each) for each in lines]


async def test_the_proxy_passes_bytes_and_writes_them_without_credentials() -> None:
    path = f"/v1/chat/completions?key={SECRET}&v=1"
    answers, written = await captured(
        Emulator(dialects()), ("POST", path, ASK), ("POST", path, {**ASK, "stream": True})
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [each["response_body"] for each in written] == [answer.text for answer in answers]
    assert [json.loads(each["request_body"]) for each in written] == [ASK, {**ASK, "stream": True}]
    assert written[0]["url"].endswith("/v1/chat/completions?key=REDACTED&v=1")
    assert written[0]["request_headers"] == {"accept": "*/*", "content-type": "application/json"}
    assert SECRET not in json.dumps(written)


async def test_what_the_proxy_wrote_can_be_verified(tmp_path: Path) -> None:
    question = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    _, written = await captured(
        Emulator(dialects()),
        ("POST", "/v1/chat/completions", ASK),
        ("POST", "/v1/messages", {**ASK, "max_tokens": 50, "stream": True}),
        ("POST", "/v1beta/models/m:generateContent", question),
    )
    result = verify(tmp_path, "".join(json.dumps(each) + "\n" for each in written), "--json")
    told = json.loads(result.stdout)
    assert (told["differences"], told["checked"], told["equal"]) == ([], 3, 3)


async def test_errors_pass_and_are_recorded_and_a_dead_provider_is_an_answer() -> None:
    emulator = Emulator(dialects())
    emulator.add("m", behaviour=Behaviour(faults=(Fault(kind="rate_limit", retry_after_s=7, first=1),)))
    answers, written = await captured(
        emulator, ("POST", "/v1/chat/completions", ASK), ("GET", "/nothing", {})
    )
    assert [answer.status_code for answer in answers] == [429, 404]
    assert answers[0].headers["retry-after"] == "7"
    assert [each["status"] for each in written] == [429, 404]

    emulator.add("m", behaviour=Behaviour(fail_after=0))
    answers, written = await captured(emulator, ("POST", "/v1/chat/completions", ASK))
    assert answers[0].status_code == 502
    assert answers[0].json()["error"]["type"] == "provider_unreachable"
    assert written == []


async def test_the_command_serves_writes_privately_and_tells_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "calls.jsonl"
    code = "import sys; from turnout.cli.main import main; sys.argv[0] = 'turnout'; main()"
    async with serving(Emulator(dialects())) as upstream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "record", "proxy", "--to", f"{upstream}/v1", "--port", "0"),
            *("--out", str(out)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        told = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        async with httpx.AsyncClient(base_url=told.split()[2]) as web:
            answer = await web.post("/chat/completions", json=ASK)
        seen = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        process.send_signal(signal.SIGINT)
        rest = (await asyncio.wait_for(process.communicate(), 30))[1].decode()
    assert answer.status_code == 200
    assert seen.startswith(f"200 POST {upstream}/v1/chat/completions ")
    assert rest == f"turnout: 1 exchanges in {out}; `turnout record verify {out}` checks them\n"
    assert process.returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(out.read_text())["status"] == 200


@pytest.mark.parametrize(
    ("to", "complaint"),
    [
        ("ftp://example.com", "turnout: forbidden: scheme 'ftp' is not allowed"),
        ("https://user:pass@example.com", "turnout: forbidden: user information in an upstream URL"),
    ],
)
def test_an_address_that_cannot_be_forwarded_to_is_one_line(tmp_path: Path, to: str, complaint: str) -> None:
    result = run("record", "proxy", "--to", to, "--out", str(tmp_path / "x.jsonl"), "--port", "0")
    assert result.returncode == 1
    assert result.stderr.startswith(complaint)
    assert result.stderr.count("\n") == 1
