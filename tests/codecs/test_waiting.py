"""Calls that wait are found as a walk through all of them would find them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.codecs.waiting import Waiting

NAMES = st.sampled_from(["a", "b", ""])
STEPS = st.lists(st.tuples(st.sampled_from(["add", "tool", "id", "oldest"]), NAMES, NAMES), max_size=30)


class Walked:
    """The same by a walk."""

    def __init__(self):
        self.open = []

    def take(self, fits):
        at = next((at for at, each in enumerate(self.open) if fits(each)), None)
        return None if at is None else self.open.pop(at)[1]


@settings(derandomize=True, max_examples=60)
@given(STEPS)
def test_whatever_finds_a_call_takes_the_oldest_one_out(steps):
    waiting, walked = Waiting(), Walked()
    for what, name, call_id in steps:
        if what == "add":
            waiting.add(name, call_id)
            walked.open.append((name, call_id))
        elif what == "tool":
            assert waiting.of_tool(name) == walked.take(lambda each, name=name: each[0] == name)
        elif what == "id":
            assert waiting.of_id(call_id) == walked.take(lambda each, call_id=call_id: each[1] == call_id)
        else:
            assert waiting.oldest() == walked.take(lambda _: True)
        assert len(waiting) == len(walked.open)


def test_it_costs_the_same_however_many_wait():
    waiting = Waiting()
    for n in range(20_000):
        waiting.add(f"tool_{n}", f"call_{n}")
    found = [waiting.of_tool(f"tool_{n}") for n in reversed(range(20_000))]  # a walk takes half a minute
    assert found == [f"call_{n}" for n in reversed(range(20_000))]
