"""Other providers' thoughts come back through Google's clients, in either alphabet of base64."""

import pytest

from turnout.codecs.gemini.seal import sealed, unsealed
from turnout.types.chat import Reasoning

THOUGHT = Reasoning(text="Ünïcode? ~~~ >>> ???", signature="c2ln/+==", id="rs_1", wire="anthropic")


def test_a_sealed_thought_comes_back_whole() -> None:
    assert unsealed(sealed(THOUGHT)) == THOUGHT


def test_a_client_may_write_its_bytes_in_the_alphabet_for_urls() -> None:
    token = sealed(THOUGHT)
    assert {"+", "/"} & set(token)
    assert unsealed(token.translate(str.maketrans("+/", "-_"))) == THOUGHT


@pytest.mark.parametrize(
    "token", ["", "dG4x", "dG4xOg==", "dG4xOm5vdCBKU09O", "c29tZXRoaW5nIGVsc2U=", "dG4xO*-_"]
)
def test_a_signature_that_is_not_ours_is_left_alone(token: str) -> None:
    assert unsealed(token) is None
