"""Signing in and out, as somebody with a browser does it."""

import pytest

from portal import pending
from portal.limits import LOGIN
from portal.signin import MOST_TRIED
from schema import access, people, platform, tenants
from schema.database import DatabaseAway, rows, unit
from schema.profiles import PlatformFields, TenantFields
from schema.values import DEFAULT_TENANT, Account
from tests.people import COMMAND
from tests.portal.clock import Clock, clock, no_time_passes
from tests.portal.visitor import ADDRESS, PASSWORD, Visitor, add_account

__all__ = ["clock", "no_time_passes"]

REFUSED = "Login and password do not fit together"


async def text(response: object) -> str:
    return (await response.get_data()).decode()  # type: ignore[attr-defined]


@unit
async def change(account: Account, **values: str) -> None:
    """What no page does, straight into the database."""
    for column, value in values.items():
        await rows(f"UPDATE account SET {column} = $1 WHERE id = $2", value, account.id)  # noqa: S608  # names of ours


async def test_with_login_and_password_one_is_in(visitor: Visitor) -> None:
    await add_account("anna")
    answer = await visitor.sign_in("anna")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert (await visitor.get("/")).headers["Location"] == "/calls"


async def test_letter_case_and_spaces_around_a_login_do_not_matter(visitor: Visitor) -> None:
    await add_account("Anna")
    assert (await visitor.sign_in(" anna ")).status_code == 303


@pytest.mark.parametrize(
    ("login", "password"), [("anna", "wrong password"), ("anna", ""), ("nobody", PASSWORD), ("", PASSWORD), ("", "")]
)
async def test_the_wrong_ones_are_answered_with_one_sentence(visitor: Visitor, login: str, password: str) -> None:
    await add_account("anna")
    answer = await visitor.sign_in(login, password)
    assert answer.status_code == 401
    assert REFUSED in await text(answer)
    assert (await visitor.get("/")).status_code == 303


