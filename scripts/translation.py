"""What is lost between chat formats, as data and as a page of the reference.

    python scripts/translation.py --data ../shared/wire   # translate every record, write data and page
    python scripts/translation.py                         # write the page from the data
    python scripts/translation.py --check                 # fail when the page is not what the data say

The data hold names of features and counts, never what was recorded.
"""

import argparse
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import turnout
from turnout.evaluate.translate.answers import UNSAID
from turnout.evaluate.translate.report import Cell, Table, of_records
from turnout.evaluate.translate.says import LIMITS, RESHAPED
from turnout.evaluate.translate.why import why
from turnout.transport.recording import read_recordings

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "results" / "losses.json"
PAGE = ROOT / "docs" / "reference" / "translation.md"
NOTE = (
    "<!-- Written by scripts/translation.py from benchmarks/results/losses.json; `make docs` checks it. -->"
)
COMMAND = "python scripts/translation.py --data ../shared/wire"
NAMES: Mapping[str, str] = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini, Vertex",
    "bedrock": "Bedrock",
    "cohere": "Cohere",
    "ollama": "Ollama",
}
VERDICTS = ("kept", "reshaped", "told", "refused", "silent", "lost")


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feature of the requests, or of the answers, of one format."""

    origin: str
    feature: str
    to: dict[str, dict[str, int]]
    """Other format -> what became of it -> requests, or answers."""
    streamed: bool = False


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    command: str
    date: str
    python: str
    turnout: str
    machine: str
    records: int
    requests: dict[str, int]
    answers: dict[str, int]
    streams: dict[str, int]
    rows: list[Row]
    answer_rows: list[Row]


def measure(folder: Path) -> Measured:
    """Translate every record of a folder."""
    records = [record for file in sorted(folder.glob("*.jsonl")) for record in read_recordings(file)]
    table = of_records(records)
    if table.defects:
        shown = "\n".join(
            f"  {each.verdict} {each.origin} → {each.other}: {each.feature}" for each in table.defects
        )
        sys.exit(f"{len(table.defects)} losses that should not be; mend the codec first:\n{shown[:4000]}")
    return Measured(
        command=COMMAND,
        date=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
        turnout=turnout.__version__,
        machine=f"{platform.machine()}; counts do not depend on it",
        records=len(records),
        requests=dict(table.requests),
        answers=dict(table.answers),
        streams=dict(table.streams),
        rows=list(rows_of(table.cells)),
        answer_rows=list(answer_rows_of(table)),
    )


def rows_of(cells: tuple[Cell, ...]) -> Iterator[Row]:
    """Put the cells of one feature into one row."""
    found: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for cell in cells:
        counts = {name: n for name in (*VERDICTS, "back") if (n := getattr(cell, name))}
        found.setdefault((cell.origin, cell.feature), {})[cell.other] = counts
    for (origin, feature), to in found.items():
        yield Row(origin=origin, feature=feature, to=to)


def answer_rows_of(table: Table) -> Iterator[Row]:
    """Put the cells of one feature of the answers into one row, streams apart."""
    found: dict[tuple[str, str, bool], dict[str, dict[str, int]]] = {}
    for cell in table.answer_cells:
        counts = {name: n for name in ("kept", "unsaid", "lost") if (n := getattr(cell, name))}
        found.setdefault((cell.origin, cell.feature, cell.streamed), {})[cell.other] = counts
    for (origin, feature, streamed), to in found.items():
        yield Row(origin=origin, feature=feature, to=to, streamed=streamed)


def page(measured: Measured) -> str:
    """Write the page."""
    parts = [
        "# What is lost between formats",
        NOTE,
        intro(measured),
        *(text for origin in NAMES for text in section(measured, origin)),
        "## Why",
        bullets({group(row.feature): why(row.feature) or "" for row in measured.rows if is_short(row)}),
        "Said in another shape, without a notice:",
        bullets({name: sentence for name, (_, sentence) in RESHAPED.items()}),
        "Said by the format, but not in every value or company; told where it is not:",
        bullets({name: f"{names(formats)}: {sentence}" for name, (formats, sentence) in LIMITS.items()}),
        "## Answers",
        answers(measured),
        bullets({name: f"{names(formats)}: {sentence}" for name, (formats, sentence) in UNSAID.items()}),
    ]
    return "\n\n".join(parts) + "\n"


def intro(measured: Measured) -> str:
    """Say what was done, and how to read the tables."""
    n = sum(measured.requests.values())
    heard = sum(measured.answers.values()) + sum(measured.streams.values())
    trips = n * (len(NAMES) - 1)
    return f"""{n:,} recorded requests, each written for an upstream of every other chat format, read there,
