"""The generator of one request's draws."""

from collections import Counter

import pytest

from turnout.engine.lot import Lot


def test_it_is_splitmix64() -> None:
    # The published first outputs for seed 1234567.
    lot = Lot(1234567)
    assert [lot.getrandbits(64) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    def draws(seed):
        lot = Lot(seed)
        return [
            lot.random(),
            lot.randrange(10**9),
            lot.choice("abcdef"),
            lot.sample(range(99), 5),
            lot.gauss(),
        ]

    assert draws(7) == draws(7) != draws(8)


@pytest.mark.parametrize("k", [1, 7, 64, 65, 200])
def test_bits_fill_their_width_and_no_more(k) -> None:
    lot = Lot(3)
    seen = [lot.getrandbits(k) for _ in range(200)]
    assert max(seen).bit_length() <= k
    assert min(seen) < 1 << (k - 1) <= max(seen)


def test_neighbouring_seeds_draw_evenly() -> None:
    """Chi-squared over 16 cells: 30.6 is the 99 % quantile."""
    for draw in (lambda lot: int(lot.random() * 16), lambda lot: lot.randrange(16)):
        cells = Counter(draw(Lot(seed)) for seed in range(16_000))
        assert sum((cells[i] - 1000) ** 2 / 1000 for i in range(16)) < 30.6
