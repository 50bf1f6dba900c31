import msgspec
import pytest

from turnout.compress.compact import sentences_of
from turnout.compress.tidy import tabled, tidied
from turnout.compress.trim import trimmed
from turnout.signals.tokens.estimate import estimate


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{\n "a": 1.0,\n "a": 1e5, "b": "x \\u00e9  y"}', '{"a":1.0,"a":1e5,"b":"x \\u00e9  y"}'),
        ("[1, 2", "[1, 2"),
        ('Found:\n{\n  "a": [1, 2]\n}\nDone.   \n\n\n\n\nBye', 'Found:\n{"a":[1,2]}\nDone.\n\n\nBye'),
        ("void f()\n{\n  return 1;\n}\n", "void f()\n{\n  return 1;\n}\n"),
        ("plain", "plain"),
        ("", ""),
        ("\ud800 lone", "\ud800 lone"),
        ('{"a": "\ud800"}', '{"a": "\ud800"}'),
    ],
)
def test_layout_goes_and_values_stay(text, wanted):
    assert tidied(text) == wanted


def test_lists_of_like_objects_become_tables():
    items = '[{"id": 1, "name": 1.50}, {"id": 2, "name": 2}, {"id": 3, "name": "\\u00e9"}]'
    rows = f'{{"items": {items}, "more": [1, 2]}}'
    assert tabled(rows) == (
        '{"items":{"columns":["id","name"],"rows":[[1,1.50],[2,2],[3,"\\u00e9"]]},"more":[1,2]}'
    )


@pytest.mark.parametrize(
    "text",
    [
        '[{"a":1,"name":2},{"name":1,"a":2},{"a":1,"name":2},{"a":1,"name":2}]',
        '[{"name":1,"name":2},{"name":1,"name":2},{"name":1,"name":2}]',
        '[{"a":1},{"a":2}]',
        "no JSON",
    ],
)
def test_other_lists_stay_as_they_are(text):
    assert tabled(text) is text


def test_of_a_long_text_head_tail_and_telling_lines_stay():
    lines = [f"step {at} went well" for at in range(2_000)]
    lines[900] = "ERROR: signal 7 does not answer"
    cut = trimmed("\n".join(lines), 200, estimate)
    assert estimate(cut) <= 200
    assert cut.startswith("step 0 went well\n")
    assert cut.endswith("step 1999 went well")
    assert "\nERROR: signal 7 does not answer\n" in cut
    assert cut.count("characters left out") == 2


def test_a_short_text_is_not_cut():
    text = "all is well"
    assert trimmed(text, 50, estimate) is text


WALLS = {
    "base64": "QUJD" * 250_000,
    "spaces": " " * 1_000_000,
    "blank lines": "\n" * 1_000_000,
    "blanks before text": "a" + " \t" * 500_000 + "b",
    "open brackets": "[" * 1_000_000,
    "nested": "[" * 200_000 + "]" * 200_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "braces on lines": "{\n" * 400_000,
    "combining": "e" + "\u0301" * 500_000,
    "emoji": "👩‍👩‍👧‍👦" * 100_000,
    "errors": "error\n" * 150_000,
    "one long error line": "error " * 150_000,
    "sentences": "Is it so? " * 100_000,
    "like objects": "[" + ",".join('{"a":1,"b":[{"a":1},{"a":2},{"a":3}]}' for _ in range(20_000)) + "]",
    "surrogates": "\ud800" * 300_000,
}


@pytest.mark.parametrize("name", WALLS)
def test_hostile_texts_take_time_in_proportion_to_their_length(name, cpu):
    text = WALLS[name]
    with cpu(2.0):  # a quadratic step takes minutes
        out = trimmed(tabled(tidied(text)), 500, estimate)
        n = sum(map(len, sentences_of(text)))
    assert estimate(out) <= 500
    assert n <= 2 * 16_384
    msgspec.json.encode(out.encode("utf-8", "replace").decode())
