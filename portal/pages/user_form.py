"""The form of a user: what it offers, what it is filled with, and the fields that were filled in.

Groups and users that somebody manages are typed by name and login, with proposals: that works without a script too.

Not here: the pages around it (`users.py`), what is stored (`schema/users.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from quart_babel import gettext

from portal import gate, language
from portal.forms import Form, filled
from portal.pages import inherited, people_words
from portal.pages.stale import FIELD, version
from schema import groups, roles_kept, users
from schema.checked import MOST_CHARACTERS, folded
from schema.profiles import KeptRole, RecordingMode, User, UserFields
from schema.roles import EVERYTHING, Permission, Reach, Role
from schema.user_rules import WAYS_IN, has_ways_in
from schema.values import Scope

TEXTS: Final = ("login", "name", "email", "broadworks_user_id", "broadworks_group_id", "broadworks_sp_id")
# More inputs than anybody fills in; the form's length has its own bound.
MOST_OF_A_KIND: Final = 1000
GROUPS_AT_A_TIME: Final = 500

Options = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Offer:
    """What the form of a user of one tenant lets choose. `managing`: the roles with which one manages others;
    `ways_in`: whether how he gets in is for whoever asks to say.
    """

    scope: Scope
    groups: Options
    roles: Options
    managing: frozenset[str]
    group_names: dict[UUID, str]
    may_hide: bool
    ways_in: bool


async def offer(tenant_id: UUID, user: User | None = None) -> Offer:
    """What whoever asks may choose for a user of this tenant; what `user` has is among it."""
    scope = _within(tenant_id)
    grant = gate.account().grant
    operators = grant.covers(EVERYTHING) or (user is not None and user.fields.role is Role.OPERATOR)
    kept = await roles_kept.list_roles(scope, operators=operators)
    offered = [
        role for role in kept if grant.covers(role.fields.grant) or (user and _value(role) == str(user.fields.role))
    ]
    found = await _groups(scope)
    own = user.fields.group_id if user else None
    return Offer(
        scope=scope,
        groups=[(str(one), name) for one, (name, disabled) in found.items() if not disabled or one == own],
        roles=[(_value(role), people_words.role_title(role)) for role in offered],
        managing=frozenset(_value(role) for role in kept if role.fields.grant.reach is Reach.MANAGED),
        group_names={one: name for one, (name, _) in found.items()},
        may_hide=gate.may(Permission.VIEW_CONFIDENTIAL),
        ways_in=user is None or has_ways_in(gate.by(), user.id),
    )


def filled_with(user: User, offered: Offer) -> Form:
    """The form with what is stored of a user."""
    fields = user.fields
    form = filled(
        **{name: getattr(fields, name) for name in TEXTS},
        group_id=str(fields.group_id or ""),
        role=str(fields.role),
        authentication=fields.authentication,
        may_sign_in=fields.may_sign_in,
        must_change_password=fields.must_change_password,
        confidential=fields.confidential,
        recording_mode=str(fields.recording_mode or ""),
        language=fields.language,
        time_zone=fields.time_zone,
        phones=fields.phones,
        manages_groups=[offered.group_names.get(one, "") for one in fields.manages_groups],
        manages_users=user.managed_logins,
    )
    form.values[FIELD] = [version(fields)]
    return form


async def read(form: Form, offered: Offer, kept: UserFields | None = None) -> UserFields:
    """The fields as they were filled in; of a user who is there (`kept`) with what the form does not show.

    What is wrong stands in the form then, and the fields are of no use.
    """
    texts: dict[str, Any] = {
        name: form.text(name, most=MOST_CHARACTERS, required=name == "login")
        for name in TEXTS
        if offered.ways_in or name not in WAYS_IN
    }
    role = form.choice("role", dict(offered.roles))
    group = form.choice("group_id", ["", *dict(offered.groups)])
    manages = role in offered.managing
    mode = form.choice("recording_mode", ["", *RecordingMode])
    return replace(
        kept or UserFields(login=""),
        **texts,
        **(_ways_in(form, kept) if offered.ways_in else {}),
        role=_role(role) if "role" not in form.errors else Role.USER,
        group_id=UUID(group) if group and "group_id" not in form.errors else None,
        confidential=form.checked("confidential") if offered.may_hide else bool(kept and kept.confidential),
        recording_mode=RecordingMode(mode) if mode and "recording_mode" not in form.errors else None,
        language=form.choice("language", ["", *language.LANGUAGES]),
        time_zone=form.choice("time_zone", ["", *language.ZONES]),
        phones=tuple(_several(form, "phones")),
        manages_groups=_groups_by_name(form, offered) if manages else (),
        manages_users=await _users_by_login(form, offered) if manages else (),
    )


def _ways_in(form: Form, kept: UserFields | None) -> dict[str, Any]:
    return {
        "authentication": form.choice("authentication", people_words.AUTHENTICATION),
        "external_id": "" if kept is None or form.checked("forget_identity") else kept.external_id,
        "may_sign_in": form.checked("may_sign_in"),
        "must_change_password": form.checked("must_change_password"),
    }


def told(fields: UserFields, offered: Offer, managed: Sequence[str]) -> list[tuple[str, str]]:
    """Each field's name and value in words, in the order of the form. `managed`: the logins of `manages_users`."""
    yes, no = gettext("Yes"), gettext("No")

    def several(texts: Iterable[str]) -> str:
        return ", ".join(texts)

    return [
        (gettext("Name"), fields.name),
        (gettext("Login"), fields.login),
        (gettext("Email"), fields.email),
        (gettext("Group"), offered.group_names.get(fields.group_id, "") if fields.group_id else ""),
        (gettext("Role"), dict(offered.roles).get(str(fields.role), "")),
        (
            gettext("Groups that this user manages"),
            several(offered.group_names.get(one, "") for one in fields.manages_groups),
        ),
        (gettext("Users whom this user manages"), several(managed)),
        (gettext("Web access"), yes if fields.may_sign_in else no),
        (gettext("Authentication"), people_words.AUTHENTICATION[fields.authentication].name()),
        (gettext("Must change the password"), yes if fields.must_change_password else no),
        (gettext("Phones"), several(fields.phones)),
        (gettext("Recording mode"), people_words.mode_name(fields.recording_mode)),
        (gettext("Confidential"), yes if fields.confidential else no),
        (gettext("Language"), people_words.language_name(fields.language)),
        (gettext("Time zone"), fields.time_zone and language.zone_name(fields.time_zone)),
        (gettext("BroadWorks user id"), fields.broadworks_user_id),
        (gettext("BroadWorks group id"), fields.broadworks_group_id),
        (gettext("BroadWorks service-provider id"), fields.broadworks_sp_id),
    ]


