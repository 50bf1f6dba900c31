import pytest

from turnout.guards.canary import Canary
from turnout.guards.injection import Injection
from turnout.guards.judge import Judge
from turnout.guards.links import Links
from turnout.guards.pii import Pii
from turnout.guards.remote import Moderation, Remote
from turnout.guards.secrets import Secrets
from turnout.guards.words import Words
from turnout.registry import BUILTINS
from turnout.testing.guard import check_guard

GUARDS = [
    Canary(tokens=("CANARY-77x",)),
    Injection(),
    Judge(model="acme/small"),
    Links(),
    Moderation(),
    Pii(),
    Remote(url="https://guard.example.org/"),
    Secrets(),
    Words(words=("plain",)),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_keeps_the_contract(guard):
    check_guard(guard)


def test_every_guard_that_is_brought_is_checked():
    assert {guard.name for guard in GUARDS} == set(BUILTINS["turnout.guards"])


def test_what_is_no_guard_is_told():
    with pytest.raises(AssertionError, match="a guard has"):
        check_guard(object())
