"""The files of a spool: who owns them, when they go, what happens when the disk is full."""

import os

import pytest

from tests.stores.spool.disk import files_of_at_most
from turnout.errors import StoreUnavailable
from turnout.stores.base import Stored
from turnout.stores.spool.frame import frame
from turnout.stores.spool.segments import Adopted, Spool, Survey, adopt, survey


class Sink:
    """Rows that are a list."""

    def __init__(self):
        self.payloads = []

    def insert(self, payloads):
        self.payloads += payloads
        return Stored(len(payloads))


def drain(spool):
    payloads = []
    while chunk := spool.read():
        payloads += chunk.payloads
        spool.settle(chunk)
    return payloads


def names(folder):
    return sorted(path.suffix for path in folder.iterdir())


def die(spool):
    """Leave everything as a killed process does: files stay, the kernel drops the lock."""
    os.close(spool._lock_fd)


def test_what_is_appended_is_read_back_in_order_once(tmp_path):
    spool = Spool(tmp_path)
    for n in range(5):
        spool.append(b"%d" % n)
    assert drain(spool) == [b"0", b"1", b"2", b"3", b"4"]
    assert spool.read() is None
    spool.append(b"5")
    assert drain(spool) == [b"5"]
    spool.close()


def test_a_full_segment_is_sealed_and_removed_once_settled(tmp_path):
    spool = Spool(tmp_path, segment_bytes=20)
    for n in range(3):
        spool.append(b"payload %d" % n)
    assert names(tmp_path) == [".lock", ".seg", ".seg", ".seg"]
    spool.settle(spool.read())
    spool.clear()
    assert names(tmp_path) == [".lock", ".seg", ".seg"]
    assert drain(spool) == [b"payload 1", b"payload 2"]
    spool.clear()
    assert names(tmp_path) == [".lock", ".seg"]
    spool.clear(older_than_s=0)
    assert names(tmp_path) == [".lock"]
    spool.close()


def test_a_clean_close_leaves_nothing(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"x")
    drain(spool)
    spool.close()
    assert names(tmp_path) == []


def test_what_is_not_settled_at_close_is_adopted_by_the_next(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"x")
    spool.close()
    spool.append(b"late")
    spool.close()
    sink = Sink()
    assert adopt(tmp_path, sink.insert) == Adopted(records=2, new=2)
    assert sorted(sink.payloads) == [b"late", b"x"]
    assert names(tmp_path) == []


def test_a_living_worker_is_not_adopted(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"x")
    assert adopt(tmp_path, Sink().insert) == Adopted()
    assert drain(spool) == [b"x"]
    spool.close()


def test_a_dead_worker_is_adopted_with_all_its_segments(tmp_path):
    dead = Spool(tmp_path, segment_bytes=20)
    for n in range(3):
        dead.append(b"payload %d" % n)
    die(dead)
    alive = Spool(tmp_path)
    alive.append(b"mine")
    sink = Sink()
    assert adopt(tmp_path, sink.insert) == Adopted(records=3, new=3)
    assert sink.payloads == [b"payload 0", b"payload 1", b"payload 2"]
    assert names(tmp_path) == [".lock", ".seg"]
    alive.close()


def test_segments_whose_lock_file_is_gone_are_adopted_too(tmp_path):
    (tmp_path / "1-a.00000001.seg").write_bytes(frame(b"x"))
    assert adopt(tmp_path, Sink().insert) == Adopted(records=1, new=1)
    assert names(tmp_path) == []


def test_the_torn_end_of_a_dead_worker_is_counted_and_the_rest_kept(tmp_path):
    (tmp_path / "1-a.00000001.seg").write_bytes(frame(b"x") + frame(b"y")[:-3])
    sink = Sink()
    assert adopt(tmp_path, sink.insert) == Adopted(records=1, new=1, damaged=1)
    assert sink.payloads == [b"x"]


