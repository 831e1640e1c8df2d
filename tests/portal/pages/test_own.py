"""What people do for their own security: password, browsers, second factor, tokens."""

import re
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from portal import agents, second_factor
from portal.limits import LOGIN
from portal.tokens import TOKEN_PREFIX
from schema import access, audit, people
from schema.access import by_owner
from schema.roles import Permission, Role
from schema.values import Account
from tests.people import COMMAND
from tests.portal.clock import Clock, clock, no_time_passes
from tests.portal.pages.test_password import NEW, post_box
from tests.portal.test_signin import change, text
from tests.portal.visitor import PASSWORD, Visitor, add_account

__all__ = ["clock", "no_time_passes"]

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"  # noqa: E501


async def enter(visitor: Visitor, login: str = "anna", agent: str = FIREFOX) -> Visitor:
    assert (await visitor.sign_in(login, headers={"User-Agent": agent})).status_code == 303
    return visitor


async def send(visitor: Visitor, path: str, form: dict[str, str]) -> tuple[int, str]:
    """Status, and the page or where it leads to."""
    answer = await visitor.post(path, {**form, "csrf_token": await visitor.token("/security")})
    return answer.status_code, answer.headers.get("Location") or await text(answer)


async def is_in(visitor: Visitor) -> bool:
    return (await visitor.get("/")).headers["Location"] == "/calls"


async def account_now(account: Account) -> Account:
    found = await people.account(account.id)
    assert found is not None
    return found


# The password


async def test_ones_own_password_is_changed_and_other_browsers_are_out(visitor: Visitor) -> None:
    account = await add_account("anna")
    await change(account, email="anna@example.com")
    other = await enter(Visitor(visitor.app))
    await enter(visitor)
    form = {"old": PASSWORD, "password": NEW, "again": NEW}
    assert await send(visitor, "/change-password", form) == (303, "/security")
    assert await is_in(visitor)
    assert not await is_in(other)
    assert (await Visitor(visitor.app).sign_in("anna")).status_code == 401
    assert (await Visitor(visitor.app).sign_in("anna", NEW)).status_code == 303
    (mail,) = await post_box()
    assert (mail.kind, mail.to_address) == ("password changed", "anna@example.com")
    assert ("change password", "anna") in await access_trail()


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"old": "not mine", "password": NEW, "again": NEW}, "This is not your password."),
        ({"old": PASSWORD, "password": NEW, "again": "another"}, "This is not the same as above."),
        ({"old": PASSWORD, "password": "short", "again": "short"}, "12 or more are needed."),
        ({"old": PASSWORD, "password": PASSWORD, "again": PASSWORD}, "You have this password already."),
        ({"old": PASSWORD}, "Please fill in this field."),
        ({}, "This is not your password."),
    ],
)
async def test_a_password_that_cannot_be_changed_stays(visitor: Visitor, form: dict[str, str], sentence: str) -> None:
    account = await add_account("anna")
    await enter(visitor)
    status, page = await send(visitor, "/change-password", form)
    assert status == 422
    assert sentence in page
    assert PASSWORD not in page
    assert NEW not in page
    assert (await account_now(account)).password_hash == account.password_hash


@pytest.mark.usefixtures("no_time_passes")
async def test_whoever_finds_an_open_browser_guesses_slowly(visitor: Visitor) -> None:
    await add_account("anna")
    await enter(visitor)
    for n in range(LOGIN.free):
        await send(visitor, "/change-password", {"old": f"guess {n}", "password": NEW, "again": NEW})
    status, page = await send(visitor, "/change-password", {"old": PASSWORD, "password": NEW, "again": NEW})
    assert status == 422
    assert "Too many attempts" in page
    assert (await Visitor(visitor.app).sign_in("anna")).status_code == 303


async def test_who_must_change_his_password_is_told_so_and_goes_on_afterwards(visitor: Visitor) -> None:
    account = await add_account("anna")
    await access.set_password(COMMAND, account.id, account.password_hash, must_change=True)
    await enter(visitor)
    page = await text(await visitor.get("/change-password"))
    assert "Choose one of your own to go on." in page
    token = await visitor.token("/change-password")
    form = {"old": PASSWORD, "password": NEW, "again": NEW, "csrf_token": token}
    assert (await visitor.post("/change-password", form)).headers["Location"] == "/"
    assert not (await account_now(account)).must_change_password
    assert await is_in(visitor)


