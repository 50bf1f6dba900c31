import random

from turnout.guards.base import ANSWER
from turnout.guards.pii import Pii
from turnout.guards.window import KEPT, MOST, STEP, Window

GUARD = Pii()


def window(seen):
    def act(found, text):
        seen.append((found.kind, text))
        return f"[{found.kind}]"

    return Window(GUARD.hold_back, lambda text: GUARD.check(text, ANSWER), act)


def test_a_finding_split_over_any_deltas_is_replaced_once():
    rng = random.Random(3)
    for _ in range(300):
        filler = "".join(rng.choice(("word ", "and ", "so, ", "\n")) for _ in range(rng.randint(0, 120)))
        text = f"{filler}write to jo.doe@example.org today. {filler}card 4111 1111 1111 1111 ok"
        seen, out, at = [], [], 0
        opened = window(seen)
        while at < len(text):
            n = rng.randint(1, 40)
            out.append(opened.feed(text[at : at + n]))
            at += n
        out.append(opened.feed("", last=True))
        assert "".join(out) == f"{filler}write to [email] today. {filler}card [card] ok"
        assert seen == [("email", "jo.doe@example.org"), ("card", "4111 1111 1111 1111")]


def test_no_more_is_held_back_than_the_width_and_a_step():
    opened = window([])
    out = "".join(opened.feed("abc ") for _ in range(500))
    assert 2000 - len(out) <= GUARD.hold_back + STEP + KEPT


def test_what_grows_without_end_is_let_go_at_the_limit():
    opened = Window(8, lambda text: GUARD.check("", ANSWER), lambda found, text: None)
    assert len(opened.feed("x" * (MOST * 2))) == MOST * 2 - 8