written back and compared with what was recorded: {trips:,} round trips. *Kept*: the same in the end.
*Reshaped*: in another form that means the same. *Told*: left out or changed, with a notice in
`x-turnout-dropped-params` or `x-turnout-warnings`. *Refused*: the request is refused for its sake, or goes to
another candidate. ✓ and a number: kept in all requests that have it; an empty field: they were refused for
something else. Nothing got lost in silence, and nothing that both formats can say but for [its limits](#why):
the tests hold both. When the gateway drops and when it refuses: [WIRE.md](../design/WIRE.md), section 2.2.

`{measured.command}`, {measured.date}, turnout {measured.turnout}, Python {measured.python},
{measured.machine}. Of {measured.records:,} recorded exchanges {n:,} are chats that a provider accepted, and
{heard:,} of these have an answer that can be read. For your own traffic: `turnout record translate`, in
[record and verify](../how-to/record-and-verify.md)."""


def section(measured: Measured, origin: str) -> Iterator[str]:
    """Write the part of one format."""
    rows = [row for row in measured.rows if row.origin == origin]
    others = [name for name in NAMES if name != origin]
    whole = sorted(row.feature for row in rows if not any(is_less(counts) for counts in row.to.values()))
    yield f"## From {NAMES[origin]} ({measured.requests.get(origin, 0):,} requests)"
    yield "Kept everywhere: " + ", ".join(f"`{name}`" for name in whole) + "."
    rest = grouped(row for row in rows if row.feature not in whole)
    lines = [[f"`{name}`", *(cell(to.get(other)) for other in others)] for name, to in sorted(rest.items())]
    yield table(["feature", *(NAMES[other] for other in others)], lines)


def answers(measured: Measured) -> str:
    """Write the table of answers: by what the client speaks."""
    n = sum(measured.answers.values())
    streams = sum(measured.streams.values())
    text = f"""{n:,} whole answers and {streams:,} streams, each told to a client of every other format and
read by that format's own reader. Columns are what the client speaks.

"""
    lines = [
        [f"`{name}`", *(cell(to.get(other)) for other in NAMES)]
        for name, to in sorted(grouped(measured.answer_rows).items())
    ]
    return text + table(["feature", *NAMES.values()], lines)


def grouped(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """Add rows of one name up; blocks and tools of a provider's own are one row each."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        name = group(row.feature)
        for other, counts in row.to.items():
            total = found.setdefault(name, {}).setdefault(other, {})
            for verdict, n in counts.items():
                total[verdict] = total.get(verdict, 0) + n
    return found


def group(feature: str) -> str:
    """Return the row a feature stands in: tools and blocks of a provider's own have one each."""
    kind = next((kind for kind in ("server tool", "block") if feature.startswith(f"{kind} ")), None)
    return feature if kind is None else f"{kind} …"


def cell(counts: Mapping[str, int] | None) -> str:
    """Write one field."""
    if not counts:
        return ""
    shown = {name: n for name, n in counts.items() if name != "back"}
    if set(shown) == {"kept"}:
        return f"✓ {shown['kept']:,}"
    words = ", ".join(f"{n:,} {name}" for name, n in shown.items())
    back = counts.get("back", 0)
    return f"{words} ({back:,} on the way back)" if back else words


def is_less(counts: Mapping[str, int]) -> bool:
    """Tell whether something other than keeping happened."""
    return set(counts) != {"kept"}


def is_short(row: Row) -> bool:
    """Tell whether some request lost the feature."""
    return any(counts.get("told") or counts.get("refused") for counts in row.to.values())


def names(formats: frozenset[str]) -> str:
    """List formats in the order of the page."""
    return (
        "all" if len(formats) == len(NAMES) else ", ".join(NAMES[name] for name in NAMES if name in formats)
    )


def bullets(sentences: Mapping[str, str]) -> str:
    """Write a list of features with a sentence each."""
    return "\n".join(f"- `{name}`: {sentence}" for name, sentence in sorted(sentences.items()))


def table(header: list[str], lines: list[list[str]]) -> str:
    """Write a Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in rows)


def stored(measured: Measured) -> str:
    """Write the data, one row a line."""
    tree = msgspec.to_builtins(measured)
    head = {name: value for name, value in tree.items() if not name.endswith("rows")}
    text = msgspec.json.format(msgspec.json.encode(head), indent=1).decode().removesuffix("\n}")
    for name in ("rows", "answer_rows"):
        lines = ",\n  ".join(msgspec.json.encode(row).decode() for row in tree[name])
        text += f',\n "{name}": [\n  {lines}\n ]'
    return text + "\n}\n"


def read() -> Measured:
    """Read the data."""
    return msgspec.json.decode(DATA.read_bytes(), type=Measured)


def main() -> None:
    """Measure, write, or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of recordings to translate")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is stale")
    asked = parser.parse_args()
    if asked.data is not None:
        DATA.write_text(stored(measure(asked.data)), encoding="utf-8")
    text = page(read())
    if asked.check:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text
        sys.exit(f"{PAGE.relative_to(ROOT)} is stale: run `python scripts/translation.py`" if stale else 0)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
