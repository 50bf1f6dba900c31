from turnout.guards.base import PIECE, Finding, Post, Posting, apart, moved, pieces, plain
from turnout.guards.pii import Pii
from turnout.types.ask import Ask
from turnout.types.principal import Principal


def test_findings_are_kept_by_start_then_length_without_overlap():
    found = [Finding(5, 9, "b"), Finding(0, 3, "a"), Finding(0, 6, "long"), Finding(9, 10, "c")]
    assert apart(found) == (Finding(0, 6, "long"), Finding(9, 10, "c"))


def test_pieces_overlap_and_cover_the_whole_text():
    text = "".join(chr(97 + at % 26) for at in range(3 * PIECE + 17))
    cut = list(pieces(text, 50))
    assert [start for start, _ in cut] == [0, PIECE, 2 * PIECE]
    assert all(text[start : start + len(piece)] == piece for start, piece in cut)
    assert cut[-1][0] + len(cut[-1][1]) == len(text)


def test_a_short_text_is_one_piece():
    assert list(pieces("short", 50)) == [(0, "short")]


def test_findings_of_a_piece_move_to_their_place_in_the_text():
    assert moved([Finding(1, 3, "a", 0.5)], 10) == [Finding(11, 13, "a", 0.5)]


def test_what_is_not_seen_is_left_out_and_places_lead_back():
    shown = plain("a\u200bb\u200b\u200bc")
    assert shown.text == "abc"
    assert shown.back([Finding(1, 3, "x")]) == (Finding(2, 6, "x"),)
    assert shown.back([Finding(0, 1, "x")]) == (Finding(0, 1, "x"),)


def test_digits_of_other_scripts_and_hidden_letters_are_read():
    assert plain("１２٣۴\u00a05\u20136").text == "1234 5-6"
    assert plain("".join(chr(0xE0000 + ord(char)) for char in "hi")).text == "hi"


def test_plain_text_is_handed_on_as_it_is():
    text = "Grüße aus Köln"
    assert plain(text).text is text


def test_posts_apply_by_route_surface_team_and_key_in_the_configured_order():
    posts = tuple(Post(name=name, guard=Pii()) for name in ("a", "b", "c", "d", "e", "f"))
    posting = Posting(
        posts=posts,
        everywhere=frozenset("f"),
        routes={"r": frozenset("e")},
        surfaces={"s": frozenset("d")},
        teams={"t": frozenset("b")},
        keys={"k": frozenset("a")},
    )
    ask = Ask(request_id="req_1", surface="s", principal=Principal(key_id="k", team="t"))
    assert [post.name for post in posting.of("r", ask)] == ["a", "b", "d", "e", "f"]
    assert [post.name for post in posting.of("x", Ask(request_id="req_1"))] == ["f"]
    assert [post.name for post in posting.of("x", Ask(request_id="req_1"), frozenset("c"))] == ["c", "f"]
