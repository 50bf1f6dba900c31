"""Our client and the library agree on what an upstream said; they share no parser.

`check_transport` holds both to the same table of outcomes. Here they
are damaged in ways no table lists.
"""

import asyncio

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.makers import make_http, make_library
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Outcome, Setup, opened, outcome
from turnout.testing.transport_scripts import CLEAN, Scripted

ANSWERS = [
    (scripted.name, scripted.method, b"".join(step for step in scripted.steps if isinstance(step, bytes)))
    for scripted in CLEAN
    if scripted.name not in {"more bytes than promised", "a second answer behind the first"}
]


async def both(method: str, answers: list[bytes]) -> list[tuple[Outcome, Outcome]]:
    """Play each answer, then close, to both transports."""
    async with Misbehaving() as server:
        setup = Setup(urls=(server.base,))
        async with opened(make_http, setup) as ours, opened(make_library, setup) as theirs:

            async def play(number: int, answer: bytes) -> tuple[Outcome, Outcome]:
                url = server.script(f"/{number}", answer, End.CLOSE)
                scripted = Scripted(name="damaged", steps=(answer, End.CLOSE), method=method)
                return (
                    await outcome(ours, scripted, url, whole=True),
                    await outcome(theirs, scripted, url, whole=True),
                )

            return await asyncio.gather(*(play(number, answer) for number, answer in enumerate(answers)))


def test_an_answer_cut_anywhere_fails_in_the_same_way():
    for name, method, answer in ANSWERS:
        step = max(1, len(answer) // 25)
        cuts = [answer[:size] for size in range(0, len(answer), step)]
        for cut, (ours, theirs) in zip(cuts, uvloop.run(both(method, cuts)), strict=True):
            assert ours == theirs, f"{name}: after {cut!r}"


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_answer_is_never_read_as_two_different_ones(data):
    _, method, answer = data.draw(st.sampled_from(ANSWERS))
    damaged = []
    for _ in range(8):
        at = data.draw(st.integers(0, len(answer) - 1))
        size = data.draw(st.integers(0, 3))
        damaged.append(answer[:at] + data.draw(st.binary(max_size=3)) + answer[at + size :])
    for bad, (ours, theirs) in zip(damaged, uvloop.run(both(method, damaged)), strict=True):
        if not isinstance(ours, str) and not isinstance(theirs, str):
            assert ours == theirs, bad
