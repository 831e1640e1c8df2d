"""Calls that wait for the database: one small file each, whatever lies beside it."""

from pathlib import Path
from uuid import UUID

import pytest

from actors.spool import Spool
from archive import unlisted
from tests.archive.calls import CALL_ID

OLDER, NEWER = UUID("01890a5d-ac96-774b-bcce-b302099a8057"), UUID("01890a5e-0000-774b-bcce-b302099a8057")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.below(tmp_path)


def test_calls_wait_oldest_first_until_they_are_forgotten(spool: Spool, tmp_path: Path) -> None:
    for call_id in (NEWER, OLDER):
        unlisted.note(spool, str(call_id), tmp_path / "recordings" / "2026" / "03" / "05" / str(call_id))
    assert unlisted.waiting(spool) == [OLDER, NEWER]
    assert unlisted.folder_of(spool, OLDER) == tmp_path / "recordings" / "2026" / "03" / "05" / str(OLDER)
    assert (spool.unlisted / str(OLDER)).read_text() == f"recordings/2026/03/05/{OLDER}\n"
    folder = unlisted.folder_of(spool, OLDER)
    unlisted.forget(spool, OLDER, folder)
    unlisted.forget(spool, OLDER, folder)
    assert unlisted.waiting(spool) == [NEWER]
    assert unlisted.folder_of(spool, OLDER) is None


def test_noted_again_a_call_waits_where_it_lies_now(spool: Spool, tmp_path: Path) -> None:
    unlisted.note(spool, str(CALL_ID), spool.stuck / str(CALL_ID))
    unlisted.note(spool, str(CALL_ID), tmp_path / "recordings" / "x")
    assert unlisted.waiting(spool) == [CALL_ID]
    assert unlisted.folder_of(spool, CALL_ID) == tmp_path / "recordings" / "x"
    unlisted.forget(spool, CALL_ID, spool.stuck / str(CALL_ID))
    assert unlisted.waiting(spool) == [CALL_ID]


def test_what_is_no_call_does_not_wait(spool: Spool) -> None:
    unlisted.note(spool, "lost+found", spool.stuck / "lost+found")
    (spool.unlisted / f".{CALL_ID}").touch()  # left by a kill
    (spool.unlisted / str(CALL_ID).upper()).touch()
    assert unlisted.waiting(spool) == []
    assert not (spool.unlisted / "lost+found").exists()
