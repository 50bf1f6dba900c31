"""Playing and writing recorded exchanges."""

import msgspec
import pytest

from tests.transport.makers import make_http
from turnout.errors import ConfigError, Forbidden, Internal, StreamInterrupted
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Setup, opened, outcome
from turnout.testing.transport_scripts import CLEAN, PATIENT, sized
from turnout.transport.credentials import authorise_for
from turnout.transport.recording import read_recordings, record, redacted
from turnout.transport.replay import RecordingTransport, ReplayTransport
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest
from turnout.types.secret import Secret

URL = "https://api.example.com/v1/chat"


def request(body, url=URL):
    return HttpRequest("POST", url, (), body)


def recorded(body, answer, status=200, url=URL, *, cut=False):
    return record(request(body, url), status, {"content-type": "application/json"}, answer, cut=cut)


async def ask(transport, body, url=URL):
    response = await transport.send(request(body, url), PATIENT)
    return response.status, await response.read()


async def test_a_body_is_matched_by_value_not_by_spelling():
    replay = ReplayTransport([recorded(b'{"n":1,"m":2}', b"one"), recorded(b'{"n":2}', b"two", 400)])
    assert await ask(replay, b'{"n": 2}') == (400, b"two")
    assert await ask(replay, b'{ "m":2, "n":1 }') == (200, b"one")
    assert replay.unplayed == ()


async def test_equal_requests_are_answered_in_the_order_recorded():
    replay = ReplayTransport([recorded(b"{}", b"one"), recorded(b"{}", b"two")])
    assert [await ask(replay, b"{}") for _ in range(2)] == [(200, b"one"), (200, b"two")]


async def test_an_unknown_body_takes_the_next_of_its_url():
    replay = ReplayTransport([recorded(b"{}", b"one"), recorded(b'{"n":2}', b"two")])
    assert await ask(replay, b'{"n":2}') == (200, b"two")
    assert await ask(replay, b'{"n":3}') == (200, b"one")


async def test_what_was_not_recorded_is_told_clearly():
    replay = ReplayTransport([recorded(b"{}", b"one")], exact=True)
    with pytest.raises(Internal, match="recorded 1 times, never with this body"):
        await ask(replay, b'{"n":3}')
    with pytest.raises(Internal, match=r"nothing \(left\) recorded for POST https://api\.example\.com/other"):
        await ask(replay, b"{}", "https://api.example.com/other")
    await ask(replay, b"{}")
    with pytest.raises(Internal, match=r"nothing \(left\) recorded"):
        await ask(replay, b"{}")


async def test_bodies_can_be_played_in_pieces():
    replay = ReplayTransport([recorded(b"{}", b"abcde")], chunk_bytes=2)
    response = await replay.send(request(b"{}"), PATIENT)
    assert [await response.chunk() for _ in range(4)] == [b"ab", b"cd", b"e", b""]


async def test_a_cut_answer_is_cut_again():
    replay = ReplayTransport([recorded(b"{}", b"abc", cut=True)] * 2)
    response = await replay.send(request(b"{}"), PATIENT)
    assert await response.chunk() == b"abc"
    with pytest.raises(StreamInterrupted):
        await response.chunk()
    with pytest.raises(StreamInterrupted):
        await ask(replay, b"{}")


async def test_a_credential_of_another_host_is_refused_in_replay_too():
    authorise = authorise_for("bearer", Credential("main", Secret("sk-1")), ["other.example"])
    replay = ReplayTransport([recorded(b"{}", b"one")])
    with pytest.raises(Forbidden):
        await replay.send(request(b"{}"), PATIENT, authorise)


async def test_a_recording_holds_no_credential():
    lines = []
    async with Misbehaving() as server:
        url = server.script(
            "/v1?key=sk-secret-query&beta=true",
            sized(b'{"ok":1}', b"set-cookie: id=sk-secret-cookie", b"x-request-id: r1", b"server: x"),
        )
        key = Credential("main", Secret("sk-secret-header"))
        authorise = authorise_for("x-goog-api-key", key, ["127.0.0.1"])
        async with opened(make_http, Setup(urls=(server.base,))) as inner:
            recording = RecordingTransport(inner, lines.append)
            headers = (
                (b"content-type", b"application/json"),
                (b"anthropic-version", b"2023-06-01"),
                (b"x-own-token", b"sk-secret-own"),
            )
            response = await recording.send(HttpRequest("POST", url, headers, b'{"n":1}'), PATIENT, authorise)
            assert await response.read() == b'{"ok":1}'
            response.close()
    (line,) = lines
    assert b"sk-secret" not in line
    written = msgspec.json.decode(line)
    assert len(written.pop("id")) == 16
    assert written == {
        "provider": "127.0.0.1",
        "method": "POST",
        "url": f"{server.base}/v1?key=REDACTED&beta=true",
        "request_headers": {"content-type": "application/json", "anthropic-version": "2023-06-01"},
        "request_body": '{"n":1}',
        "status": 200,
        "response_headers": {"x-request-id": "r1"},
        "response_body": '{"ok":1}',
        "fidelity": {"request": "verbatim", "response": "verbatim"},
    }