async def test_who_signs_in_elsewhere_changes_no_password_here(visitor: Visitor) -> None:
    account = await add_account("anna")
    await enter(visitor)
    await change(account, authentication="oidc")
    assert "You have no password here" in await text(await visitor.get("/change-password"))
    await send(visitor, "/change-password", {"old": PASSWORD, "password": NEW, "again": NEW})
    assert (await account_now(account)).password_hash == account.password_hash
    page = await text(await visitor.get("/security"))
    assert 'href="/security/second-factor"' not in page
    assert (await visitor.get("/security/second-factor")).headers["Location"] == "/security"


# Browsers


async def test_one_sees_where_one_is_signed_in_and_ends_it_there(visitor: Visitor) -> None:
    await add_account("anna")
    await add_account("berta")
    phone = await enter(Visitor(visitor.app), agent=IPHONE)
    stranger = await enter(Visitor(visitor.app), "berta", "curl/8")
    await enter(visitor)
    page = await text(await visitor.get("/security"))
    assert page.index("Firefox on Windows") < page.index("This browser") < page.index("Safari on iPhone")
    assert "192.0.2.7" in page
    assert "curl" not in page
    (handle,) = re.findall(r'name="session" value="(\w+)"', page)
    assert (await send(visitor, "/security/sessions/end", {"session": handle}))[0] == 303
    assert not await is_in(phone)
    assert await is_in(visitor)
    theirs = await text(await stranger.get("/security"))
    assert "Firefox" not in theirs
    await send(stranger, "/security/sessions/end", {"session": handle})
    assert await is_in(visitor)


async def test_nobody_ends_the_session_of_another(visitor: Visitor) -> None:
    await add_account("anna")
    await add_account("berta")
    await enter(Visitor(visitor.app))
    other = await enter(Visitor(visitor.app))
    await enter(visitor, "berta")
    handles = re.findall(r'name="session" value="(\w+)"', await text(await other.get("/security")))
    assert handles
    for handle in [*handles, "", "nonsense"]:
        assert (await send(visitor, "/security/sessions/end", {"session": handle}))[0] == 303
    assert await is_in(other)


async def test_all_other_sessions_are_ended_at_once(visitor: Visitor) -> None:
    await add_account("anna")
    others = [await enter(Visitor(visitor.app)) for _ in range(2)]
    await enter(visitor)
    await send(visitor, "/security/sessions/end-others", {})
    assert "2 sessions in other browsers were ended." in await text(await visitor.get("/security"))
    assert [await is_in(one) for one in (visitor, *others)] == [True, False, False]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        (IPHONE, "Safari on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on macOS"),
        ("curl/8.5.0", "curl"),
        ("", "Unknown browser"),
        ("<script>", "Unknown browser"),
    ],
)
async def test_browsers_are_called_as_people_call_them(visitor: Visitor, header: str, words: str) -> None:
    async with visitor.app.test_request_context("/"):
        assert agents.browser(header) == words
        assert agents.is_handheld(header) is (header == IPHONE)


# The second factor


async def set_up(visitor: Visitor, clock: Clock) -> tuple[str, list[str]]:
    """The secret and the recovery codes."""
    page = await text(await visitor.get("/security/second-factor"))
    found = re.search(r'class="access-key">([A-Z2-7 ]+)<', page)
    assert found is not None
    secret = found[1].replace(" ", "")
    form = {"code": pyotp.TOTP(secret).at(int(clock.now_s())), "password": PASSWORD}
    status, page = await send(visitor, "/security/second-factor", form)
    assert status == 200, page
    codes = re.findall(r"<code>([a-z2-9-]+)</code>", page)
    assert len(codes) == second_factor.RECOVERY_CODES
    return secret, codes


