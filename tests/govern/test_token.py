import os

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.govern.token import is_well_formed, make_key, shown_prefix

KEY = make_key(bytes(range(32)))


def test_a_key_has_a_prefix_256_bits_and_a_checksum() -> None:
    assert len(KEY) == 52
    assert is_well_formed(KEY)
    assert shown_prefix(KEY) == KEY[:9]
    assert make_key(b"\xff" * 32) != make_key(b"\xff" * 31 + b"\xfe")


def test_one_wrong_character_anywhere_is_seen() -> None:
    for at in range(len(KEY)):
        for wrong in "0aZ_'":
            if KEY[at] != wrong:
                assert not is_well_formed(KEY[:at] + wrong + KEY[at + 1 :])


@settings(derandomize=True, max_examples=300)
@given(st.text(max_size=80))
def test_no_other_text_is_well_formed(text) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed("tn_" + text)


def test_ten_thousand_keys_differ_and_are_well_formed() -> None:
    keys = {make_key(os.urandom(32)) for _ in range(10_000)}
    assert len(keys) == 10_000
    assert all(map(is_well_formed, keys))
