"""Regular expressions in rules: bounded work on every text, or refused."""

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.strategies.rules.patterns import MAX_INPUT, PatternError, compile_pattern

ATTACKS = tuple(
    (unit * MAX_INPUT)[: MAX_INPUT - 1] + "!"
    for unit in ("a", " ", "1", "ab", "a1", "foo", "1.", "abcd", "fix ", "\n")
)
MAX_S = 0.5
"""Far above what is measured (12 ms), far below what one nested repetition takes."""


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"(?i)\b(refund|invoice)\b", "My INVOICE, please", True),
        (r"^(?:hi|hello)\b", "hello there", True),
        (r"\d{3}-\d{4}", "call 555-1234", True),
        (r"\w{1,64}@\w{1,64}\.\w+", "mail a.b@c.org", True),
        (r"(?i)(?:fix|debug).{0,60}(?:error|exception)", "Debug this odd Exception", True),
        (r"^\s*SELECT\b.*\bFROM\b", "  SELECT a FROM b", True),
        (r"[]a-c-]+", "--", True),
        (r"[^\d\s]{3}", "12 ab", False),
        (r"(?:\d{1,3}\.){3}\d{1,3}", "at 10.0.0.1", True),
        (r"(foo|bar)+", "xbarfoo", True),
        (r"ab?c??", "ab", True),
        (r"\.\*\{x\}", ".*{x}", True),
        ("日本|法国", "去法国", True),
        ("", "anything", True),
        (r"a{,3}b", "aab", True),
        (r"((ab?){1,9}c)*", "ababc", True),
    ],
)
def test_an_ordinary_pattern_works(pattern: str, text: str, found: bool) -> None:
    assert (compile_pattern(pattern).search(text) is not None) is found


NESTED = "a group that can match in several ways is repeated"
LONG = "the pattern may search for too long"


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        (r"(a+)+", NESTED),
        (r"(a+)+$", NESTED),
        (r"(a*)*b", NESTED),
        (r"(a|a)*b", NESTED),
        (r"(a|ab)*c", NESTED),
        (r"(a|[ab])*c", NESTED),
        (r"(?i)(a|A)*c", NESTED),
        (r"(.*a){20}", NESTED),
        (r"(\w+\s?)*$", NESTED),
        (r"([a-zA-Z]+)*\d", NESTED),
        (r"(a?){40}a{40}", NESTED),
        (r"((ab?)+c)+", LONG),
        (r"(\d+|\w+)*x", NESTED),
        (r"a.*b.*c.*d", LONG),
        (r"\s*\s*$", LONG),
        (r"^\s*\s*$", LONG),
        (r"\d+\d+\d+x", LONG),
        (r"a?" * 30 + "a" * 30, LONG),
        (r".{0,400}x.{0,400}y", LONG),
        (r"(a|b)*c", LONG),
        (r"(.)\1", "character 5: back-references are not allowed"),
        (r"(?P<n>a)(?P=n)", "character 2: of groups only"),
        (r"(?=a)a", "character 2: of groups only"),
        (r"(?<!a)b", "character 2: of groups only"),
        (r"(?>a+)b", "character 2: of groups only"),
        (r"a++b", "character 3: repetition of a repetition"),
        (r"a{2}{3}", "character 5: repetition of a repetition"),
        (r"*a", "character 1: there is nothing to repeat"),
        (r"(a", "character 3: the group has no end"),
        (r"a)", "character 2: `)` closes nothing"),
        (r"[a", "character 3: the class has no end"),
        (r"[z-a]", "character 5: the range is upside down"),
        (r"a{5,2}", "character 2: a count lies between 0 and 1000"),
        (r"a{x}", "character 2: `{` must begin a count"),
        (r"\q", "character 2: the escape \\q is not allowed"),
        ("\\", "character 2: the escape \\ is not allowed"),
        ("a" * 1001, "the pattern has 1001 characters; at most 1000 are allowed"),
        ("(" * 20 + ")" * 20, "character 18: groups are nested deeper than 16"),
    ],
)
def test_a_pattern_without_a_bound_is_refused(pattern: str, fault: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)

    assert fault in str(caught.value)


_pieces = st.sampled_from(
    (
        "a",
        "b",
        "1",
        ".",
        r"\d",
        r"\w",
        r"\s",
        "[ab]",
        "[^a]",
        "^",
        "$",
        r"\b",
        "|",
        "(",
        "(?:",
        ")",
        "*",
        "+",
        "?",
        "{1,9}",
        "{3}",
        "*?",
    )
)


@given(st.lists(_pieces, min_size=1, max_size=10).map("".join))
def test_what_is_accepted_ends_soon_and_is_a_regular_expression(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    for text in ATTACKS:
        before = process_time()
        compiled.search(text)
        assert process_time() - before < MAX_S, pattern


@given(st.text(max_size=40) | st.text("ab()[]{}|*+?.\\^$,019-dwsbi:<=!P", max_size=40))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    assert compiled.pattern == re.compile(pattern).pattern