async def test_a_second_factor_is_turned_on_used_and_turned_off(visitor: Visitor, clock: Clock) -> None:
    account = await add_account("anna")
    await change(account, email="anna@example.com")
    await enter(visitor)
    secret, codes = await set_up(visitor, clock)
    assert (await account_now(account)).two_factor
    page = await text(await visitor.get("/security"))
    assert "10 codes are left." in page
    assert secret not in page
    assert codes[0] not in page

    other = Visitor(visitor.app)
    assert (await other.sign_in("anna")).headers["Location"].startswith("/sign-in/code")
    form = {"code": codes[3], "csrf_token": await other.token("/sign-in/code")}
    assert (await other.post("/sign-in/code", form)).headers["Location"] == "/"
    assert "9 codes are left." in await text(await visitor.get("/security"))

    status, page = await send(visitor, "/security/second-factor/off", {"password": "wrong password"})
    assert status == 422
    assert "This is not your password." in page
    assert await send(visitor, "/security/second-factor/off", {"password": PASSWORD}) == (303, "/security")
    assert (await Visitor(visitor.app).sign_in("anna")).headers["Location"] == "/"
    (mail,) = await post_box()
    assert mail.kind == "second factor off"


async def test_it_is_not_on_before_the_app_shows_the_right_code(visitor: Visitor, clock: Clock) -> None:
    account = await add_account("anna")
    await enter(visitor)
    await visitor.get("/security/second-factor")
    for form in ({"code": "123456", "password": PASSWORD}, {"code": "", "password": PASSWORD}, {"code": "123456"}):
        status, page = await send(visitor, "/security/second-factor", form)
        assert status == 422
        assert "data:image/svg+xml" in page
    assert not (await account_now(account)).two_factor
    await set_up(visitor, clock)
    assert (await account_now(account)).two_factor


async def test_an_open_browser_alone_sets_no_second_factor(visitor: Visitor, clock: Clock) -> None:
    account = await add_account("anna")
    await enter(visitor)
    page = await text(await visitor.get("/security/second-factor"))
    found = re.search(r'class="access-key">([A-Z2-7 ]+)<', page)
    assert found is not None
    code = pyotp.TOTP(found[1].replace(" ", "")).at(int(clock.now_s()))
    assert (await send(visitor, "/security/second-factor", {"code": code, "password": "wrong"}))[0] == 422
    assert not (await account_now(account)).two_factor


