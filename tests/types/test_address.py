import copy
import pickle

import pytest

from turnout.types.address import Address


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("sqlite", "sqlite"),
        ("valkey://127.0.0.1:6379/0", "valkey://127.0.0.1:6379/0"),
        ("valkey://:s3cret@host:6379/0", "valkey://:***@host:6379/0"),
        ("postgres://user:s3cret@host:5432/name", "postgres://user:***@host:5432/name"),
        ("postgres://host/name?user=me&password=s3cret&x=1", "postgres://host/name?user=me&password=***&x=1"),
    ],
)
def test_a_password_is_never_shown(given, shown):
    address = Address(given)
    assert (str(address), repr(address), f"{address}", address.reveal()) == (shown, shown, shown, given)


def test_an_address_is_a_word_or_a_url():
    assert (Address("memory").scheme, Address("memory").is_url) == ("memory", False)
    assert (Address("valkey://h").scheme, Address("valkey://h").is_url) == ("valkey", True)


def test_equal_addresses_are_equal_and_none_is_pickled():
    assert Address("a://b") == Address("a://b") != Address("a://c")
    assert len({Address("a"), Address("a"), copy.deepcopy(Address("a"))}) == 1
    with pytest.raises(TypeError):
        pickle.dumps(Address("a"))
