"""Recorded traffic for the comparisons of one format. The recordings are not part of this repository."""

import base64
import json

from turnout.codecs.verify import Exchange


def exchanges(shared, name, speaks):
    """Yield the recorded exchanges of one file in a format."""
    for line in (shared / "wire" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("request_body_encoding"):
            continue
        try:
            asked = json.loads(record["request_body"] or "null")
        except ValueError:
            continue
        if not isinstance(asked, dict) or not speaks(record["method"], record["url"], asked):
            continue
        binary = record.get("response_body_encoding") == "base64"
        said = record["response_body"]
        yield Exchange(
            provider=record["provider"],
            method=record["method"],
            url=record["url"],
            request_body=record["request_body"].encode(),
            status=record["status"],
            response_headers=record["response_headers"],
            response_body=base64.b64decode(said) if binary else said.encode(),
        )
