"""Why something was not done, in the reader's language: a sentence for each code of the schema and of the engine.

Not here: when something is refused (`schema/refusals.py` and `engine/call.py` have the codes).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from quart_babel import gettext, ngettext

from engine.call import Why
from live.errors import Refused
from schema.refusals import Refusal

OF_CALLS: Final[Mapping[str, Callable[[], str]]] = {
    Why.NOT_BEGUN: lambda: gettext("The call has not begun."),
    Why.BEGUN: lambda: gettext("The call has begun already."),
    Why.ENDED: lambda: gettext("The call has ended."),
    Why.HELD_BY_PHONE_SYSTEM: lambda: gettext(
        "The phone system holds this recording paused; it resumes when the phone system does."
    ),
    Why.NEVER_STOPPED: lambda: gettext(
        "This call is recorded from its beginning to its end: it can be paused, not stopped."
    ),
    Why.NO_SUCH_DIALOG: lambda: gettext("The phone system spoke of a connection that this call does not have."),
    Why.STREAMS_OF_ANOTHER: lambda: gettext("The phone system spoke of audio that belongs to another connection."),
}

OF_DATA: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "login_taken": lambda v: gettext("There is a user %(login)s in %(tenant)s already. Choose another login.", **v),
    "login_slash": lambda v: gettext("A login has no slash: people sign in as tenant/login, too."),
    "text_needed": lambda v: gettext("This must not be empty."),
    "text_refused": lambda v: gettext("This has 1 to %(most)s characters, all of them printable.", **v),
    "email_refused": lambda v: gettext("%(email)s is no mail address.", **v),
    "phone_taken": lambda v: gettext("The phone %(line)s belongs to another user of %(tenant)s.", **v),
    "line_beyond_you": lambda v: gettext(
        "Nobody whom you manage has the phone %(line)s. An administrator of the tenant can assign it.", **v
    ),
    "group_unknown": lambda v: gettext("There is no group %(group)s in %(tenant)s.", **v),
    "phone_there": lambda v: gettext("There is a phone %(line)s in %(tenant)s already.", **v),
    "group_taken": lambda v: gettext("There is a group %(group)s in %(tenant)s already.", **v),
    "group_disabled": lambda v: gettext(
        "The group %(group)s is disabled. Enable it first, or choose another one.", **v
    ),
    "group_in_use": lambda v: gettext("The group %(group)s has users. Move them to another group first.", **v),
    "user_unknown": lambda v: gettext("There is no user %(login)s in %(tenant)s.", **v),
    "role_unknown": lambda v: gettext("There is no role %(role)s.", **v),
    "role_taken": lambda v: gettext("There is a role %(role)s already.", **v),
    "role_in_use": lambda v: gettext("Somebody has the role %(role)s. Give them another one first.", **v),
    "role_ready_made": lambda v: gettext("The ready-made roles stay as they are. Make a copy and change that."),
    "beyond_you": lambda v: gettext("This would give rights that you do not have yourself."),
    "above_you": lambda v: gettext(
        "This user has rights that you do not have. Only somebody who has them can change this account."
    ),
    "yourself": lambda v: gettext("You would take your own access away. Another administrator can do that."),
    "managed_unclear": lambda v: gettext(
        "%(name)s is a group and a login of %(tenant)s, so it is not clear whom to manage.", **v
    ),
    "managed_unknown": lambda v: gettext(
        "There is neither a group nor a login %(name)s in %(tenant)s. Add who is in it first.", **v
    ),
    "manages_nobody": lambda v: gettext("Only a role that reaches managed users manages others."),
    "tenant_taken": lambda v: gettext("There is a tenant %(tenant)s already.", **v),
    "tenant_slash": lambda v: gettext("A tenant's name has no slash: people sign in as tenant/login, too."),
    "tenant_needed": lambda v: gettext("The default tenant stays: what belongs to nobody else's is in it."),
    "host_taken": lambda v: gettext("The host name %(host)s belongs to another tenant.", **v),
    "host_refused": lambda v: gettext("%(host)s is no host name.", **v),
    "colour_refused": lambda v: gettext("%(colour)s is no colour. Write it as #rrggbb.", **v),
    "logo_refused": lambda v: gettext("A logo is a PNG, JPEG or WebP picture of at most %(most)s kB.", **v),
    "language_unknown": lambda v: gettext("There is no language %(language)s.", **v),
    "zone_unknown": lambda v: gettext("There is no time zone %(zone)s.", **v),
    "mode_unknown": lambda v: gettext("There is no recording mode %(mode)s.", **v),
    "limit_refused": lambda v: gettext("A limit is a whole number of 1 or more; leave it empty for none."),
    "limit_of_users": lambda v: ngettext(
        "%(tenant)s may have %(num)s user and has that one. The operator can raise this.",
        "%(tenant)s may have %(num)s users and has them. The operator can raise this.",
        int(v["limit"]),
        tenant=v["tenant"],
    ),
    "mail_missing": lambda v: gettext("%(login)s has no mail address.", **v),
    "provider_taken": lambda v: gettext("There is an identity provider %(name)s already.", **v),
    "issuer_refused": lambda v: gettext(
        "%(issuer)s is no address of an identity provider: it begins with https:// and has no query.", **v
    ),
    "provider_beyond_you": lambda v: gettext(
        "Only who has all rights of an administrator may arrange single sign-on: a provider says who people are."
    ),
    "operators_provider": lambda v: gettext(
        "An operator of the platform added this provider, so only an operator can change or delete it."
    ),
    "access_beyond_you": lambda v: gettext(
        "How this user gets in is for administrators of the whole tenant: login, mail address, web access, "
        "authentication and password."
    ),
    "secret_of_another": lambda v: gettext(
        "The secret belongs to the provider that was here before. Enter the one of the new provider."
    ),
    "authentication_unknown": lambda v: gettext("There is no way to sign in called %(authentication)s.", **v),
    "address_refused": lambda v: gettext("%(address)s is no address of a web page. Write it as https://name.", **v),
    "characters_refused": lambda v: gettext(
        "A password can be asked to have %(least)s to %(most)s characters at least.", **v
    ),
    "port_refused": lambda v: gettext("A port is a whole number of 1 to 65535."),
    "security_unknown": lambda v: gettext("There is no way to secure mail called %(security)s.", **v),
    "column_unknown": lambda v: gettext("There is no column %(column)s.", **v),
    "column_needed": lambda v: gettext("The column %(column)s is missing: it says what each line is about.", **v),
    "twice_in_file": lambda v: gettext("%(name)s is in this file more than once.", **v),
    "changed_meanwhile": lambda v: gettext(
        "Somebody else changed this meanwhile, so nothing was written. Look at it again."
    ),
    "value_unclear": lambda v: gettext("%(value)s is neither yes nor no.", **v),
}


def of_call(refusal: Refused) -> str:
    """What an engine refused; in English where it is newer than this portal."""
    known = OF_CALLS.get(refusal.why)
    return known() if known is not None else str(refusal)


def of_data(refusal: Refusal) -> str:
    """Why the database's content stays as it is."""
    return OF_DATA[refusal.code](refusal.values)
