"""Lines kept and read back, by one worker or several."""

import pytest

from turnout.stores.sightings import FileSightings, MemorySightings, sightings_beside


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_every_line_is_read_once_and_in_order(tmp_path, kind):
    kept = FileSightings(tmp_path / "deep" / "er") if kind == "file" else MemorySightings()
    assert kept.read("c-1") == []
    kept.append("c-1", b"one")
    kept.append("c-2", b"another")
    kept.append("c-1", b"two")
    assert (kept.read("c-1"), kept.read("c-1"), kept.read("c-2")) == ([b"one", b"two"], [], [b"another"])
    kept.append("c-1", b"three")
    assert kept.read("c-1") == [b"three"]


def test_workers_read_each_others_lines(tmp_path):
    one, other = FileSightings(tmp_path), FileSightings(tmp_path)
    one.append("c-1", b"a")
    other.append("c-1", b"b")
    assert one.read("c-1") == other.read("c-1") == [b"a", b"b"]


def test_a_torn_line_waits_for_its_end(tmp_path):
    kept = FileSightings(tmp_path)
    kept.append("c-1", b"a")
    with (tmp_path / "c-1.jsonl").open("ab") as file:
        file.write(b"half")
    assert kept.read("c-1") == [b"a"]
    with (tmp_path / "c-1.jsonl").open("ab") as file:
        file.write(b" a line\n")
    assert kept.read("c-1") == [b"half a line"]


def test_what_is_no_name_and_no_line_is_refused(tmp_path):
    kept = FileSightings(tmp_path)
    with pytest.raises(ValueError, match="no name"):
        kept.append("../c", b"a")
    with pytest.raises(ValueError, match="on one line"):
        kept.append("c", b"a\nb")


def test_beside_nothing_they_are_kept_in_memory(tmp_path):
    assert isinstance(sightings_beside(None), MemorySightings)
    assert isinstance(sightings_beside(str(tmp_path / "journal.db")), FileSightings)