def test_segments_stay_when_the_rows_refuse_them(tmp_path):
    (tmp_path / "1-a.00000001.seg").write_bytes(frame(b"x"))

    def refuse(_payloads):
        raise StoreUnavailable("no")

    with pytest.raises(StoreUnavailable):
        adopt(tmp_path, refuse)
    assert adopt(tmp_path, Sink().insert) == Adopted(records=1, new=1)


def test_a_survey_tells_the_living_from_the_dead_and_touches_nothing(tmp_path):
    dead = Spool(tmp_path)
    dead.append(b"left")
    die(dead)
    (tmp_path / "1-a.00000001.seg").write_bytes(frame(b"x") + b"torn")
    alive = Spool(tmp_path)
    alive.append(b"mine")
    found = survey(tmp_path)
    assert (found.live, found.left, found.damaged, sorted(found.payloads)) == (
        1,
        2,
        1,
        [b"left", b"mine", b"x"],
    )
    assert adopt(tmp_path, Sink().insert).records == 2
    alive.close()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert survey(tmp_path / "none") == Survey()
    assert adopt(tmp_path / "none", Sink().insert) == Adopted()


def test_what_a_full_disk_refuses_is_held_and_written_when_there_is_room(tmp_path):
    spool = Spool(tmp_path)
    payloads = [b"%03d" % n * 100 for n in range(10)]
    with files_of_at_most(1000):
        for payload in payloads:
            spool.append(payload)
        assert (spool.n_held, spool.dropped, spool.error) == (7, 0, "the disk is full")
        spool.retry_held()
        assert spool.n_held == 7
        assert drain(spool) == payloads[:3]
    spool.retry_held()
    assert (spool.n_held, spool.error) == (0, None)
    assert drain(spool) == payloads[3:]
    spool.close()


def test_a_half_written_frame_is_taken_back_so_that_later_ones_can_be_read(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"a" * 100)
    with files_of_at_most(150):
        spool.append(b"b" * 100)
    (segment,) = tmp_path.glob("*.seg")
    assert segment.stat().st_size == len(frame(b"a" * 100))
    spool.append(b"c" * 100)
    die(spool)
    sink = Sink()
    assert adopt(tmp_path, sink.insert) == Adopted(records=2, new=2)
    assert sink.payloads == [b"a" * 100, b"c" * 100]


def test_when_memory_is_full_too_the_loss_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.stores.spool.segments.HELD_BYTES", 250)
    spool = Spool(tmp_path)
    with files_of_at_most(50):
        for _ in range(3):
            spool.append(b"x" * 100)
    assert (spool.n_held, spool.dropped) == (2, 1)
    spool.retry_held()
    assert len(drain(spool)) == 2
    spool.close()


def test_a_segment_cut_from_outside_counts_as_damage_and_does_not_block(tmp_path):
    spool = Spool(tmp_path)
    spool.append(b"a")
    spool.append(b"b")
    (segment,) = tmp_path.glob("*.seg")
    os.truncate(segment, len(frame(b"a")))
    chunk = spool.read()
    assert (chunk.payloads, chunk.damaged) == ((b"a",), 1)
    spool.settle(chunk)
    segment.unlink()
    spool.append(b"c")
    chunk = spool.read()
    assert (chunk.payloads, chunk.damaged) == ((), 1)
    spool.settle(chunk)
    assert spool.read() is None
    spool.close()


def test_syncing_covers_what_is_not_settled(tmp_path):
    spool = Spool(tmp_path, segment_bytes=20)
    for n in range(3):
        spool.append(b"payload %d" % n)
    spool.sync()
    assert [one.synced for one in spool._segments] == [one.size for one in spool._segments]
    spool.close()


def test_a_spool_that_syncs_each_frame_keeps_it_like_any_other(tmp_path):
    spool = Spool(tmp_path, sync_each=True)
    spool.append(b"x")
    assert drain(spool) == [b"x"]
    spool.close()
