import pytest

from turnout.errors import ConfigError
from turnout.govern.pepper import Pepper, peppers_in, peppers_of, rotate_in
from turnout.types.secret import Secret


def test_the_file_is_made_once_and_readable_by_its_owner_only(tmp_path) -> None:
    path = tmp_path / "new" / "desk.pepper"
    first = peppers_in(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert peppers_in(path) == first
    assert sorted(path.parent.iterdir()) == [path]


def test_the_two_newest_are_accepted(tmp_path) -> None:
    path = tmp_path / "desk.pepper"
    first = peppers_in(path).newest
    second = rotate_in(path)
    third = rotate_in(path)
    assert second.accepted[1] == first
    assert third.accepted[1] == second.newest
    assert third.of(first.id) is None
    assert third.of(second.newest.id) == second.newest


def test_a_file_that_others_may_read_is_refused(tmp_path) -> None:
    path = tmp_path / "desk.pepper"
    peppers_in(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        peppers_in(path)


@pytest.mark.parametrize("weak", ["", "short", "a" * 64])
def test_a_guessable_pepper_is_refused_without_showing_it(weak) -> None:
    with pytest.raises(ConfigError) as caught:
        peppers_of([Secret(weak)])
    assert caught.value.problems == (
        "desk.pepper: too easy to guess; use at least 32 characters from `openssl rand`",
    )


def test_digests_differ_by_pepper_and_show_nothing() -> None:
    one, two = (peppers_of([Secret(text * 4)]).newest for text in ("0123456789abcdef", "fedcba9876543210"))
    assert one.digest("tn_x") != two.digest("tn_x")
    assert one.id != two.id
    assert "0123456789abcdef" not in repr(one)


def test_a_secret_taken_in_once_gives_the_same_digests() -> None:
    for length in (1, 31, 64, 65, 200):
        pepper = Pepper("id", Secret("é" + "s" * length))
        mac = pepper.mac()
        for text in ("", "tn_x", "\udcff", "x" * 3000):
            assert mac.digest(text) == pepper.digest(text)
