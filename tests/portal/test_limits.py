"""Rules of `limits.py`: who guesses waits longer and longer, who mistypes hardly notices."""

import pytest

from portal.limits import (
    ADDRESS,
    ANYWHERE,
    CODE,
    FORGET_AFTER_S,
    GET_MAIL,
    LOGIN,
    MAIL,
    MOST_KEYS,
    OWN_PASSWORD,
    SECOND_FACTOR,
    Attempts,
)

HOME = "192.0.2.1"


def test_the_first_attempts_are_free_and_pauses_double() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free):
        assert attempts.begin("anna", HOME, 0.0) == 0
    assert attempts.begin("anna", HOME, 0.0) == LOGIN.first_s
    assert attempts.begin("anna", HOME, LOGIN.first_s) == 0
    assert attempts.begin("anna", HOME, LOGIN.first_s) == 2 * LOGIN.first_s


def test_a_pause_does_not_grow_by_asking_again() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free + 100):
        attempts.begin("anna", HOME, 0.0)
    assert attempts.begin("anna", HOME, 0.0) == LOGIN.first_s


def test_one_login_has_one_count_however_it_is_written() -> None:
    attempts = Attempts()
    for login in ("anna", "ANNA", "\uff41nna", "a\uff4ena", "an\uff4ea")[: LOGIN.free]:
        assert attempts.begin(login, HOME, 0.0) == 0
    assert attempts.begin("ann\uff41", HOME, 0.0) == LOGIN.first_s


def test_pauses_have_an_end() -> None:
    assert LOGIN.pause_s(10_000) == LOGIN.longest_s


def test_five_wrong_tries_from_elsewhere_keep_nobody_out() -> None:
    attempts = Attempts()
    for n in range(LOGIN.free + 30):
        attempts.begin("anna", HOME, n * LOGIN.longest_s)
    now_s = (LOGIN.free + 29) * LOGIN.longest_s
    assert attempts.begin("anna", HOME, now_s) > 0
    assert attempts.begin("anna", "192.0.2.2", now_s) == 0


def test_the_same_login_of_another_tenant_is_not_held_back() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free):
        attempts.begin("one/anna", HOME, 0.0)
    assert attempts.begin("One/Anna", HOME, 0.0) > 0
    assert attempts.begin("two/anna", HOME, 0.0) == 0


def test_guessing_at_one_account_is_slow_from_many_addresses() -> None:
    attempts = Attempts()
    waits = [attempts.begin("anna", f"192.0.2.{n}", 0.0) for n in range(ANYWHERE.free + 1)]
    assert waits == [0.0] * ANYWHERE.free + [ANYWHERE.first_s]
    assert attempts.begin("berta", "192.0.2.1", 0.0) == 0
    # For a whole day, every second from another address: a hundred an hour at most, and who owns it waits a minute.
    let_in = sum(attempts.begin("anna", f"2001:db8:{n // 60000}:{n % 60000}::", float(n)) == 0 for n in range(86_400))
    assert let_in <= 86_400 / ANYWHERE.forgiven_s + 1
    assert attempts.begin("anna", HOME, 86_400.0) <= ANYWHERE.longest_s


def test_guessing_at_many_accounts_is_slow_from_one_address() -> None:
    attempts = Attempts()
    waits = [attempts.begin(f"user{n}", HOME, 0.0) for n in range(ADDRESS.free + 1)]
    assert waits == [0.0] * ADDRESS.free + [ADDRESS.first_s]
    assert attempts.begin("anna", "192.0.2.2", 0.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_address_is_what_one_subscriber_has(one: str, other: str, same: bool) -> None:
    attempts = Attempts()
    for n in range(ADDRESS.free):
        attempts.begin(f"user{n}", one, 0.0)
    assert (attempts.begin("anna", other, 0.0) > 0) is same


def test_success_frees_the_login_but_no_more_of_the_address_than_its_own_attempt() -> None:
    attempts = Attempts()
    for n in range(ADDRESS.free - 1):
        attempts.begin(f"user{n}", HOME, 0.0)
    assert attempts.begin("anna", HOME, 0.0) == 0
    attempts.succeeded("anna", HOME)
    assert attempts.begin("Anna", HOME, 0.0) == 0
    assert attempts.begin("anna", HOME, 0.0) == ADDRESS.first_s


def test_pauses_between_codes_grow_for_the_account_wherever_they_are_typed() -> None:
    attempts = Attempts()
    waits = [attempts.begin("anna's id", f"192.0.2.{n}", 0.0, SECOND_FACTOR) for n in range(CODE.free + 1)]
    assert waits == [0.0] * CODE.free + [CODE.first_s]
    # Whoever knows the password gets no fresh start when the owner comes in with the right code.
    attempts.succeeded("anna's id", HOME, SECOND_FACTOR)
    assert attempts.begin("anna's id", HOME, 0.0, SECOND_FACTOR) == 0
    assert attempts.begin("anna's id", "192.0.2.99", 0.0, SECOND_FACTOR) > 0
    # A day of guesses from a thousand addresses.
    let_in = sum(attempts.begin("berta's id", f"10.0.0.{n % 250}", n, SECOND_FACTOR) == 0 for n in range(86_400))
    assert let_in <= 120


def test_nobody_is_sent_many_mails_by_those_who_ask_from_many_addresses() -> None:
    attempts = Attempts()
    sent = [attempts.begin("anna's id", f"10.0.{n // 250}.{n % 250}", n, GET_MAIL) == 0 for n in range(3600)]
    assert sent[: MAIL.free] == [True] * MAIL.free
    assert sum(sent) <= MAIL.free + 3


def test_each_kind_of_attempt_is_counted_apart() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free):
        attempts.begin("anna", HOME, 0.0, OWN_PASSWORD)
    assert attempts.begin("anna", HOME, 0.0, OWN_PASSWORD) > 0
    assert attempts.begin("anna", HOME, 0.0) == 0
    assert attempts.begin("anna", HOME, 0.0, SECOND_FACTOR) == 0


def test_letter_case_makes_no_other_account() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free):
        attempts.begin("anna", HOME, 0.0)
    assert attempts.begin("ANNA", HOME, 0.0) > 0


def test_failures_are_forgotten() -> None:
    attempts = Attempts()
    for _ in range(LOGIN.free):
        attempts.begin("anna", HOME, 0.0)
    assert attempts.begin("anna", HOME, FORGET_AFTER_S) == 0
    assert attempts.begin("anna", HOME, FORGET_AFTER_S) == 0


def test_memory_is_bounded() -> None:
    attempts = Attempts()
    for n in range(MOST_KEYS):
        attempts.begin(f"user{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0.0)
    assert len(attempts._counts) == MOST_KEYS
