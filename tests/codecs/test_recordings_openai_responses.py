"""Recorded traffic of hosts that speak responses, decoded and compared with the raw bytes."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from turnout.codecs.base import Codec
from turnout.codecs.openai_responses import DIALECT
from turnout.codecs.openai_responses.verify import check, speaks
from turnout.codecs.verify import Exchange
from turnout.errors import TurnoutError
from turnout.registry import load
from turnout.types.deployment import Deployment, Model, Vendor


def exchanges(folder: Path) -> Iterator[tuple[str, Exchange]]:
    for file in sorted((folder / "wire").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if "/responses" not in record["url"] or not record["request_body"]:
                continue
            if record.get("request_body_encoding") or record.get("response_body_encoding"):
                continue
            yield (
                record["id"],
                Exchange(
                    provider=record["provider"],
                    method=record["method"],
                    url=record["url"],
                    request_body=record["request_body"].encode(),
                    status=record["status"],
                    response_headers=record["response_headers"],
                    response_body=record["response_body"].encode(),
                ),
            )


def test_every_record_of_this_format_reads_as_the_provider_wrote_it(shared: Path) -> None:
    records, compared = Counter[str](), Counter[str]()
    wrong: list[str] = []
    for name, exchange in exchanges(shared):
        if not speaks(exchange.method, exchange.url, json.loads(exchange.request_body)):
            continue
        checked = check(exchange)
        records[exchange.provider] += 1
        compared.update(checked.compared)
        wrong += [f"{exchange.provider} {name}: {mismatch}" for mismatch in checked.mismatches]
    sys.stdout.write(f"{records.total()} records {dict(records)}, compared {dict(compared)}\n")
    assert wrong == []
    assert records.total() > 0


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic", "gemini", "cohere", "bedrock"])
def test_every_recorded_request_is_written_in_other_formats_or_refused_by_name(
    shared: Path, wire: str
) -> None:
    codec = cast("type[Codec]", load("turnout.codecs", wire))()
    vendor = Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec=wire)
    to = Deployment(id="acme/m", vendor=vendor, model=Model(id="acme/m"), upstream_model="m")
    written, refused = 0, Counter[str]()
    for _, exchange in exchanges(shared):
        if not speaks(exchange.method, exchange.url, json.loads(exchange.request_body)):
            continue
        request = DIALECT.parse(exchange.request_body).request
        try:
            codec.encode(request, to)
        except TurnoutError as error:
            refused[error.message] += 1
        else:
            written += 1
    sys.stdout.write(f"{wire}: {written} written, refused {dict(refused)}\n")
    assert written > refused.total()