async def test_an_unknown_login_takes_as_long_as_a_known_one(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both cost one hash. (Times themselves say nothing on a busy machine.)"""
    await add_account("anna")
    hashed = []
    passwords = visitor.app.extensions["earshot"].passwords
    monkeypatch.setattr(type(passwords), "_verify", lambda *_: hashed.append("known") or False)
    monkeypatch.setattr(passwords._hasher.__class__, "hash", lambda *_: hashed.append("unknown") or "")
    await visitor.sign_in("anna", "wrong password")
    await visitor.sign_in("nobody", "wrong password")
    assert hashed == ["known", "unknown"]


async def test_without_web_access_nobody_gets_in(visitor: Visitor) -> None:
    await add_account("anna", may_sign_in=False)
    await add_account("berta", password_hash="")
    for login in ("anna", "berta"):
        answer = await visitor.sign_in(login)
        assert answer.status_code == 401
        assert REFUSED in await text(answer)


async def test_the_same_login_in_two_tenants_is_told_apart_by_the_password(visitor: Visitor) -> None:
    hasher = visitor.app.extensions["earshot"].passwords
    await add_account("anna", tenant="One")
    await add_account("anna", tenant="Two", password_hash=await hasher.hash("another good one"))
    assert (await visitor.sign_in("anna", "another good one")).status_code == 303


async def test_where_a_password_fits_several_accounts_one_chooses_the_tenant(visitor: Visitor) -> None:
    await add_account("anna", tenant="One")
    second = await add_account("anna", tenant="Two", name="The second")
    await add_account("anna", tenant="Three", password_hash="")
    answer = await visitor.sign_in("anna", path="/sign-in?next=/calls%3Fview%3Dactive")
    assert answer.status_code == 303
    there = answer.headers["Location"]
    assert there.startswith("/sign-in/tenant?")
    assert (await visitor.get("/calls")).headers["Location"].startswith("/sign-in?")
    page = await text(await visitor.get(there))
    assert "One" in page
    assert "Two" in page
    assert "Three" not in page
    assert PASSWORD not in page
    token = await visitor.token(there)
    for wrong in (str(DEFAULT_TENANT), "", "nonsense"):
        assert (await visitor.post(there, {"tenant": wrong, "csrf_token": token})).status_code == 422
    assert (await visitor.post(there, {"tenant": str(second.tenant_id)})).status_code == 403
    answer = await visitor.post(there, {"tenant": str(second.tenant_id), "csrf_token": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/calls?view=active")
    assert "The second" in await text(await visitor.get("/calls"))


async def test_nobody_chooses_a_tenant_without_a_password(visitor: Visitor, clock: Clock) -> None:
    await add_account("anna", tenant="One")
    await add_account("anna", tenant="Two")
    assert (await visitor.get("/sign-in/tenant")).headers["Location"].startswith("/sign-in?")
    await visitor.sign_in("anna")
    clock.ahead_s += pending.LASTS_S + 1
    assert (await visitor.get("/sign-in/tenant")).headers["Location"].startswith("/sign-in?")
    assert "That took too long" in await text(await visitor.get("/sign-in"))


async def test_a_password_that_was_changed_meanwhile_opens_nothing(visitor: Visitor) -> None:
    first = await add_account("anna", tenant="One")
    second = await add_account("anna", tenant="Two")
    await visitor.sign_in("anna")
    token = await visitor.token("/sign-in/tenant")
    for one in (first, second):
        await access.set_password(
            COMMAND, one.id, await visitor.app.extensions["earshot"].passwords.hash("another one")
        )
    answer = await visitor.post("/sign-in/tenant", {"tenant": str(second.tenant_id), "csrf_token": token})
    assert answer.headers["Location"].startswith("/sign-in?")


async def test_a_tenant_can_be_named_with_the_login(visitor: Visitor) -> None:
    await add_account("anna", tenant="One")
    second = await add_account("anna", tenant="Two Three", name="The second")
    for login in ("three/anna", "/anna", "Two Three/", "Two/anna"):
        assert REFUSED in await text(await visitor.sign_in(login))
    assert (await visitor.sign_in("two three/ANNA")).status_code == 303
    assert second.name in await text(await visitor.get("/calls"))


async def test_a_login_that_many_tenants_have_is_told_apart_before_any_password_is_tried(visitor: Visitor) -> None:
    for number in range(MOST_TRIED + 1):
        await add_account("admin", tenant=f"Tenant {number}")
    answer = await visitor.sign_in("admin")
    assert answer.status_code == 401
    assert "Many tenants have this login." in await text(answer)
    assert (await visitor.sign_in("tenant 3/admin")).status_code == 303


async def test_the_form_needs_no_database(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> None:
        raise DatabaseAway("it is silent")

    monkeypatch.setattr(tenants, "doorway", away)
    page = await text(await visitor.get("/sign-in"))
    assert 'name="password"' in page


async def test_a_host_name_tells_whose_logins_are_meant(visitor: Visitor) -> None:
    await tenants.create_tenant(COMMAND, TenantFields(name="One", hosts=("localhost",)))
    await add_account("anna", tenant="One", name="Of One")
    await add_account("anna", tenant="Two", name="Of Two")
    await add_account("berta", tenant="Two")
    for login in ("berta", "Two/anna", "two/berta"):
        answer = await visitor.sign_in(login)
        assert answer.status_code == 401, login
        assert REFUSED in await text(answer)
    assert (await visitor.sign_in("anna")).headers["Location"] == "/"
    assert "Of One" in await text(await visitor.get("/calls"))


async def test_the_door_shows_whom_to_ask_and_where_else_to_go(visitor: Visitor) -> None:
    fields = PlatformFields(
        support_contact="help@example.com, <b>+49 30 123</b>",
        sister_platforms=(("Reports", "https://reports.example.com/"),),
    )
    await platform.set_platform(COMMAND, fields)
    for path in ("/sign-in", "/forgot-password"):
        page = await text(await visitor.get(path))
        assert 'href="mailto:help@example.com"' in page
        assert "&lt;b&gt;+49 30 123" in page
        assert 'href="https://reports.example.com/"' in page
    assert 'href="/forgot-password"' in await text(await visitor.get("/sign-in"))


async def test_who_signs_in_elsewhere_has_no_password_here(visitor: Visitor) -> None:
    account = await add_account("anna")
    await change(account, authentication="oidc")
    assert REFUSED in await text(await visitor.sign_in("anna"))


async def test_an_outdated_hash_is_made_anew(visitor: Visitor) -> None:
    # RFC 9106's second choice with a smaller memory, as an older version may have had.
    from argon2 import PasswordHasher

    account = await add_account("anna", password_hash=PasswordHasher(memory_cost=8192).hash(PASSWORD))
    assert (await visitor.sign_in("anna")).status_code == 303
    kept = await people.account(account.id)
    assert kept is not None
    assert "m=65536" in kept.password_hash


# Where one comes to


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("/calls?view=active", "/calls?view=active"),
        ("", "/"),
        ("//evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("calls", "/"),
        ("/calls\r\nSet-Cookie: a=b", "/"),
        ("http://[", "/"),
    ],
)
async def test_after_signing_in_one_is_led_back_but_never_elsewhere(visitor: Visitor, wanted: str, given: str) -> None:
    await add_account("anna")
    token = await visitor.token()
    form = {"login": "anna", "password": PASSWORD, "csrf_token": token}
    answer = await visitor.post("/sign-in", form, query_string={"next": wanted})
    assert answer.headers["Location"] == given


async def test_the_way_back_goes_through_the_form(visitor: Visitor) -> None:
    await add_account("anna")
    away = await visitor.get("/calls?view=active")
    assert (away.status_code, away.headers["Location"]) == (303, "/sign-in?next=/calls%3Fview%3Dactive")
    page = await text(await visitor.get(away.headers["Location"]))
    assert 'action="/sign-in?next=/calls?view%3Dactive"' in page or "next=%2Fcalls%3Fview%3Dactive" in page


async def test_who_is_in_already_is_not_asked_again(visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    answer = await visitor.get("/sign-in?next=/calls")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/calls")


# Guessing


@pytest.mark.usefixtures("no_time_passes")
async def test_who_guesses_is_told_when_to_come_back(visitor: Visitor) -> None:
    await add_account("anna")
    for _ in range(LOGIN.free):
        assert (await visitor.sign_in("anna", "wrong password")).status_code == 401
    answer = await visitor.sign_in("anna")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= LOGIN.first_s
    assert "Too many attempts. Please try again in" in await text(answer)


# What the audit trail keeps


@unit
async def trail() -> list[tuple[str, str, str, str, str]]:
    """Action, whom it is about, who did it, from where, and details, in order; without what made the accounts."""
    found = await rows(
        "SELECT action, related_name, initiator_login, address, details FROM audit_entry "
        "WHERE resource = 'sessions' ORDER BY id"
    )
    return [tuple(row.values()) for row in found]


async def test_signing_in_out_and_failing_stand_in_the_audit_trail(visitor: Visitor) -> None:
    await add_account("anna", name="Anna Berg")
    await visitor.sign_in("anna", "wrong password")
    await visitor.sign_in("anna")
    await visitor.post("/sign-out", {"csrf_token": await visitor.token("/nowhere")})
    where = ADDRESS[0]
    assert await trail() == [
        ("failed login", "Anna Berg", "", where, '{"login": "anna"}'),
        ("login", "Anna Berg", "anna", where, "{}"),
        ("logout", "Anna Berg", "anna", where, "{}"),
    ]


async def test_what_was_typed_as_a_login_that_is_none_is_kept_nowhere(visitor: Visitor) -> None:
    """People type their password into the wrong field."""
    await add_account("anna")
    await visitor.sign_in(PASSWORD, PASSWORD)
    assert await trail() == [("failed login", "", "", ADDRESS[0], '{"login": "unknown"}')]
    written = await entries()
    assert PASSWORD not in written


@unit
async def entries() -> str:
    return str(await rows("SELECT * FROM audit_entry"))


# Sessions


def number(visitor: Visitor) -> str:
    """The random number in a browser's cookie."""
    signer = visitor.app.session_interface.get_signing_serializer(visitor.app)
    return str(signer.loads(visitor.cookie())["number"])


async def test_signing_in_gives_a_new_session(visitor: Visitor) -> None:
    """Whoever planted his cookie in this browser does not share what follows."""
    await add_account("mallory")
    await add_account("anna")
    mallory = Visitor(visitor.app)
    await mallory.sign_in("mallory")
    planted = number(mallory)
    visitor.client.set_cookie("localhost", "earshot", mallory.cookie())
    form = {"login": "anna", "password": PASSWORD, "csrf_token": await visitor.token("/nowhere")}
    await visitor.post("/sign-in", form)
    assert number(visitor) != planted
    assert (await mallory.get("/")).headers["Location"].startswith("/sign-in")


async def test_a_session_is_a_signed_cookie_that_scripts_cannot_read(visitor: Visitor) -> None:
    await add_account("anna")
    answer = await visitor.sign_in("anna")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


async def test_signing_out_ends_the_session_for_whoever_kept_its_cookie(visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    kept = visitor.cookie()
    assert kept is not None
    answer = await visitor.post("/sign-out", {"csrf_token": await visitor.token("/nowhere")})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    thief = Visitor(visitor.app)
    thief.client.set_cookie("localhost", "earshot", kept)
    assert (await thief.get("/")).headers["Location"].startswith("/sign-in")


async def test_a_link_cannot_sign_anybody_out(visitor: Visitor) -> None:
    await add_account("anna")
    await visitor.sign_in("anna")
    assert (await visitor.get("/sign-out")).status_code == 405
    assert (await visitor.post("/sign-out")).status_code == 403
    assert (await visitor.get("/")).headers["Location"] == "/calls"
