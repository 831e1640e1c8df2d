"""The master key's file: made once, kept from others, and answered for in sentences."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.keyfile import read_master_key, read_or_make_master_key
from actors.spool import Spool
from engine.keys import KeyRefused, encode_key

KEY = bytes(range(32))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """One that nobody has made yet."""
    return Spool(tmp_path / "data" / "spool")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path, spool: Spool) -> None:
    path = tmp_path / "data" / "keys" / "master.key"
    key = read_or_make_master_key(path, spool)
    assert len(key) == 32
    assert read_or_make_master_key(path, spool) == key
    assert read_master_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_two_installations_have_two_keys(tmp_path: Path, spool: Spool) -> None:
    assert read_or_make_master_key(tmp_path / "a", spool) != read_or_make_master_key(tmp_path / "b", spool)


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter(range(1, 100))
    monkeypatch.setattr("os.getpid", lambda: next(pids))
    path = tmp_path / "keys" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(read_or_make_master_key, [path] * 16, [spool] * 16))
    assert keys == {read_master_key(path)}
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_a_key_that_exists_is_taken(tmp_path: Path, spool: Spool) -> None:
    (tmp_path / "key").write_text(encode_key(KEY) + "\n")
    assert read_or_make_master_key(tmp_path / "key", spool) == KEY


def test_reading_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match=r"There is no master key at .*EARSHOT_MASTER_KEY_FILE"):
        read_master_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"secret", b"c2VjcmV0", b"\xff" * 44])
def test_what_is_no_key_is_refused_and_left_alone(content: bytes, tmp_path: Path, spool: Spool) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyRefused, match="holds no master key"):
        read_or_make_master_key(tmp_path / "key", spool)
    assert (tmp_path / "key").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_answered_with_a_sentence(tmp_path: Path, spool: Spool) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(KeyRefused, match="cannot be made"):
        read_or_make_master_key(tmp_path / "keys" / "master.key", spool)


def test_who_makes_a_key_says_where_and_what_to_do(tmp_path: Path, spool: Spool) -> None:
    path = tmp_path / "keys" / "master.key"
    with capture_logs() as lines:
        read_or_make_master_key(path, spool)
        read_or_make_master_key(path, spool)
    (line,) = lines
    assert (line["event"], line["log_level"], line["file"]) == ("master key made", "warning", str(path))
    assert line["advice"] == "Back it up, apart from the data."


@pytest.mark.parametrize("where", ["live", "finished"])
def test_where_calls_wait_no_key_is_made(where: str, tmp_path: Path, spool: Spool) -> None:
    call = spool.root / where / "a-call"
    call.mkdir(parents=True)
    read_or_make_master_key(tmp_path / "before", spool)  # an empty folder is no call
    (call / "journal").touch()
    with pytest.raises(KeyRefused, match=r"calls wait in .*EARSHOT_MASTER_KEY_FILE"):
        read_or_make_master_key(tmp_path / "keys" / "master.key", spool)
    assert not (tmp_path / "keys").exists()
    read_or_make_master_key(tmp_path / "before", spool)


def test_a_key_that_was_made_meanwhile_is_the_one_of_the_calls(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holds_calls(_: Spool) -> bool:
        (tmp_path / "key").write_text(encode_key(KEY))
        return True

    monkeypatch.setattr(Spool, "holds_calls", holds_calls)
    assert read_or_make_master_key(tmp_path / "key", spool) == KEY
