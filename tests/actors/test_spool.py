"""Renames, recovery and the lock."""

from pathlib import Path
from uuid import UUID

import pytest

from actors.spool import Lock, Spool, SpoolHeld, SpoolUnusable


def test_a_call_is_handed_over_by_one_rename(tmp_path: Path) -> None:
    spool = Spool.below(tmp_path)
    path = spool.open_call(UUID(int=1))
    path.write_bytes(b"journal")
    spool.finish(UUID(int=1))
    spool.finish(UUID(int=1))
    assert (spool.finished / str(UUID(int=1)) / "journal").read_bytes() == b"journal"
    assert not any(spool.live.iterdir())
    with pytest.raises(FileNotFoundError):
        spool.finish(UUID(int=2))


def test_what_a_dead_engine_left_is_handed_over(tmp_path: Path) -> None:
    spool = Spool.below(tmp_path)
    for number in (1, 2):
        spool.open_call(UUID(int=number)).write_bytes(b"torn")
    assert spool.recover() == [str(UUID(int=1)), str(UUID(int=2))]
    assert spool.recover() == []
    assert len(list(spool.finished.iterdir())) == 2


def test_the_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock", "the engine of node one")
    with pytest.raises(SpoolHeld, match=r"the engine of node one, process \d+.*EARSHOT_DATA_DIR"):
        Lock(tmp_path / "lock", "the engine of node two")
    lock.release()
    Lock(tmp_path / "lock", "the engine of node two").release()


def test_only_the_owner_may_look_into_the_spool(tmp_path: Path) -> None:
    spool = Spool.below(tmp_path)
    assert spool.live.stat().st_mode & 0o077 == 0
    assert spool.open_call(UUID(int=1)).parent.stat().st_mode & 0o077 == 0


def test_calls_are_what_lies_in_live_and_finished(tmp_path: Path) -> None:
    assert not Spool(tmp_path / "spool").holds_calls()
    assert list(tmp_path.iterdir()) == []
    spool = Spool.below(tmp_path)
    assert not spool.holds_calls()
    spool.open_call(UUID(int=1)).write_bytes(b"journal")
    assert spool.holds_calls()
    spool.finish(UUID(int=1))
    assert spool.holds_calls()
    (spool.finished / str(UUID(int=1))).rename(spool.stuck / "1")
    assert not spool.holds_calls()


@pytest.mark.parametrize("name", ["spool", "spool/live", "spool/outbox"])
def test_a_file_in_the_place_of_a_folder_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a file")
    with pytest.raises(SpoolUnusable, match=rf"^{tmp_path / name} cannot be used: .*EARSHOT_DATA_DIR"):
        Spool.below(tmp_path)
    if name != "spool/outbox":
        with pytest.raises(SpoolUnusable, match="Not a directory"):
            Spool(tmp_path / "spool").holds_calls()


def test_a_lock_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpoolUnusable, match=rf"^{tmp_path} cannot be used: Is a directory\."):
        Lock(tmp_path, "the engine of node one")
