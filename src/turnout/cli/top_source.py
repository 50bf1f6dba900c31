"""What `turnout top` looks at: a running gateway's admin API, or a journal. Floor 7."""

import http.client
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from turnout.cli.top_frame import Deployment, Frame, Limit, Seen, Used

if TYPE_CHECKING:
    from turnout.stores.postgres.rows import PostgresRows
    from turnout.stores.sqlite import SqliteRows

T = TypeVar("T")
_WAIT_S: Final = 10.0
_MOST_BYTES: Final = 16 << 20
_SECURE: Final = frozenset({"https"})
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class TopError(Exception):
    """Nothing can be shown; the message is one line that says why."""


class Source(Protocol):
    """Where frames come from."""

    def frame(self, span: timedelta, n: int) -> Frame:
        """Return what happened in the last `span`, with the `n` latest requests. Raises `TopError`."""


class _Listed(Struct):
    data: list[msgspec.Raw]


class _Told(Struct, frozen=True):
    message: str = ""


class _Failure(Struct):
    error: _Told = _Told()


class Gateway:
    """The admin API of a running gateway.

    Args:
        url: Its address, such as http://127.0.0.1:4000.
        key: A key that administers, at least a viewer's; None = none is needed on the machine itself.
    """

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            raise TopError(f"{url!r} is no address of a gateway; expected http://127.0.0.1:4000 or https://…")
        if key and parts.scheme == "http" and host not in _LOCAL:
            raise TopError(f"a key would go to {host} in the clear; use https")
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._secure, self._host, self._port = parts.scheme in _SECURE, host, parts.port
        self._base = parts.path.rstrip("/")
        self._headers = {"accept": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})

    def frame(self, span: timedelta, n: int) -> Frame:
        """Ask for everything that one frame shows. Raises `TopError`."""
        now = datetime.now(UTC)
        since = {"since": (now - span).isoformat(), "until": (now + timedelta(minutes=1)).isoformat()}
        total = self._rows("/usage/totals", Used, since)
        return Frame(
            where=self.name,
            at=now,
            span=span,
            total=total[0] if total else Used(),
            models=tuple(self._rows("/usage/totals", Used, {**since, "by": "model"})),
            latest=tuple(self._rows("/requests", Seen, {"limit": str(n)})),
            deployments=tuple(self._rows("/deployments", Deployment, {})),
            limits=tuple(self._rows("/standing", Limit, {})),
        )

    def _rows(self, path: str, kind: type[T], query: dict[str, str]) -> list[T]:
        body = self._get(f"/admin/v1{path}?{urlencode(query)}")
        try:
            listed = msgspec.json.decode(body, type=_Listed).data
            return [msgspec.json.decode(each, type=kind, strict=False) for each in listed]
        except msgspec.MsgspecError as error:
            raise TopError(f"{self.name} does not answer as a gateway does: {error}") from error

    def _get(self, path: str) -> bytes:
        """Ask once; a redirection is not followed, so that the key goes nowhere else."""
        context = ssl.create_default_context() if self._secure else None
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=_WAIT_S)
            if context is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=_WAIT_S, context=context)
        )
        try:
            connection.request("GET", f"{self._base}{path}", headers=self._headers)
            reply = connection.getresponse()
            body = reply.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            hint = "`turnout serve` starts a gateway, --url names another, --journal reads a file"
            raise TopError(f"{self.name} cannot be reached: {why}; {hint}") from error
        finally:
            connection.close()
        if reply.status == http.client.OK:
            return body
        try:
            told = msgspec.json.decode(body, type=_Failure).error.message
        except msgspec.MsgspecError:
            told = ""
        raise TopError(f"{self.name} answers {reply.status}: {told or 'no reason is given'}")


class Kept:
    """A journal, read while whoever writes it runs or does not."""

    def __init__(self, rows: "SqliteRows | PostgresRows", name: str) -> None:
        self._rows, self.name = rows, name

    def frame(self, span: timedelta, n: int) -> Frame:
        """Read everything that one frame shows. Raises `TopError`."""
        from turnout.errors import StoreUnavailable
        from turnout.server.admin.usages import rows_of
        from turnout.stores.base import Query
        from turnout.stores.columns import columns_of
        from turnout.stores.sums.usage import UsageQuery

        now = datetime.now(UTC)
        asked = UsageQuery(since=now - span, until=now + timedelta(minutes=1))
        by_model = msgspec.structs.replace(asked, by=("model",))
        try:
            total = rows_of(asked, self._rows.usage(asked))
            models = rows_of(by_model, self._rows.usage(by_model))
            records = self._rows.query(Query(limit=n)).records
        except StoreUnavailable as error:
            raise TopError(str(error)) from error
        latest = []
        for record in records:
            of = columns_of(record)
            latest.append(
                Seen(
                    request_id=of.request_id,
                    at=record.at,
                    route=of.route,
                    model=of.model,
                    error=of.error,
                    cost_usd=None if of.cost_nusd is None else of.cost_nusd / 1e9,
                    input_tokens=of.n_input,
                    output_tokens=of.n_output,
                    ttft_s=of.ttft_s,
                    total_s=of.total_s,
                    fallbacks=of.n_fallbacks,
                )
            )
        return Frame(
            where=self.name,
            at=now,
            span=span,
            total=msgspec.convert(total[0], Used, strict=False) if total else Used(),
            models=tuple(msgspec.convert(models, list[Used], strict=False)),
            latest=tuple(latest),
        )
