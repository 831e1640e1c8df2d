"""Passwords: what is taken, and that hashes are made and checked without stopping the loop."""

import pytest
import trio
import trio.testing
from quart_trio import QuartTrio
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from portal import passwords
from portal.passwords import Busy, PasswordRefused, Passwords
from schema.profiles import PasswordPolicy


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "is empty"),
        ("elevenchars", "has 11 characters; 12 or more are needed"),
        ("x" * 1025, "is longer than 1024"),
        ("\ud800 is half a character", "is no text in UTF-8"),
        ("aaaaaaaaaaaaaa", "one character again and again"),
        (" \u3000" * 8, "nothing but blanks"),
        ("a NUL \0 in twelve", "no keyboard types"),
        ("a tabulator\tin it", "no keyboard types"),
        ("deleted \x7f or \x85 next", "no keyboard types"),
        ("qwerty123456", "is among those that are tried first"),
        ("QwErTy123456", "is among those that are tried first"),
        ("!!Password2026", "is among those that are tried first"),
        ("my-name-is-ANNA-b", "holds the login"),
    ],
)
def test_a_password_that_may_not_be_used_is_refused_with_a_sentence(password: str, sentence: str) -> None:
    with pytest.raises(PasswordRefused, match=sentence):
        passwords.check(password, "Anna")


def test_the_ten_thousand_most_common_are_those_of_the_list() -> None:
    ranked = FREQUENCY_LISTS["passwords"]
    loose = PasswordPolicy(characters=1)
    for password, refused in ((ranked[0], True), (ranked[9_999], True), (ranked[10_000], False)):
        if refused:
            with pytest.raises(PasswordRefused, match="tried first"):
                passwords.check(password, "anna", loose)
        else:
            passwords.check(password, "anna", loose)


def test_the_platform_decides_what_is_asked_for() -> None:
    with pytest.raises(PasswordRefused, match="16 or more"):
        passwords.check("fifteen letters", "anna", PasswordPolicy(characters=16))
    passwords.check("qwerty123456", "anna", PasswordPolicy(not_common=False))
    passwords.check("my-name-is-anna", "anna", PasswordPolicy(not_login=False))


def test_a_login_of_two_characters_is_in_too_many_passwords() -> None:
    passwords.check("an honest mistake", "an")


async def test_each_refusal_has_a_sentence_for_readers(app: QuartTrio) -> None:
    values = {"num": 3, "fewest": 12, "most": 1024}
    async with app.test_request_context("/"):
        told = {code: passwords.in_words(PasswordRefused(code, **values)) for code in passwords.SENTENCES}
    assert len(set(told.values())) == len(told)
    assert told["short"] == "This has 3 characters; 12 or more are needed."


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
