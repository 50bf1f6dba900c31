"""The contract of a wire format as a test: `check_codec(Mine(), streams=…, answers=…)`. Floor 6.

What every `Codec` must keep whatever its format: a stream means the same however its bytes are split, one
that is cut never ends cleanly, and bytes nobody meant raise a class of the taxonomy and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from random import Random

from turnout.codecs.base import Codec, Decoder
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Deployment
from turnout.types.event import Event, Finish, UsageUpdate
from turnout.types.http import HttpResponse

_STATUSES = (0, 200, 301, 400, 401, 402, 403, 404, 408, 413, 418, 422, 424, 429, 498, 500, 503, 504, 529)
_SECRETS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-amz-security-token", b"cookie")
_N_CUTS = 200
_N_SPLITS = 25
_N_DAMAGED = 200

Read = tuple[list[Event], type[BaseException] | None]
"""What was read, and the class of the failure that ended it."""


def check_codec(
    codec: Codec, to: Deployment, *, streams: Sequence[bytes], answers: Sequence[bytes], seed: int = 0
) -> None:
    """Check a codec. Raises `AssertionError` with the first promise that is not kept.

    Args:
        codec: The format under test.
        to: A deployment that speaks it.
        streams: Whole streams of good answers.
        answers: Bodies of good answers that are not streamed.
        seed: Of the splits and damages.
    """
    rng = Random(seed)  # noqa: S311  repeatable, not secret
    _check_requests(codec, to)
    for stream in streams:
        _check_splits(codec, stream, rng)
        _check_cuts(codec, stream, rng)
        _check_tap(codec, stream)
    _check_damage(codec, streams, answers, rng)
    for body in (*answers, *streams, b"", b"{}", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"error":7}'):
        for status in _STATUSES:
            error = codec.error(HttpResponse(status, {}, body))
            assert isinstance(error, TurnoutError), f"error() of {status} gave {error!r}"


def read_stream(decoder: Decoder, pieces: Iterable[bytes]) -> Read:
    """Read a stream to its end or its failure."""
    events: list[Event] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        while more := decoder.end():
            events += more
    except TurnoutError as error:
        return events, type(error)
    return events, None


def _check_requests(codec: Codec, to: Deployment) -> None:
    request = ChatRequest(model="m", messages=(Message("user", (Text("Hello"),)),))
    for stream in (False, True):
        asked = ChatRequest(model=request.model, messages=request.messages, stream=stream)
        http = codec.encode(asked, to).http
        assert http.url.startswith(to.url), f"{http.url} is not beneath {to.url}"
        names = {name for name, _ in http.headers}
        assert not names & set(_SECRETS), f"a codec presents no credential, yet wrote {names & set(_SECRETS)}"
        assert all(name == name.lower() for name in names), f"header names are lower-case: {names}"
        assert http == codec.encode(asked, to).http, "the same request is written alike"


def _check_splits(codec: Codec, stream: bytes, rng: Random) -> None:
    whole = read_stream(codec.decoder(), [stream])
    assert whole[1] is None, f"a whole stream raised {whole[1]}"
    finishes = [event for event in whole[0] if isinstance(event, Finish)]
    assert finishes, "a whole stream has no Finish"
    single = [stream[at : at + 1] for at in range(len(stream))]
    assert read_stream(codec.decoder(), single) == whole, "a stream byte by byte reads otherwise than whole"
    for _ in range(_N_SPLITS):
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(1, 12)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert read_stream(codec.decoder(), pieces) == whole, f"a stream split at {cuts} reads otherwise"


def _check_cuts(codec: Codec, stream: bytes, rng: Random) -> None:
    whole, _ = read_stream(codec.decoder(), [stream])
    for _ in range(_N_CUTS):
        at = rng.randrange(len(stream))
        events, failed = read_stream(codec.decoder(), [stream[:at]])
        ended = any(isinstance(event, Finish) for event in events)
        assert failed is not None or ended, f"a stream cut at {at} of {len(stream)} ended cleanly"
        assert events == whole[: len(events)], f"a stream cut at {at} said what the whole one does not"


def _check_tap(codec: Codec, stream: bytes) -> None:
    tap = codec.tap(strip_usage=False)
    tap.feed(stream)
    tap.end()
    events, _ = read_stream(codec.decoder(), [stream])
    usage = [event.usage for event in events if isinstance(event, UsageUpdate)]
    finish = next(event.reason for event in events if isinstance(event, Finish))
    assert (tap.usage, tap.finish) == (usage[-1] if usage else None, finish), "tap and decoder differ"


def _check_damage(codec: Codec, streams: Sequence[bytes], answers: Sequence[bytes], rng: Random) -> None:
    for stream in streams:
        for _ in range(_N_DAMAGED):
            bad = _damaged(stream, rng)
            _only_ours(lambda bad=bad: read_stream(codec.decoder(), [bad]), bad)  # type: ignore[misc]  # a default binds
    for body in answers:
        for _ in range(_N_DAMAGED):
            bad = _damaged(body, rng)
            _only_ours(lambda bad=bad: codec.decode(HttpResponse(200, {}, bad)), bad)  # type: ignore[misc]


def _only_ours(call: Callable[[], object], bad: bytes) -> None:
    try:
        call()
    except TurnoutError:
        pass
    except Exception as error:
        raise AssertionError(f"{bad[:200]!r} raised {type(error).__name__}: {error}") from error


def _damaged(data: bytes, rng: Random) -> bytes:
    """Return the data with a few bytes changed, dropped, doubled or put in."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randrange(1, 40)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 60)]
            case 3:
                out[at:at] = rng.choice((b"null", b"{}", b"[]", b"-1", b'""', b"1e400", b"\n\n", b"\x00"))
            case _:
                del out[at:]
    return bytes(out)
