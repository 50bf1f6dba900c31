import pytest

from turnout.transport.credentials import authorise_for
from turnout.transport.rotation import Rotation, Wallet
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest
from turnout.types.secret import Secret

REQUEST = HttpRequest("POST", "https://up.example/v1/chat", (), b"")
NAMES = ("up", "up#2", "up#3")


class Clock:
    at = 1000.0

    def __call__(self) -> float:
        return self.at


def rotation(wallet, names=NAMES):
    each = [Credential(name, Secret(f"sk-{name}")) for name in names]
    return Rotation([(one, authorise_for("bearer", one, ("up.example",))) for one in each], wallet)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wallet(clock):
    return Wallet(clock)


def turns(of, n):
    return [of.turn()[0].name for _ in range(n)]


def test_credentials_take_turns(wallet) -> None:
    assert turns(rotation(wallet), 6) == [*NAMES, *NAMES]


def test_the_headers_are_of_whoever_is_next(wallet) -> None:
    of = rotation(wallet)
    assert [of(REQUEST) for _ in range(2)] == [
        ((b"authorization", b"Bearer sk-up"),),
        ((b"authorization", b"Bearer sk-up#2"),),
    ]


@pytest.mark.parametrize("status", [401, 402])
def test_one_that_is_refused_is_set_aside_and_the_next_asked(wallet, status) -> None:
    of = rotation(wallet)
    standing, _ = of.turn()
    assert of.heard(standing, status)
    assert turns(of, 4) == ["up#2", "up#3", "up#2", "up#3"]
    assert wallet.retired() == ("up",)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
def test_other_answers_retire_nobody(wallet, status) -> None:
    of = rotation(wallet)
    assert not of.heard(of.turn()[0], status)
    assert wallet.retired() == ()


def test_it_comes_back_after_a_minute_and_waits_twice_as_long_when_refused_again(wallet, clock) -> None:
    of = rotation(wallet, ("up", "up#2"))
    standing, _ = of.turn()
    waits = []
    for _ in range(8):
        of.heard(standing, 401)
        waits.append(standing.until - clock.at)
        clock.at = standing.until
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    of.heard(standing, 200)
    of.heard(standing, 402)
    assert standing.until - clock.at == 60


def test_calls_under_way_do_not_lengthen_the_wait(wallet) -> None:
    of = rotation(wallet)
    standing, _ = of.turn()
    for _ in range(5):
        of.heard(standing, 401)
    assert standing.wait_s == 60


def test_with_all_set_aside_the_one_that_is_back_first_is_used_and_nobody_asked_again(wallet, clock) -> None:
    of = rotation(wallet, ("up", "up#2"))
    first, _ = of.turn()
    assert of.heard(first, 401)
    clock.at += 1
    second, _ = of.turn()
    assert not of.heard(second, 401)
    assert of.turn()[0] is first


def test_standings_outlive_a_reload_and_belong_to_the_value(wallet) -> None:
    of = rotation(wallet)
    of.heard(of.turn()[0], 401)
    assert turns(rotation(wallet), 2) == ["up#2", "up#3"]
    changed = Credential("up", Secret("sk-new"))
    assert wallet.standing(changed).until == 0.0
