"""One recorded exchange as a JSON line, and what of it may be written down. Floor 3.

Form: an object per line with `id`, `provider`, `method`, `url`, `request_headers`, `request_body`, `status`,
`response_headers`, `response_body`, `fidelity`; a body that is not UTF-8 is base64 and says so in
`request_body_encoding` or `response_body_encoding`. `cut` marks an answer that was not received to its end.
Only headers on a list of harmless ones are kept, and values of query parameters that hold keys are replaced:
a credential has no field to land in.
"""

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.types.http import Headers, HttpRequest

_SECRET_PARAMETER = re.compile(
    r"([?&](?:key|api[-_]?key|token|access_token|sig|signature|x-amz-[a-z-]+|subscription-key)=)[^&#]*",
    re.IGNORECASE,
)
_KEPT_REQUEST = re.compile(r"content-type|accept|[a-z-]+-(?:version|beta)")
_KEPT_RESPONSE = re.compile(
    r"content-type|transfer-encoding|retry-after(?:-ms)?|server-timing|date|x-should-retry|openai-model"
    r"|[a-z-]*request-?id|[a-z-]+-(?:ms|version|region|count|latency)|[a-z-]*ratelimit-[a-z-]+"
)

_ELIDED = "ELIDED-"
"""Begins the mark that stands in place of a long payload; it is played as it is."""

Encoding = Literal["base64"]


class Recorded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One exchange as written down; fields of other writers are ignored."""

    id: str
    provider: str
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    request_body_encoding: Encoding | None = None
    status: int
    response_headers: Mapping[str, str]
    response_body: str
    response_body_encoding: Encoding | None = None
    fidelity: Mapping[str, str] = {}
    cut: bool = False

    @property
    def sent(self) -> bytes:
        """The request's body."""
        return _bytes(self.request_body, self.request_body_encoding)

    @property
    def received(self) -> bytes:
        """The answer's body, content encodings undone."""
        return _bytes(self.response_body, self.response_body_encoding)


_DECODE = msgspec.json.Decoder(Recorded).decode
_ENCODE = msgspec.json.Encoder().encode
_VERBATIM = {"request": "verbatim", "response": "verbatim"}


def read_recordings(path: Path) -> tuple[Recorded, ...]:
    """Read a JSONL file of exchanges. Raises `ConfigError` naming file and line."""
    found = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(_parse(line, f"{path}:{number}"))
    except OSError as error:
        raise ConfigError((f"{path}: {error.strerror}",)) from error
    return tuple(found)


def write_recording(recorded: Recorded) -> bytes:
    """Return the exchange as one line."""
    return _ENCODE(recorded) + b"\n"


def record(
    request: HttpRequest, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool
) -> Recorded:
    """Write down an exchange without what must not be kept."""
    url = redacted(request.url)
    provider = re.sub(r"^[a-z]+://([^/:?]*).*$", r"\1", url, flags=re.DOTALL)
    sent, sent_encoding = _text(request.body)
    received, received_encoding = _text(body)
    parts = (provider, request.method, url, sent, str(status))
    return Recorded(
        id=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16],
        provider=provider,
        method=request.method,
        url=url,
        request_headers=_kept(_decoded(request.headers), _KEPT_REQUEST),
        request_body=sent,
        request_body_encoding=sent_encoding,
        status=status,
        response_headers=_kept(headers.items(), _KEPT_RESPONSE),
        response_body=received,
        response_body_encoding=received_encoding,
        fidelity=_VERBATIM,
        cut=cut,
    )


def redacted(url: str) -> str:
    """Return the URL with the values of parameters that hold keys replaced."""
    return _SECRET_PARAMETER.sub(r"\1REDACTED", url) if "?" in url else url


def digest(body: bytes) -> bytes:
    """Return what two equal bodies share; JSON is compared by value, not by spelling."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # not JSON: compared as it is
        body = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return hashlib.sha256(body).digest()


def _parse(line: bytes, where: str) -> Recorded:
    try:
        recorded = _DECODE(line)
        recorded.sent, recorded.received  # noqa: B018 - base64 is checked here, where the line is known
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise ConfigError((f"{where}: not a recorded exchange ({error})",)) from error
    return recorded


def _bytes(text: str, encoding: Encoding | None) -> bytes:
    if encoding is None or text.startswith(_ELIDED):
        return text.encode()
    return base64.b64decode(text, validate=True)


def _text(data: bytes) -> tuple[str, Encoding | None]:
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def _decoded(headers: Headers) -> Iterable[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _kept(headers: Iterable[tuple[str, str]], names: re.Pattern[str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if names.fullmatch(name.lower())}
