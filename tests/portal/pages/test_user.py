"""One user: the page, making one, changing one, and what its buttons do."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from quart_trio import QuartTrio

from portal.pages import user as pages
from schema import access, calls, groups, mails, people, platform, tenants, users
from schema.audit import entries_about
from schema.mails import MailKind
from schema.profiles import GroupFields, MailFields, RecordingMode, User, UserFields
from schema.roles import Role
from schema.values import PartyRecord
from tests.people import COMMAND
from tests.portal.pages.conftest import Keep, People
from tests.portal.pages.desk import Desk, desk_of, signed_in
from tests.portal.visitor import PASSWORD, Visitor, add_account

INDEX = "/administration/users"
SHORT = "horse"


@pytest.fixture
async def anna(app: QuartTrio, people: People) -> Desk:
    return await signed_in(app, "anna")


def page_of(user_id: UUID) -> str:
    return f"{INDEX}/{user_id}"


async def stored(user_id: UUID) -> User:
    found = await users.get_user(COMMAND.scope, user_id)
    assert found is not None
    return found


async def by_login(login: str) -> User:
    found = await users.get_by_login(COMMAND.scope, login)
    assert found is not None
    return found


# The page


async def test_the_page_says_who_somebody_is(anna: Desk, people: People) -> None:
    fields = (await stored(people.ulla.id)).fields
    more = {"email": "ulla@example.com", "recording_mode": RecordingMode.ON_DEMAND, "broadworks_user_id": "u1@bw"}
    await users.update_user(COMMAND, people.ulla.id, replace(fields, **more))
    told = await anna.words(page_of(people.ulla.id))
    for said in (
        "Login ulla Email ulla@example.com Group Support Status Active Recording mode On Demand",
        "BroadWorks user id u1@bw",
        "Phones 300",
        "Web access Yes Authentication Password Password Set Second factor Off Last sign-in Never Sessions 0",
    ):
        assert said in told
    sam = await anna.words(page_of(people.sam.id))
    assert "Manages Support" in sam
    assert "No phones Without a phone no call is this user's" in sam


async def test_the_newest_calls_of_a_user_are_shown(
    anna: Desk, people: People, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "RECENT_CALLS", 1)
    assert "No calls yet" in await anna.words(page_of(people.sam.id))
    older, strangers = await keep(), await keep(callee=PartyRecord("999", "Somebody Else"))
    newer = await keep(started_at=older.started_at.replace(hour=15), caller=PartyRecord("4420", "Wyn Skinner"))
    page = await anna.page(page_of(people.ulla.id))
    assert [f"/calls/{call.id}" in page for call in (newer, older, strangers)] == [True, False, False]
    assert f'href="/calls?user={people.ulla.id}"' in page
    listed = await anna.page(f"/calls?user={people.ulla.id}")
    assert "Calls of Ulla Skinner" in listed
    assert [str(call.id) in listed for call in (newer, older, strangers)] == [True, True, False]


async def test_the_page_shows_what_was_done_to_somebody(anna: Desk, people: People) -> None:
    await users.disable_user(COMMAND, people.ulla.id)
    found = await entries_about(COMMAND.scope, people.ulla.id, 10)
    page = await anna.page(page_of(people.ulla.id))
    assert found
    assert all(str(entry.id) in page for entry in found)


async def test_a_supervisor_may_look_and_set_the_language_and_nothing_else(app: QuartTrio, people: People) -> None:
    sam = await signed_in(app, "sam")
    page = await sam.page(page_of(people.ulla.id))
    assert "Ulla Skinner" in page
    for deed in ("edit", "disable", "invite", "end-sessions", "/administration/groups/", "/administration/phones/"):
        assert deed not in page
    answer = await sam.press(f"{page_of(people.ulla.id)}/language", language="fr", time_zone="Europe/Paris")
    assert answer.location == page_of(people.ulla.id)
    fields = (await stored(people.ulla.id)).fields
    assert (fields.language, fields.time_zone) == ("fr", "Europe/Paris")
    assert (await sam.press(f"{page_of(people.anna.id)}/language", language="fr", time_zone="")).status == 404
    assert (await stored(people.anna.id)).fields.language == ""
    assert (await sam.get(page_of(people.anna.id))).status == 404
    for deed in ("edit", "disable", "enable", "invite", "end-sessions", "reset-second-factor"):
        assert (await sam.press(f"{page_of(people.ulla.id)}/{deed}")).status == 403


@pytest.mark.parametrize("wrong", [{"language": "xx", "time_zone": ""}, {"language": "", "time_zone": "Nowhere"}])
async def test_a_language_that_no_menu_offers_is_refused(anna: Desk, people: People, wrong: dict[str, str]) -> None:
    assert (await anna.press(f"{page_of(people.ulla.id)}/language", **wrong)).status == 400


async def test_what_is_inherited_is_said(anna: Desk, people: People) -> None:
    [support] = (await groups.list_groups(COMMAND.scope)).items
    await groups.update_group(COMMAND, support.id, GroupFields(name="Support", language="fr", time_zone="Europe/Paris"))
    for address in (page_of(people.ulla.id), f"{page_of(people.ulla.id)}/edit"):
        told = await anna.words(address)
        assert "Inherited from the group Support: Français" in told
        assert "Inherited from the group Support: Paris (UTC+" in told


async def test_another_tenants_user_is_not_there(app: QuartTrio, people: People) -> None:
    await add_account("eve", tenant="Flexus")
    eve = await signed_in(app, "Flexus/eve")
    before = await stored(people.ulla.id)
    for there in (people.ulla.id, uuid4()):
        assert (await eve.get(page_of(there))).status == 404
        assert (await eve.get(f"{page_of(there)}/edit")).status == 404
        for deed in ("edit", "disable", "enable", "language", "invite", "end-sessions", "reset-second-factor"):
            assert (await eve.press(f"{page_of(there)}/{deed}", login="mine")).status == 404, deed
    assert await stored(people.ulla.id) == before


# Making one


async def test_a_user_is_made_with_all_fields(anna: Desk, people: People) -> None:
    [support] = (await groups.list_groups(COMMAND.scope)).items
    answer = await anna.fill(
        f"{INDEX}/new",
        name=" Carl Müller ",
        login="carl",
        email="carl@example.com",
        group_id=str(support.id),
        role="supervisor",
        manages_groups=["support", ""],
        manages_users=["ULLA", ""],
        may_sign_in="on",
        confidential="on",
        recording_mode="always_pause",
        phones=["401", "", "sip:carl@example.com"],
        language="es",
        time_zone="Europe/Madrid",
        broadworks_user_id="carl@bw",
        broadworks_group_id="grp",
        broadworks_sp_id="sp",
        first_access="password",
        password=PASSWORD,
    )
    assert answer.status == 303, answer.words
    made = await by_login("carl")
    assert made.fields == UserFields(
        login="carl",
        name="Carl Müller",
        email="carl@example.com",
        group_id=support.id,
        role=Role.SUPERVISOR,
        broadworks_user_id="carl@bw",
        broadworks_group_id="grp",
        broadworks_sp_id="sp",
        may_sign_in=True,
        must_change_password=True,
        confidential=True,
        recording_mode=RecordingMode.ALWAYS_PAUSE,
        language="es",
        time_zone="Europe/Madrid",
        phones=("401", "sip:carl@example.com"),
        manages_groups=(support.id,),
        manages_users=(people.ulla.id,),
    )
    assert answer.location == page_of(made.id)
    assert "The user Carl Müller was created." in await anna.words(answer.location)
    visitor = Visitor(anna.visitor.app)
    assert (await visitor.sign_in("carl")).status_code == 303


async def test_whoever_is_made_without_a_word_has_no_web_access(anna: Desk) -> None:
    await anna.fill(f"{INDEX}/new", login="carl")
    made = await by_login("carl")
    assert (made.fields.may_sign_in, made.has_password, made.fields.role) == (False, False, Role.USER)


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"login": ""}, "login", "Please fill in this field."),
        ({"login": "ULLA"}, "login", "There is a user ULLA in Default already. Choose another login."),
        ({"login": "a/b"}, "login", "A login has no slash"),
        ({"email": "nobody"}, "email", "nobody is no mail address."),
        ({"phones": ["300"]}, "phones", "The phone 300 belongs to another user of Default."),
        ({"phones": ["x" * 255]}, "phones", "at most 254 characters"),
        ({"role": "supervisor", "manages_groups": ["Sales"]}, "manages_groups", "There is no group Sales."),
        ({"role": "supervisor", "manages_users": ["zoe"]}, "manages_users", "There is no user with the login zoe."),
        ({"role": "operator"}, "role", "Please choose one of the list."),
        ({"group_id": str(uuid4())}, "group_id", "Please choose one of the list."),
        ({"recording_mode": "sometimes"}, "recording_mode", "Please choose one of the list."),
        ({"authentication": "card"}, "authentication", "Please choose one of the list."),
        ({"time_zone": "Nowhere"}, "time_zone", "Please choose one of the list."),
        ({"first_access": "password", "password": SHORT}, "password", "are needed"),
        ({"first_access": "invitation", "may_sign_in": "on"}, "email", "An invitation needs a mail address."),
        ({"first_access": "invitation", "email": "c@example.com"}, "may_sign_in", "Who is invited needs web access."),
    ],
    ids=lambda value: None,
)
async def test_what_is_wrong_is_said_at_its_field_and_all_is_kept(
    anna: Desk, changes: dict[str, Any], field: str, told: str
) -> None:
    given = {"login": "carl", "name": "Carl Müller", "language": "ru", **changes}
    answer = await anna.fill(f"{INDEX}/new", **given)
    assert answer.status == 422
    assert f'href="#field-{field}">' in answer.text
    assert told in answer.words
    assert 'value="Carl Müller"' in answer.text
    assert '<option value="ru" selected>' in answer.text
    assert f'value="{SHORT}"' not in answer.text
    assert (await users.count_users(COMMAND.scope)) == 3


async def test_an_administrator_gives_nobody_more_than_he_has(anna: Desk) -> None:
    assert 'value="operator"' not in await anna.page(f"{INDEX}/new")


async def test_somebody_new_gets_the_earlier_calls_of_his_phones(anna: Desk, people: People, keep: Keep) -> None:
    await keep(callee=PartyRecord("777", "Somebody"))
    answer = await anna.fill(f"{INDEX}/new", login="carl", phones=["777"])
    assert "1 earlier call of these phones belongs to carl now." in await anna.words(answer.location)
    found = await calls.list_calls(COMMAND.scope, user_id=(await by_login("carl")).id, silent_nodes=())
    assert len(found.calls) == 1


async def test_an_operator_says_in_which_tenant(app: QuartTrio, people: People) -> None:
    flexus = (await add_account("eve", tenant="Flexus")).tenant_id
    await groups.create_group(COMMAND, GroupFields(name="Night shift"), tenant_id=flexus)
    otto = await desk_of(app, "otto", Role.OPERATOR)
    assert "In which tenant?" in await otto.words(f"{INDEX}/new")
    address = f"{INDEX}/new?tenant={flexus}&role=administrator"
    form = await otto.page(address)
    assert "Night shift" in form
    assert "Support" not in form
    assert '<option value="administrator" selected>' in form
    answer = await otto.fill(address, login="carl")
    assert answer.status == 303
    assert (await by_login("carl")).tenant.id == flexus


async def test_a_tenants_limit_is_told(anna: Desk, people: People) -> None:
    tenant = await tenants.get_tenant(COMMAND.scope, people.anna.tenant_id)
    assert tenant is not None
    await tenants.update_tenant(COMMAND, tenant.id, replace(tenant.fields, max_users=3))
    answer = await anna.fill(f"{INDEX}/new", login="carl")
    assert answer.status == 422
    assert "Default may have 3 users and has them." in answer.words


# Changing one


async def test_saving_a_form_as_it_was_changes_nothing(anna: Desk, people: People) -> None:
    for user_id in (people.ulla.id, people.sam.id, people.anna.id):
        before = await stored(user_id)
        assert (await anna.fill(f"{page_of(user_id)}/edit")).status == 303
        assert await stored(user_id) == before


async def test_a_user_is_changed(anna: Desk, people: People) -> None:
    answer = await anna.fill(f"{page_of(people.ulla.id)}/edit", name="Ulla Berg", phones=["", "301"], group_id="")
    assert (answer.status, answer.location) == (303, page_of(people.ulla.id))
    changed = (await stored(people.ulla.id)).fields
    assert (changed.name, changed.phones, changed.group_id) == ("Ulla Berg", ("301",), None)
    assert changed.may_sign_in


async def test_whoever_manages_nobody_any_more_loses_them(anna: Desk, people: People) -> None:
    answer = await anna.fill(f"{page_of(people.sam.id)}/edit", role="user")
    assert answer.status == 303
    assert (await stored(people.sam.id)).manages == ()


async def test_taking_web_access_away_ends_the_sessions_at_once(anna: Desk, app: QuartTrio, people: People) -> None:
    sam = await signed_in(app, "sam")
    assert (await sam.get(INDEX)).status == 200
    await anna.fill(f"{page_of(people.sam.id)}/edit", may_sign_in=None)
    assert (await sam.get(INDEX)).location.startswith("/sign-in")


async def test_a_new_password_counts_from_then_on(anna: Desk, app: QuartTrio, people: People) -> None:
    other, wrong = "another horse battery", await anna.fill(f"{page_of(people.sam.id)}/edit", password=SHORT)
    assert wrong.status == 422
    assert (await anna.fill(f"{page_of(people.sam.id)}/edit", password=other)).status == 303
    assert (await Visitor(app).sign_in("sam", other)).status_code == 303
    assert (await Visitor(app).sign_in("sam", PASSWORD)).status_code == 401


async def test_one_does_not_take_ones_own_access_away(anna: Desk, people: People) -> None:
    for changes, field in (({"may_sign_in": None}, "may_sign_in"), ({"role": "user"}, "role")):
        answer = await anna.fill(f"{page_of(people.anna.id)}/edit", **changes)
        assert answer.status == 422
        assert f'href="#field-{field}">You would take your own access away.' in answer.text
    assert "/disable" not in await anna.page(page_of(people.anna.id))
    await anna.press(f"{page_of(people.anna.id)}/disable")
    assert "You would take your own access away." in await anna.words(page_of(people.anna.id))
    assert (await stored(people.anna.id)).disabled_at is None


async def test_a_form_that_was_open_too_long_undoes_nothing_unseen(anna: Desk, people: People) -> None:
    address = f"{page_of(people.ulla.id)}/edit"
    opened = await anna.form(address)
    await users.update_user(COMMAND, people.ulla.id, replace((await stored(people.ulla.id)).fields, name="Ulla Berg"))
    answer = await anna.send(address, opened, language="es")
    assert answer.status == 409
    assert "Somebody else changed this while the form was open" in answer.words
    assert "Name Ulla Berg Ulla Skinner" in answer.words
    assert "Language (empty) Español" in answer.words
    assert (await stored(people.ulla.id)).fields.name == "Ulla Berg"
    version = answer.text.partition('name="version" value="')[2].partition('"')[0]
    assert (await anna.send(address, opened, language="es", version=version)).status == 303
    fields = (await stored(people.ulla.id)).fields
    assert (fields.name, fields.language) == ("Ulla Skinner", "es")


async def test_a_group_that_was_disabled_stays_the_users_own(anna: Desk, people: People) -> None:
    [support] = (await groups.list_groups(COMMAND.scope)).items
    await groups.disable_group(COMMAND, support.id)
    assert (await anna.fill(f"{page_of(people.ulla.id)}/edit", name="Ulla Berg")).status == 303
    assert (await stored(people.ulla.id)).fields.group_id == support.id
    assert 'value="Support"' not in await anna.page(f"{INDEX}/new")


async def test_a_user_is_disabled_and_enabled(anna: Desk, app: QuartTrio, people: People) -> None:
    sam = await signed_in(app, "sam")
    await anna.press(f"{page_of(people.sam.id)}/disable")
    told = await anna.words(page_of(people.sam.id))
    assert "Sam Reed is disabled and signed out." in told
    assert "This user is disabled and cannot sign in." in told
    assert (await sam.get(INDEX)).location.startswith("/sign-in")
    await anna.press(f"{page_of(people.sam.id)}/enable")
    assert "Sam Reed is enabled." in await anna.words(page_of(people.sam.id))


# Ways in


async def with_mail(user_id: UUID, email: str = "ulla@example.com") -> None:
    await users.update_user(COMMAND, user_id, replace((await stored(user_id)).fields, email=email))


async def test_an_invitation_is_mailed(anna: Desk, people: People) -> None:
    await with_mail(people.ulla.id)
    answer = await anna.fill(f"{page_of(people.ulla.id)}/invite")
    told = await anna.words(answer.location)
    assert "The mail to ulla@example.com waits: no mail server is set up yet. Ask the operator." in told
    await platform.set_mail(COMMAND, MailFields(host="smtp.example.com", sender="earshot@example.com"))
    answer = await anna.fill(f"{page_of(people.ulla.id)}/invite")
    told = await anna.words(answer.location)
    assert "An invitation to ulla@example.com is on its way." in told
    assert "A mail with a link to ulla@example.com waits to be sent" in told
    mail, _ = (await mails.list_mails(COMMAND.scope, account_id=people.ulla.id)).items
    assert (mail.kind, mail.to_address) == (MailKind.INVITATION, "ulla@example.com")


async def test_an_operator_is_led_to_the_mail_server_that_is_missing(app: QuartTrio, people: People) -> None:
    await with_mail(people.ulla.id)
    otto = await desk_of(app, "otto", Role.OPERATOR)
    page = page_of(people.ulla.id)
    await otto.fill(f"{page}/invite")
    told = "The mail to ulla@example.com waits: no mail server is set up yet. Set up a mail server"
    assert told in await otto.words(page)
    await platform.set_mail(COMMAND, MailFields(host="smtp.example.com", sender="earshot@example.com"))
    assert "Set up a mail server" not in await otto.words(page)


async def test_an_invitation_asks_for_an_address_and_keeps_it(anna: Desk, people: People) -> None:
    address = f"{page_of(people.ulla.id)}/invite"
    for wrong in ("", "nobody"):
        assert (await anna.fill(address, email=wrong)).status == 422
    assert (await anna.fill(address, email="ulla@example.org")).status == 303
    assert (await stored(people.ulla.id)).fields.email == "ulla@example.org"
    assert len((await mails.list_mails(COMMAND.scope)).items) == 1


async def test_nobody_is_invited_who_may_not_sign_in(anna: Desk, people: People) -> None:
    fields = (await stored(people.ulla.id)).fields
    await users.update_user(COMMAND, people.ulla.id, replace(fields, may_sign_in=False))
    assert "/invite" not in await anna.page(page_of(people.ulla.id))
    answer = await anna.fill(f"{page_of(people.ulla.id)}/invite", email="ulla@example.com")
    assert "Nothing was mailed" in await anna.words(answer.location)
    assert (await mails.list_mails(COMMAND.scope)).items == ()


async def test_somebody_new_is_invited(anna: Desk) -> None:
    answer = await anna.fill(
        f"{INDEX}/new", login="carl", email="carl@example.com", may_sign_in="on", first_access="invitation"
    )
    assert "The mail to carl@example.com waits" in await anna.words(answer.location)


async def test_the_sessions_of_a_user_are_ended(anna: Desk, app: QuartTrio, people: People) -> None:
    sam = await signed_in(app, "sam")
    assert "Sessions 1" in await anna.words(page_of(people.sam.id))
    await anna.press(f"{page_of(people.sam.id)}/end-sessions")
    told = await anna.words(page_of(people.sam.id))
    assert "1 session of Sam Reed was ended." in told
    assert "Sessions 0" in told
    assert (await sam.get(INDEX)).location.startswith("/sign-in")


async def test_a_second_factor_is_reset(anna: Desk, people: People) -> None:
    await with_mail(people.ulla.id)
    account = await people_account(people.ulla.id)
    await access.set_totp(access.by_owner(account, ""), "JBSWY3DPEHPK3PXP", 1, [])
    assert "Second factor On" in await anna.words(page_of(people.ulla.id))
    await anna.press(f"{page_of(people.ulla.id)}/reset-second-factor")
    told = await anna.words(page_of(people.ulla.id))
    assert "Ulla Skinner signs in without a second factor now." in told
    assert "Second factor Off" in told
    assert not (await people_account(people.ulla.id)).two_factor
    [mail] = (await mails.list_mails(COMMAND.scope, account_id=people.ulla.id)).items
    assert mail.kind is MailKind.SECOND_FACTOR_OFF


async def people_account(user_id: UUID) -> Any:
    found = await people.account(user_id)
    assert found is not None
    return found


async def test_nobody_arranges_the_ways_in_of_somebody_above(app: QuartTrio, anna: Desk) -> None:
    operator = await add_account("otto", Role.OPERATOR)
    await signed_in(app, "otto")
    before = await stored(operator.id)
    told = "This user has rights that you do not have. Only somebody who has them can change this account."
    for deed in ("disable", "end-sessions", "reset-second-factor"):
        answer = await anna.press(f"{page_of(operator.id)}/{deed}")
        assert told in await anna.words(answer.location)
    for deed in ("edit", "invite"):
        for answer in (
            await anna.get(f"{page_of(operator.id)}/{deed}"),
            await anna.press(f"{page_of(operator.id)}/{deed}", email="mine@example.com", password=PASSWORD + "!"),
        ):
            assert (answer.status, answer.location) == (303, page_of(operator.id))
            assert told in await anna.words(answer.location)
    page = await anna.page(page_of(operator.id))
    assert told in page
    assert [deed for deed in ("edit", "invite", "disable", "end-sessions") if f"{operator.id}/{deed}" in page] == []
    assert await stored(operator.id) == before
