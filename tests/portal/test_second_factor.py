"""Signing in with a second factor, and the codes themselves."""

import re
from uuid import UUID

import pyotp
import pytest
from quart_trio import QuartTrio

from portal import pending, second_factor
from portal.limits import CODE
from schema import access
from schema.access import by_owner
from schema.columns import new_id
from schema.database import rows, unit
from schema.values import Account
from tests.people import COMMAND
from tests.portal.clock import Clock, clock, no_time_passes
from tests.portal.test_signin import text, trail
from tests.portal.visitor import Visitor, add_account

__all__ = ["clock", "no_time_passes"]

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # noqa: S105 (of accounts that live as long as a test)
RECOVERY = "abcd-efgh-jkmn-pqrs"
CODE_PAGE = "/sign-in/code"


async def with_factor(login: str = "anna") -> Account:
    account = await add_account(login)
    hashes = [second_factor.hash_of(account.id, RECOVERY), b"another"]
    await access.set_totp(by_owner(account, ""), SECRET, 0, hashes)
    return account


def code_at(now_s: float) -> str:
    return pyotp.TOTP(SECRET).at(int(now_s))


async def type_code(visitor: Visitor, code: str, path: str = CODE_PAGE) -> tuple[int, str]:
    """Status, and the page or where it leads to."""
    answer = await visitor.post(path, {"code": code, "csrf_token": await visitor.token(CODE_PAGE)})
    return answer.status_code, answer.headers.get("Location") or await text(answer)


async def is_in(visitor: Visitor) -> bool:
    return (await visitor.get("/")).headers["Location"] == "/calls"


# At the door


async def test_after_the_password_the_code_is_asked_for(visitor: Visitor, clock: Clock) -> None:
    account = await with_factor()
    answer = await visitor.sign_in("anna", path="/sign-in?next=/calls%3Fview%3Dactive")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in/code?next=/calls?view%3Dactive")
    assert not await is_in(visitor)
    status, told = await type_code(visitor, "000000")
    assert status == 401
    assert "This code is not right" in told
    assert not await is_in(visitor)
    right = code_at(clock.now_s())
    path = f"{CODE_PAGE}?next=/calls%3Fview%3Dactive"
    assert await type_code(visitor, f" {right[:3]} {right[3:]} ", path) == (303, "/calls?view=active")
    assert await is_in(visitor)
    assert [(entry[0], entry[1], entry[4]) for entry in await trail()] == [
        ("failed login", account.login, '{"login": "anna", "second_factor": "wrong"}'),
        ("login", account.login, '{"second_factor": "code"}'),
    ]


async def test_a_code_counts_once_and_none_before_it_counts_any_more(visitor: Visitor, clock: Clock) -> None:
    await with_factor()
    code, before = code_at(clock.now_s()), code_at(clock.now_s() - second_factor.STEP_S)
    await visitor.sign_in("anna")
    assert (await type_code(visitor, code))[0] == 303
    thief = Visitor(visitor.app)
    await thief.sign_in("anna")
    for seen in (code, before):
        assert (await type_code(thief, seen))[0] == 401
    clock.ahead_s += 2 * second_factor.STEP_S
    assert (await type_code(thief, code_at(clock.now_s())))[0] == 303


async def test_a_recovery_code_lets_one_in_once(visitor: Visitor) -> None:
    await with_factor()
    await visitor.sign_in("anna")
    assert (await type_code(visitor, " ABCD efgh-jkmnpqrs "))[0] == 303
    assert "You have used a recovery code. 1 is left." in await text(await visitor.get("/calls"))
    again = Visitor(visitor.app)
    await again.sign_in("anna")
    assert (await type_code(again, RECOVERY))[0] == 401
    assert '"second_factor": "recovery code"' in (await trail())[0][4]


@pytest.mark.usefixtures("no_time_passes")
async def test_guessing_codes_is_slow_and_no_password_frees_it(visitor: Visitor, clock: Clock) -> None:
    await with_factor()
    await visitor.sign_in("anna")
    for n in range(CODE.free):
        assert (await type_code(visitor, f"{n:06}"))[0] == 401
    other = Visitor(visitor.app)
    await other.sign_in("anna")
    status, told = await type_code(other, code_at(clock.now_s()))
    assert status == 429
    assert "Too many attempts" in told


async def test_a_password_holds_for_minutes_only(visitor: Visitor, clock: Clock) -> None:
    await with_factor()
    await visitor.sign_in("anna")
    token = await visitor.token(CODE_PAGE)
    clock.ahead_s += pending.LASTS_S + 1
    answer = await visitor.post(CODE_PAGE, {"code": code_at(clock.now_s()), "csrf_token": token})
    assert answer.headers["Location"].startswith("/sign-in?")
    assert not await is_in(visitor)


