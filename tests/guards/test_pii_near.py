"""Words near a place."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.guards.pii.near import Words

PATTERN = r"(?<![a-z])(?:born|dob\b|n[éa]e? le)"
PIECES = st.sampled_from(
    ["born", "BORN", "dob", "Dob ", "née le", "NÉE LE", "x", " ", "\u0130", "\u017f", "7"]
)


@settings(derandomize=True, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join), st.integers(0, 30), st.integers(0, 30))
def test_words_stand_where_a_search_in_any_case_finds_them(text, start, end):
    found = re.compile(PATTERN, re.IGNORECASE).search(text, start, end) is not None
    assert Words(PATTERN).stand(text, start, end) == found
