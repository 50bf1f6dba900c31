import pytest

from turnout.errors import ConfigError
from turnout.evaluate.collect.prompts import Prompt
from turnout.evaluate.collect.sandbox import passes
from turnout.evaluate.collect.scoring import check, choice, code_of, number, score

NESTED = "a repeated group that itself repeats is not allowed: it can take exponential time"


def prompt(**fields):
    return Prompt(row=3, prompt_id="p", prompt="q", **fields)


@pytest.mark.parametrize(
    ("scoring", "fields", "right", "wrong"),
    [
        ("exact", {"expected": ("Paris",)}, " *paris*. ", "Paris, France"),
        ("exact", {"expected": ("a", "b")}, "B", "c"),
        ("contains", {"expected": ("New York",)}, "It is new  york city.", "york new"),
        ("number", {"expected": ("1,200",)}, "So 3 times 400 makes $1,200.00 in all.", "1,201"),
        ("number", {"expected": ("-0.5",)}, "x = -.5", "0.5"),
        ("number", {"expected": ("7",)}, r"\boxed{7} and check 3", r"\boxed{8}"),
        ("number", {"expected": ("7",)}, "7", "seven"),
        ("choice", {"expected": ("b",)}, "A is tempting, but the answer is (B).", "The answer is C"),
        ("choice", {"expected": ("B",)}, "**B**", "none of these"),
        ("regex", {"pattern": r"^\d{4}-\d\d-\d\d$"}, "2024-01-31", "31.01.2024"),
        ("json_schema", {"answer_schema": {"required": ["a"]}}, '```json\n{"a": 1}\n```', '{"b": 1}'),
        ("json_schema", {"answer_schema": {"type": "object"}}, "{}", "not JSON"),
    ],
)
def test_right_answers_score_one_and_wrong_ones_zero(scoring, fields, right, wrong):
    asked = prompt(**fields)
    check(asked, scoring)
    assert (score(asked, scoring, right), score(asked, scoring, wrong)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("scoring", "fields", "problem"),
    [
        ("exact", {}, "row 3: scoring 'exact' needs a column `expected`"),
        ("regex", {}, "row 3: scoring 'regex' needs a column `pattern`"),
        ("json_schema", {}, "row 3: scoring 'json_schema' needs a column `schema`"),
        ("code", {}, "row 3: scoring 'code' needs a column `tests`"),
        ("number", {"expected": ("many",)}, "row 3: expected 'many' is no number"),
        ("choice", {"expected": ("Paris",)}, "row 3: expected 'Paris' is no single letter"),
        ("regex", {"pattern": "(a+)+$"}, f"row 3: pattern: {NESTED}"),
    ],
)
def test_a_prompt_that_cannot_be_scored_is_refused_with_its_row(scoring, fields, problem):
    with pytest.raises(ConfigError) as error:
        check(prompt(**fields), scoring)
    assert error.value.problems == (problem,)


def test_what_no_number_and_no_letter_is_found_in_has_none():
    assert (number("none"), choice("it depends")) == (None, None)


def test_the_last_fenced_block_is_the_code():
    assert code_of("First\n```python\nx = 1\n```\nbetter:\n```\nx = 2\n```") == "x = 2\n"
    assert code_of("x = 3") == "x = 3"


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("def double(n):\n    return 2 * n", True),
        ("def double(n):\n    return n", False),
        ("def double(n", False),
        ("raise SystemExit(3)", False),
        ("raise SystemExit(0)", False),
        ("blob = bytearray(2**31)\ndef double(n): return 2 * n", False),
        ("import os\nassert 'SECRET_OF_TEST' not in os.environ\ndef double(n): return 2 * n", True),
    ],
)
async def test_code_is_right_when_its_tests_raise_nothing(monkeypatch, code, right):
    monkeypatch.setenv("SECRET_OF_TEST", "x")
    assert await passes(code, "assert double(4) == 8") is right


async def test_code_that_does_not_end_is_ended():
    assert await passes("while True: pass", "", seconds=0.5) is False