async def test_the_cookie_does_not_tell_the_secret(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await enter(visitor)
    secret, _ = await set_up(visitor, clock)
    await visitor.get("/security")
    signer = visitor.app.session_interface.get_signing_serializer(visitor.app)
    assert secret not in str(signer.loads(visitor.cookie()))


async def test_the_code_that_turned_it_on_opens_nothing(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await enter(visitor)
    secret, _ = await set_up(visitor, clock)
    other = Visitor(visitor.app)
    await other.sign_in("anna")
    form = {"code": pyotp.TOTP(secret).at(int(clock.now_s())), "csrf_token": await other.token("/sign-in/code")}
    assert (await other.post("/sign-in/code", form)).status_code == 401


async def test_new_recovery_codes_replace_the_old_ones(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await enter(visitor)
    _, old = await set_up(visitor, clock)
    assert (await send(visitor, "/security/recovery-codes", {"password": ""}))[0] == 422
    status, page = await send(visitor, "/security/recovery-codes", {"password": PASSWORD})
    assert status == 200
    new = re.findall(r"<code>([a-z2-9-]+)</code>", page)
    assert len(new) == second_factor.RECOVERY_CODES
    assert not set(new) & set(old)
    for code, expected in ((old[0], 401), (new[0], 303)):
        other = Visitor(visitor.app)
        await other.sign_in("anna")
        form = {"code": code, "csrf_token": await other.token("/sign-in/code")}
        assert (await other.post("/sign-in/code", form)).status_code == expected


async def test_what_is_off_is_not_turned_off_and_what_is_on_not_on_again(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna")
    await enter(visitor)
    for path in ("/security/second-factor/off", "/security/recovery-codes"):
        assert (await visitor.get(path)).headers["Location"] == "/security"
    secret, _ = await set_up(visitor, clock)
    assert (await visitor.get("/security/second-factor")).headers["Location"] == "/security"
    form = {"code": pyotp.TOTP(secret).at(int(clock.now_s())), "password": PASSWORD}
    assert (await send(visitor, "/security/second-factor", form))[0] == 303


# Tokens


async def make_token(visitor: Visitor, **given: str) -> str:
    form = {"name": "Wallboard", "rights": "all", "expires": "90", **given}
    status, page = await send(visitor, "/security/tokens", form)
    assert status == 200, page
    found = re.search(rf"{TOKEN_PREFIX}[\w-]+", page)
    assert found is not None
    return found[0]


async def calls_with(visitor: Visitor, token: str) -> int:
    return (await visitor.get("/api/v1/calls", headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_token_is_shown_once_used_and_revoked(visitor: Visitor) -> None:
    await add_account("anna")
    await enter(visitor)
    token = await make_token(visitor)
    program = Visitor(visitor.app)
    assert await calls_with(program, token) == 200
    page = await text(await visitor.get("/security"))
    assert "Wallboard" in page
    assert "All that you may do" in page
    assert token not in page
    (handle,) = re.findall(r'name="token" value="(\w+)"', page)
    assert (await send(visitor, "/security/tokens/revoke", {"token": handle}))[0] == 303
    assert await calls_with(program, token) == 401
    assert (await send(visitor, "/security/tokens/revoke", {"token": handle}))[0] == 404


async def test_a_token_may_do_what_was_chosen_and_no_more(visitor: Visitor) -> None:
    await add_account("anna")
    await enter(visitor)
    token = await make_token(visitor, rights="some", permissions=Permission.DOWNLOAD)
    assert await calls_with(Visitor(visitor.app), token) == 403
    token = await make_token(visitor, rights="some", permissions=Permission.VIEW_CALLS)
    assert await calls_with(Visitor(visitor.app), token) == 200
    assert "View calls" in await text(await visitor.get("/security"))


async def test_a_token_ends_when_it_was_told_to(visitor: Visitor) -> None:
    account = await add_account("anna")
    await enter(visitor)
    for days in ("7", "90", "never"):
        await make_token(visitor, name=days, expires=days)
    kept = {one.name: one.expires_at for one in await access.list_tokens(by_owner(account, "").scope, account.id)}
    assert kept["never"] is None
    for days in (7, 90):
        ends = kept[str(days)]
        assert ends is not None
        assert abs(ends - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)
    assert 'value="90" selected' in await text(await visitor.get("/security"))
    await access.add_token(by_owner(account, ""), account.id, b"over", "Old", None, datetime.now(UTC))
    assert "Expired" in await text(await visitor.get("/security"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"expires": "1000000"},
        {"rights": "some"},
        {"rights": "some", "permissions": Permission.MANAGE_USERS},
        {"rights": "some", "permissions": "levitate"},
        {"rights": ""},
    ],
)
async def test_a_token_that_cannot_be_made_says_why(visitor: Visitor, wrong: dict[str, str]) -> None:
    account = await add_account("anna", Role.USER)
    await enter(visitor)
    form = {"name": "Wallboard", "rights": "all", "expires": "90", **wrong}
    status, page = await send(visitor, "/security/tokens", form)
    assert status == 422
    assert 'role="alert"' in page
    assert await access.list_tokens(by_owner(account, "").scope, account.id) == ()


async def test_nobody_revokes_the_token_of_another(visitor: Visitor) -> None:
    await add_account("anna")
    await add_account("berta")
    other = await enter(Visitor(visitor.app))
    token = await make_token(other)
    (handle,) = re.findall(r'name="token" value="(\w+)"', await text(await other.get("/security")))
    await enter(visitor, "berta")
    assert (await send(visitor, "/security/tokens/revoke", {"token": handle}))[0] == 404
    assert await calls_with(Visitor(visitor.app), token) == 200


async def test_a_token_is_no_session(visitor: Visitor) -> None:
    """Whoever has one makes no others with it, and reaches no page."""
    await add_account("anna")
    await enter(visitor)
    bearer = {"headers": {"Authorization": f"Bearer {await make_token(visitor)}"}}
    for path in ("/security", "/change-password", "/calls"):
        assert (await Visitor(visitor.app).get(path, **bearer)).status_code == 303


async def access_trail() -> list[tuple[str, str]]:

    entries = await audit.list_entries(COMMAND.scope)
    return [(str(entry.action), entry.initiator_login) for entry in entries.items]
