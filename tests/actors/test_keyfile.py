"""The master key's file: made once, kept from others, and answered for in sentences."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.keyfile import read_master_key, read_or_make_master_key
from engine.keys import KeyRefused, encode_key

KEY = bytes(range(32))


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys" / "master.key"
    key = read_or_make_master_key(path)
    assert len(key) == 32
    assert read_or_make_master_key(path) == key
    assert read_master_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_two_installations_have_two_keys(tmp_path: Path) -> None:
    assert read_or_make_master_key(tmp_path / "a") != read_or_make_master_key(tmp_path / "b")


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter(range(1, 100))
    monkeypatch.setattr("os.getpid", lambda: next(pids))
    path = tmp_path / "keys" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(read_or_make_master_key, [path] * 16))
    assert keys == {read_master_key(path)}
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_a_key_that_exists_is_taken(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(encode_key(KEY) + "\n")
    assert read_or_make_master_key(tmp_path / "key") == KEY


def test_reading_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match=r"There is no master key at .*EARSHOT_MASTER_KEY_FILE"):
        read_master_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"secret", b"c2VjcmV0", b"\xff" * 44])
def test_what_is_no_key_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(KeyRefused, match="holds no master key"):
        read_or_make_master_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_answered_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(KeyRefused, match="cannot be made"):
        read_or_make_master_key(tmp_path / "keys" / "master.key")
