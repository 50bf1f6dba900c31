import pytest

from turnout.guards.base import Needing
from turnout.guards.canary import Canary
from turnout.guards.grounding import Grounding
from turnout.guards.injection import Injection
from turnout.guards.judge import Judge
from turnout.guards.links import Links
from turnout.guards.pii import Pii
from turnout.guards.presidio import Presidio
from turnout.guards.remote import Moderation, Remote
from turnout.guards.schema import Schema
from turnout.guards.secrets import Secrets
from turnout.guards.words import Words
from turnout.registry import BUILTINS
from turnout.testing.guard import check_guard

GUARDS = [
    Canary(tokens=("CANARY-77x",)),
    Grounding(model="acme/small"),
    Injection(),
    Judge(model="acme/small"),
    Links(),
    Moderation(),
    Pii(),
    Presidio(),
    Remote(url="https://guard.example.org/"),
    Schema(),
    Secrets(),
    Words(words=("plain",)),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_keeps_the_contract(guard):
    if isinstance(guard, Needing) and guard.missing() is not None:
        pytest.skip(f"not installed: {guard.missing()}")
    check_guard(guard)


def test_every_guard_that_is_brought_is_checked():
    assert {guard.name for guard in GUARDS} == set(BUILTINS["turnout.guards"])


def test_what_is_no_guard_is_told():
    with pytest.raises(AssertionError, match="a guard has"):
        check_guard(object())