def modes() -> Options:
    """The recording modes to choose from."""
    named = [(str(mode), term.name()) for mode, term in people_words.RECORDING_MODES.items()]
    return [("", people_words.mode_name(None)), *named]


def authentications() -> Options:
    return [(name, term.name()) for name, term in people_words.AUTHENTICATION.items()]


def inherited_words(user: User | None) -> dict[str, str]:
    """What holds where the language or the zone of a user is left empty."""
    if user is None:
        return {"inherited_language": "", "inherited_zone": ""}
    return {
        "inherited_language": inherited.told_language(user.inherited_language),
        "inherited_zone": inherited.told_zone(user.inherited_time_zone),
    }


def _within(tenant_id: UUID) -> Scope:
    """What the one who asks may see, of this tenant alone: an operator may look at all of them."""
    scope = gate.scope()
    return replace(scope, tenant_id=tenant_id, reach=Reach.TENANT) if scope.reach is Reach.PLATFORM else scope


async def _groups(scope: Scope) -> dict[UUID, tuple[str, bool]]:
    """Names of the groups, and whether they are disabled."""
    found: dict[UUID, tuple[str, bool]] = {}
    cursor: str | None = None
    while True:
        page = await groups.list_groups(scope, status="all", limit=GROUPS_AT_A_TIME, cursor=cursor)
        found |= {group.id: (group.fields.name, group.disabled_at is not None) for group in page.items}
        cursor = page.next
        if cursor is None:
            return found


def _value(role: KeptRole) -> str:
    return str(role.base if role.id is None else role.id)


def _role(value: str) -> Role | UUID:
    return Role(value) if value in Role.__members__.values() else UUID(value)


def _several(form: Form, name: str) -> list[str]:
    """The texts of several inputs of one name, without the empty ones."""
    given = [one.strip() for one in form.values.get(name, ())[:MOST_OF_A_KIND]]
    if any(len(one) > MOST_CHARACTERS or not one.isprintable() for one in given):
        form.wrong(
            gettext("Each of them has at most %(most)s characters, all of them printable.", most=MOST_CHARACTERS), name
        )
    return list(dict.fromkeys(filter(None, given)))


def _groups_by_name(form: Form, offered: Offer) -> tuple[UUID, ...]:
    known = {folded(name): one for one, name in offered.group_names.items()}
    given = _several(form, "manages_groups")
    for name in given:
        if folded(name) not in known:
            form.wrong(gettext("There is no group %(group)s.", group=name), "manages_groups")
    return tuple(dict.fromkeys(known[folded(name)] for name in given if folded(name) in known))


async def _users_by_login(form: Form, offered: Offer) -> tuple[UUID, ...]:
    found: list[UUID] = []
    for login in _several(form, "manages_users"):
        user = await users.get_by_login(offered.scope, login)
        if user is None:
            form.wrong(gettext("There is no user with the login %(login)s.", login=login), "manages_users")
        else:
            found.append(user.id)
    return tuple(dict.fromkeys(found))
