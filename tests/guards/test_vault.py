import random

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.guards.base import USER
from turnout.guards.pii import Pii
from turnout.guards.vault import Restorer, Vault

GUARD = Pii()


def redacted(text, vault):
    vault.reserve(text)
    out, at = [], 0
    for each in GUARD.check(text, USER):
        out += (text[at : each.start], vault.hide(each.kind, text[each.start : each.end]))
        at = each.end
    return "".join([*out, text[at:]])


WORDS = (
    *("jo@example.org", "ann@mail.example.com", "4111 1111 1111 1111", "+46 (0)8 928 571 38", "192.168.0.17"),
    *(
        "<EMAIL_1>",
        "<EMAIL_",
        "<",
        ">",
        "1>",
        "<<",
        "EMAIL_2>",
        "<CARD_1>",
        "é",
        "𝄞",
        "\n",
        " ",
        "text",
        "\u200b",
    ),
    *("DE89370400440532013000", "460-89-9847", '"', "\\", "<EMAIL_1", "_1>"),
)


def test_ten_thousand_texts_come_back_byte_for_byte_however_they_are_split():
    rng = random.Random(7)
    n_hidden = n_inside = 0
    for _ in range(10_000):
        text = "".join(rng.choice(WORDS) + rng.choice(("", " ", ", ")) for _ in range(rng.randint(1, 12)))
        vault = Vault()
        sent = redacted(text, vault)
        n_hidden += bool(vault)
        restorer, out, at = Restorer(vault), [], 0
        while at < len(sent):
            n = rng.choice((1, 1, 2, 3, 5, 8))
            n_inside += "<" in sent[max(0, at - 6) : at]
            out.append(restorer.feed(sent[at : at + n]))
            at += n
        assert "".join([*out, restorer.end()]).encode() == text.encode()
        assert vault.restore(sent) == text
    assert n_hidden > 7_000
    assert n_inside > 20_000


@settings(derandomize=True, max_examples=300)
@given(st.text(), st.integers(1, 9))
def test_any_text_comes_back_when_it_arrives_in_parts(text, n):
    vault = Vault()
    sent = redacted("jo@example.org " + text, vault)
    restorer = Restorer(vault)
    out = [restorer.feed(sent[at : at + n]) for at in range(0, len(sent), n)]
    assert "".join(out) + restorer.end() == "jo@example.org " + text


def test_one_value_has_one_placeholder_and_kinds_count_for_themselves():
    vault = Vault()
    assert [
        vault.hide("email", "a"),
        vault.hide("email", "b"),
        vault.hide("email", "a"),
        vault.hide("ip", "a"),
    ] == ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_1>", "<IP_1>"]


def test_a_placeholder_that_stood_in_the_request_is_not_given_out():
    vault = Vault()
    vault.reserve("print <EMAIL_1> please")
    assert vault.hide("email", "jo@example.org") == "<EMAIL_2>"
    assert vault.restore("<EMAIL_1> <EMAIL_2>") == "<EMAIL_1> jo@example.org"


def test_inside_json_a_value_is_quoted():
    vault = Vault()
    vault.hide("postal_address", 'Box "7"\nUlm')
    assert vault.restore('{"to": "<POSTAL_ADDRESS_1>"}', quoted=True) == '{"to": "Box \\"7\\"\\nUlm"}'


def test_only_the_beginning_of_a_placeholder_is_held_back():
    vault = Vault()
    vault.hide("email", "jo@example.org")
    restorer = Restorer(vault)
    assert [restorer.feed(part) for part in ("if a <", " b <EM", "AIL_", "1>", " <x")] == [
        "if a ",
        "< b ",
        "",
        "jo@example.org",
        " <x",
    ]


def test_neither_repr_nor_mask_shows_a_value():
    vault = Vault()
    vault.hide("email", "jo@example.org")
    assert "jo@" not in repr(vault)
    assert vault.mask("to jo@example.org") == "to <EMAIL_1>"
