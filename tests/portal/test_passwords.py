"""Passwords: what is taken, and that hashes are made and checked without stopping the loop."""

import pytest
import trio
import trio.testing

from portal import passwords
from portal.passwords import Busy, PasswordRefused, Passwords


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "is empty"),
        ("elevenchars", "has 11 characters; 12 or more are needed"),
        ("x" * 1025, "is longer than 1024"),
        ("my-name-is-ANNA-b", "holds the login"),
    ],
)
def test_a_password_that_may_not_be_used_is_refused_with_a_sentence(password: str, sentence: str) -> None:
    with pytest.raises(PasswordRefused, match=sentence):
        passwords.check(password, "Anna")


@pytest.mark.parametrize("password", ["twelve chars", "ünïcödé-ïs-fïne", "xy" * 512])
def test_others_are_taken(password: str) -> None:
    passwords.check(password, "anna")


async def test_a_hash_fits_its_own_password_alone() -> None:
    hashes = Passwords()
    kept = await hashes.hash("twelve chars")
    assert kept.startswith("$argon2id$")
    assert "twelve" not in kept
    assert await hashes.matches("twelve chars", kept)
    assert not await hashes.matches("Twelve chars", kept)
    assert not hashes.outdated(kept)


@pytest.mark.parametrize("kept", ["", "nonsense", "$argon2id$v=19$m=65536,t=3,p=4$broken"])
async def test_where_no_hash_is_kept_nothing_matches(kept: str) -> None:
    assert not await Passwords().matches("twelve chars", kept)
    assert not await Passwords().matches("", kept)


async def test_a_password_beyond_all_measure_is_not_hashed() -> None:
    assert not await Passwords().matches("x" * (passwords.MOST_CHARACTERS + 1), "")


async def test_the_loop_goes_on_while_hashes_are_made() -> None:
    """The loop turns many times within the tenth of a second that a hash takes."""
    turns = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Passwords().hash, "twelve chars")
        await trio.testing.wait_all_tasks_blocked()
        while len(nursery.child_tasks):
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 10


async def test_few_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 1)
    hashes = Passwords()
    answers: list[str] = []

    async def ask() -> None:
        try:
            answers.append((await hashes.hash("twelve chars"))[:9])
        except Busy:
            answers.append("busy")

    async with trio.open_nursery() as nursery:
        for _ in range(passwords.AT_A_TIME + 3):
            nursery.start_soon(ask)
    assert sorted(answers) == ["$argon2id"] * (passwords.AT_A_TIME + 1) + ["busy"] * 2
