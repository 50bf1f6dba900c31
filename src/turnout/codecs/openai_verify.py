"""What the comparisons of OpenAI's two formats with recorded traffic share. Floor 2."""

import json
from collections.abc import Callable, Mapping

from msgspec import Struct

from turnout.codecs.base import Codec, Dialect
from turnout.codecs.verify import Comparison, Exchange
from turnout.errors import InvalidRequest, StreamInterrupted, TurnoutError
from turnout.types.chat import FinishReason
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Event, UsageUpdate
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_ERRORS: Mapping[int, tuple[str, ...]] = {
    401: ("provider_auth",),
    402: ("provider_quota_exhausted",),
    403: ("provider_auth", "content_filtered"),
    404: ("provider_model_unavailable",),
    429: ("provider_rate_limited", "provider_quota_exhausted"),
}
"""Status -> classes that may follow from it; others are only held to their domain."""


class Verified(Struct, frozen=True):
    """One of the two formats, as it is compared."""

    codec: Codec
    dialect: Dialect
    meaning: Callable[[JsonObject], JsonObject]
    """Brings a request to the form in which two that mean the same are equal."""

    def to(self, raw: JsonObject, quirks: Quirks) -> Deployment:
        """Return a host with the quirks the client evidently counted on."""
        vendor = Vendor(
            name="recorded", base_url="https://recorded.invalid", codec=self.codec.wire, quirks=quirks
        )
        name = str(raw.get("model"))
        return Deployment(id=name, vendor=vendor, model=Model(id=name), upstream_model=name)

    def request(self, record: Exchange, quirks: Quirks, comparison: Comparison) -> None:
        """Compare a recorded request with the same written anew and passed on."""
        raw = json.loads(record.request_body)
        try:
            parsed = self.dialect.parse(record.request_body)
        except InvalidRequest as error:
            if record.status < 400:
                comparison.fail("request", error.param or "", "accepted, as the provider did", error.message)
            return
        to = self.to(raw, quirks)
        sent = self.codec.encode(parsed.request, to)
        passed = self.codec.forward(parsed.wire, to, stream=parsed.request.stream)
        for field, http in (("written", sent.http), ("forwarded", passed.http)):
            comparison.equal("request", field, self.meaning(raw), self.meaning(json.loads(http.body)))

    def error(self, record: Exchange, comparison: Comparison) -> None:
        """Hold the class of a failure to its status."""
        word = self.codec.error(record.answer).row.word
        comparison.one_of("error", "class", _ERRORS.get(record.status, (word,)), word)

    def glance(
        self, record: Exchange, finish: FinishReason | str | None, usage: Usage, comparison: Comparison
    ) -> None:
        """Compare what is read of an answer that passes with what is read of it whole."""
        glance = self.codec.glance(record.answer)
        comparison.equal("decode", "glance.finish", finish, glance.finish)
        comparison.equal("decode", "glance.usage", True, glance.usage == usage)
        comparison.equal("decode", "glance.body", True, glance.body == record.response_body)

    def events(
        self, record: Exchange, comparison: Comparison, *, failed: bool, ended: bool
    ) -> list[Event] | None:
        """Read a stream that `failed` inside or was cut; None where that was noticed."""
        events: list[Event] = []
        try:
            decoder = self.codec.decoder()
            events += decoder.feed(record.response_body)
            events += decoder.end()
        except TurnoutError as error:
            noticed = TurnoutError if failed else StreamInterrupted
            comparison.equal("error", "stream", failed or not ended, isinstance(error, noticed))
            return None
        comparison.equal("error", "stream", False, failed or not ended)
        return events

    def tap(
        self, body: bytes, usage: list[Usage], lines: Callable[[bytes], Json], comparison: Comparison
    ) -> None:
        """Compare a stream that passes with itself, and the last of its counters with those decoded."""
        tap = self.codec.tap(strip_usage=False)
        out = tap.feed(body) + tap.end()
        comparison.equal("decode", "tap.frames", lines(body), lines(out))
        comparison.equal("decode", "tap.usage", True, usage == ([] if tap.usage is None else [tap.usage]))


def counters(events: list[Event]) -> list[Usage]:
    """Return the counters that a stream told, in order."""
    return [event.usage for event in events if isinstance(event, UsageUpdate)]