@pytest.mark.parametrize(
    "changed",
    ["may_sign_in = FALSE", "disabled_at = created_at", "password_hash = 'another'", "authentication = 'oidc'"],
)
async def test_what_changed_since_the_password_counts(visitor: Visitor, clock: Clock, changed: str) -> None:
    await with_factor()
    await visitor.sign_in("anna")
    token = await visitor.token(CODE_PAGE)
    await sql(f"UPDATE account SET {changed}")  # noqa: S608  # columns of ours
    answer = await visitor.post(CODE_PAGE, {"code": code_at(clock.now_s()), "csrf_token": token})
    assert answer.headers["Location"].startswith("/sign-in?")
    assert not await is_in(visitor)


async def test_without_a_password_no_code_is_asked_for(visitor: Visitor, clock: Clock) -> None:
    await with_factor()
    form = {"code": code_at(clock.now_s()), "csrf_token": await visitor.token()}
    for answer in (await visitor.get(CODE_PAGE), await visitor.post(CODE_PAGE, form)):
        assert answer.headers["Location"].startswith("/sign-in?")


async def test_another_site_cannot_send_a_code(visitor: Visitor, clock: Clock) -> None:
    await with_factor()
    await visitor.sign_in("anna")
    answer = await visitor.post(CODE_PAGE, {"code": code_at(clock.now_s())})
    assert answer.status_code == 403
    assert not await is_in(visitor)


async def test_of_two_tenants_the_chosen_ones_code_is_asked_for(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna", tenant="One")
    account = await add_account("anna", tenant="Two")
    await access.set_totp(by_owner(account, ""), SECRET, 0, [])
    await visitor.sign_in("anna")
    assert (await visitor.get(CODE_PAGE)).headers["Location"].startswith("/sign-in?")
    await visitor.sign_in("anna")
    form = {"tenant": str(account.tenant_id), "csrf_token": await visitor.token("/sign-in/tenant")}
    assert (await visitor.post("/sign-in/tenant", form)).headers["Location"].startswith(CODE_PAGE)
    assert not await is_in(visitor)
    assert (await type_code(visitor, code_at(clock.now_s())))[0] == 303


async def test_a_secret_under_another_master_key_is_told_of_and_recovery_codes_go_on(
    visitor: Visitor, clock: Clock
) -> None:
    await with_factor()
    await sql("UPDATE account SET totp_secret = '1:bm90IG91cnMgYXQgYWxsLCBhdCBhbGw='")
    await visitor.sign_in("anna")
    status, told = await type_code(visitor, code_at(clock.now_s()))
    assert status == 503
    assert "Use a recovery code" in told
    assert (await type_code(visitor, RECOVERY))[0] == 303


async def test_an_administrator_helps_who_lost_his_telephone(visitor: Visitor) -> None:
    account = await with_factor()
    await access.clear_totp(COMMAND, account.id)
    assert (await visitor.sign_in("anna")).headers["Location"] == "/"


# The codes themselves


@pytest.mark.parametrize(
    ("now_s", "code"), [(1111111109, "081804"), (2000000000, "279037"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_rfc_6238_appendix_b(now_s: int, code: str) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # noqa: S105 (the RFC's)
    step = now_s // second_factor.STEP_S
    assert second_factor.step_of(secret, code, now_s) == step
    assert second_factor.step_of(secret, code, now_s + 30) == step
    assert second_factor.step_of(secret, code, now_s - 30) == step
    assert second_factor.step_of(secret, code, now_s + 60) is None
    assert second_factor.step_of(secret, code, now_s - 60) is None
    for odd in ("", code[:5], f"{code}0", "٢٨٧٠٨٢", "\ud800" * 6):
        assert second_factor.step_of(secret, odd, now_s) is None


def test_recovery_codes_differ_and_are_typed_as_one_likes() -> None:
    codes = second_factor.new_recovery_codes()
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert all(re.fullmatch(r"[a-z2-9]{4}(-[a-z2-9]{4}){3}", code) for code in codes)
    mine, other = new_id(), new_id()
    plain = second_factor.hash_of(mine, codes[0])
    assert second_factor.hash_of(mine, f" {codes[0].upper().replace('-', ' ')}") == plain
    assert second_factor.hash_of(other, codes[0]) != plain
    assert second_factor.hash_of(mine, "\ud800") != plain


async def test_a_secret_is_its_users_and_its_cookies(app: QuartTrio) -> None:
    one, other = UUID(int=1), UUID(int=2)
    async with app.app_context():
        number = second_factor.new_number()
        secret = second_factor.secret_from(number, one)
        assert secret == second_factor.secret_from(number, one)
        assert len({secret, second_factor.secret_from(number, other), second_factor.secret_from("x", one)}) == 3
    assert len(secret) == 32
    assert number not in secret


def test_the_picture_is_one_that_needs_no_other_site() -> None:
    drawn = second_factor.picture(SECRET, "anna", "Earshot")
    assert drawn.startswith("data:image/svg+xml")
    assert SECRET not in drawn


@unit
async def sql(query: str) -> None:
    await rows(query)