async def test_what_was_recorded_plays_back_the_same(tmp_path):
    path = tmp_path / "recorded.jsonl"
    scripts = [scripted for scripted in CLEAN if scripted.method == "POST"]
    async with Misbehaving() as server:
        urls = [server.script(f"/{n}", *scripted.steps) for n, scripted in enumerate(scripts)]
        async with opened(make_http, Setup(urls=(server.base,))) as inner:
            with path.open("wb") as file:
                recording = RecordingTransport(inner, file.write)
                live = [
                    await outcome(recording, scripted, url, whole=n % 2 == 0)
                    for n, (scripted, url) in enumerate(zip(scripts, urls, strict=True))
                ]
    replay = ReplayTransport.load(path, exact=True)
    for scripted, url, expected in zip(scripts, urls, live, strict=True):
        assert await outcome(replay, scripted, url, whole=True) == expected
    assert replay.unplayed == ()


async def test_an_answer_given_up_is_marked_cut():
    lines = []
    async with Misbehaving() as server:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        urls = [server.script("/0", head, End.HOLD), server.script("/1", head, End.CLOSE)]
        async with opened(make_http, Setup(urls=(server.base,))) as inner:
            recording = RecordingTransport(inner, lines.append)
            for url in urls:
                response = await recording.send(request(b"{}", url), PATIENT)
                assert await response.chunk() == b"abc"
                if url is urls[1]:
                    with pytest.raises(StreamInterrupted):
                        await response.chunk()
                response.close()
    written = [msgspec.json.decode(line) for line in lines]
    assert [(line["response_body"], line["cut"]) for line in written] == [("abc", True)] * 2


async def test_bytes_that_are_not_text_survive(tmp_path):
    path = tmp_path / "recorded.jsonl"
    lines = []

    async with Misbehaving() as server:
        url = server.script("/", sized(b"\xff\x00audio"))
        async with opened(make_http, Setup(urls=(server.base,))) as inner:
            response = await RecordingTransport(inner, lines.append).send(request(b"\xfe", url), PATIENT)
            await response.read()
    path.write_bytes(b"".join(lines) + b"\n")
    (again,) = read_recordings(path)
    assert (again.sent, again.received) == (b"\xfe", b"\xff\x00audio")
    assert await ask(ReplayTransport([again]), b"\xfe", url) == (200, b"\xff\x00audio")


def test_keys_in_urls_are_replaced():
    for given, kept in (
        ("https://x/?key=abc", "https://x/?key=REDACTED"),
        ("https://x/?a=1&API-Key=abc&b=2", "https://x/?a=1&API-Key=REDACTED&b=2"),
        (
            "https://x/?X-Amz-Signature=abc&X-Amz-Date=1",
            "https://x/?X-Amz-Signature=REDACTED&X-Amz-Date=REDACTED",
        ),
        ("https://x/key=abc?monkey=1", "https://x/key=abc?monkey=1"),
    ):
        assert redacted(given) == kept


def test_a_broken_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    good = msgspec.json.encode(recorded(b"{}", b"x"))
    path.write_bytes(good + b'\n{"id":1}\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:2: not a recorded exchange"):
        read_recordings(path)
    packed = b'"request_body":"*","request_body_encoding":"base64"'
    path.write_bytes(good.replace(b'"request_body":"{}"', packed))
    with pytest.raises(ConfigError, match=r"bad\.jsonl:1"):
        read_recordings(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_recordings(tmp_path / "absent.jsonl")


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_every_recorded_provider_exchange_plays(shared):
    n_played = 0
    for path in sorted((shared / "wire").glob("*.jsonl")):
        recordings = read_recordings(path)
        replay = ReplayTransport(recordings, exact=True)
        for one in recordings:
            response = await replay.send(HttpRequest(one.method, one.url, (), one.sent), PATIENT)
            assert (response.status, await response.read()) == (one.status, one.received)
            n_played += 1
        assert replay.unplayed == ()
    assert n_played > 2000
