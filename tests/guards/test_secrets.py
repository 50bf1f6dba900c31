import random
import re
import time
from pathlib import Path

import pytest

from turnout.guards.base import USER
from turnout.guards.secrets import Secrets
from turnout.guards.secrets.patterns import ROWS

GUARD = Secrets()
HEADER = "-" * 5 + "BEGIN RSA PRIVATE KEY" + "-" * 5


def sample(form, rng):
    """Write one string of a form."""
    return _write(re._parser.parse(form, re.ASCII), rng)


def _write(tokens, rng):
    return "".join(_one(op, arg, rng) for op, arg in tokens)


def _one(op, arg, rng):
    name = str(op)
    if name == "LITERAL":
        return chr(arg)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = arg
        n = rng.randint(least, min(int(most), least + 12))
        return "".join(_write(inner, rng) for _ in range(n))
    if name == "SUBPATTERN":
        return _write(arg[3], rng)
    if name == "BRANCH":
        return _write(rng.choice(arg[1]), rng)
    assert name == "IN", name
    return rng.choice(_chars(arg))


def _chars(tokens):
    negated = str(tokens[0][0]) == "NEGATE"
    chars = set()
    for op, arg in tokens:
        if str(op) == "LITERAL":
            chars.add(chr(arg))
        elif str(op) == "RANGE":
            chars |= {chr(code) for code in range(arg[0], arg[1] + 1)}
        elif str(op) == "CATEGORY":
            chars |= set(" \t\n")
    return sorted(set("abcdefgXYZ0123456789!#;,") - chars if negated else chars)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
def test_every_sample_of_a_form_is_found_in_a_sentence(row):
    rng = random.Random(row.kind)
    for _ in range(100):
        value = sample(row.form, rng)
        while re.search(r"(.)\1{9}|xxxx|XXXX|\.{3}|12345678|abcdefgh", value) or (
            value[-1] in ".-" and "KEY" not in value
        ):
            value = sample(row.form, rng)
        text = f"the value is {value} and that is all"
        found = GUARD.check(text, USER)
        assert len(found) == 1, (value, found)
        assert (found[0].start, found[0].end) == (13, 13 + len(value)), value


def test_at_least_sixty_kinds_are_known_each_with_its_source():
    assert len({row.kind for row in ROWS}) >= 60
    assert all(row.source and row.anchors for row in ROWS)


def test_kinds_are_closed_words():
    assert all(re.fullmatch(r"[a-z0-9_]+", row.kind) for row in ROWS)


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "sk-ant-api03-xxxxxxxx",
        "postgres://user:password@localhost/db",
        "ghp_" + "a" * 36,
        "a commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "https://example.org/path?x=1",
        "eyJhbGciOi",
    ],
)
def test_what_says_itself_that_it_is_none_is_left_alone(text):
    assert GUARD.check(text, USER) == ()


def test_a_kind_can_be_let_through():
    value = "sk_test_" + "a1B2c3D4e5F6g7H8i9J0k1L2"
    assert [each.kind for each in GUARD.check(value, USER)] == ["stripe_test_key"]
    assert Secrets(ignore=frozenset(("stripe_test_key",))).check(value, USER) == ()


def test_a_private_key_is_found_whole():
    key = HEADER + "\n" + "MIIEow" * 40 + "\n-----END RSA PRIVATE KEY-----"
    found = GUARD.check(f"here: {key} end", USER)
    assert [(each.kind, each.start, each.end) for each in found] == [("private_key", 6, 6 + len(key))]


def test_code_raises_no_false_alarm():
    root = Path(__file__).resolve().parents[2]
    library = Path(random.__file__).parent
    files = [*sorted((root / "src").rglob("*.py")), *sorted(library.glob("*.py"))]
    lines = [
        line for file in files for line in file.read_text(errors="replace").splitlines() if line.strip()
    ][::9]
    assert len(lines) >= 10_000
    alarms = [line for line in lines if GUARD.check(line, USER)]
    assert len(alarms) <= 0.001 * len(lines), alarms[:20]


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" * 50_000,
        "eyJ" * 70_000,
        "eyJa.eyJ" * 25_000,
        "A" * 500_000,
        "://" * 70_000,
        "a://b:" * 30_000,
        f"{HEADER}\n" * 6_000,
        "sk-" * 60_000,
        "-us" * 70_000,
        " eyJ" + "a" * 2000,
        (" eyJ" + "a" * 1000) * 100,
    ],
    ids=range(11),
)
def test_a_hostile_text_takes_bounded_time(text):
    began = time.process_time()
    GUARD.check(text, USER)
    assert time.process_time() - began < 4.0
