"""`earshot user`, `earshot token` and `earshot tenant`: their options, and where the password comes from.

Each is given a function that tells the database's URL and key as its context's object, and ends with a sentence and
status 1 where nothing was done.

Not here: what each of them does (`accounts.py`, `tokens.py`, `tenancies.py`).
"""

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, NoReturn

import trio
import typer

from portal import accounts, tenancies
from portal import tokens as programs
from portal.accounts import NewUser
from portal.commanded import Refused
from schema.roles import Role

FAILED: Final = 1
# More than the longest password has.
MOST_BYTES: Final = 10_000
# As for tokens that are made on one's own page.
EXPIRES_DAYS: Final = 90

Login = Annotated[str, typer.Argument(metavar="LOGIN")]
Owner = Annotated[str, typer.Option("--user", metavar="LOGIN", help="Whose token it is.")]
OfTenant = Annotated[str | None, typer.Option(help="Which one, where several have this login.")]

users = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
tokens = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
tenants = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@users.callback()
def _users() -> None:
    """Accounts: who may sign in, and whose calls are whose."""


@tokens.callback()
def _tokens() -> None:
    """Tokens for the API."""


@tenants.callback()
def _tenants() -> None:
    """Tenants: organisations that share this system and see nothing of each other."""


@users.command("add")
def _add_user(
    context: typer.Context,
    login: Login,
    role: Annotated[
        Literal["operator", "administrator", "supervisor", "user"],
        typer.Option(
            help="Whose calls one may see: of all tenants; of one's own; one's own and those one manages; one's own."
        ),
    ],
    tenant: Annotated[str | None, typer.Option(help="Made if it is new. Without it: the one named Default.")] = None,
    name: Annotated[str, typer.Option(help="The name that pages show.")] = "",
    email: Annotated[str, typer.Option(help="Where mails to this user go.")] = "",
    phone: Annotated[
        list[str] | None, typer.Option(help="A number or address whose calls are this user's. May be repeated.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group this user belongs to; made if it is new.")] = None,
    manages: Annotated[
        list[str] | None,
        typer.Option(help="A group, or a user by his login, whose calls a supervisor sees. May be repeated."),
    ] = None,
    confidential: Annotated[
        bool, typer.Option("--confidential", help="Hide this user's calls from who may not view what is confidential.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password from standard input. Without one: no web access.")
    ] = False,
    must_change: Annotated[
        bool, typer.Option("--must-change", help="Ask for another password at the first sign-in.")
    ] = False,
) -> None:
    """Add somebody who may sign in, or whose calls are recorded."""
    new = NewUser(
        login=login,
        role=Role(role),
        password=_password(accounts.NONE_MADE) if password_stdin else None,
        tenant=tenant,
        name=name,
        email=email,
        phones=phone or (),
        group=group,
        manages=manages or (),
        confidential=confidential,
        must_change=must_change,
    )
    _print(accounts.add_user, *context.obj(), new)


@users.command("list")
def _list_users(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Those that are disabled, too.")] = False,
) -> None:
    """Print who there is."""
    _print(accounts.list_users, *context.obj(), tenant, everybody)


@users.command("disable")
def _disable_user(context: typer.Context, login: Login, tenant: OfTenant = None) -> None:
    """Sign somebody out and keep him out. His calls and phones are kept."""
    _print(accounts.disable_user, *context.obj(), login, tenant)


@users.command("enable")
def _enable_user(context: typer.Context, login: Login, tenant: OfTenant = None) -> None:
    """Undo `disable`."""
    _print(accounts.enable_user, *context.obj(), login, tenant)


@users.command("password")
def _set_password(
    context: typer.Context,
    login: Login,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read it from standard input.")],
    tenant: OfTenant = None,
    must_change: Annotated[
        bool, typer.Option("--must-change", help="Ask for another password at the next sign-in.")
    ] = False,
) -> None:
    """Give somebody a new password, for who cannot get in any more."""
    if not password_stdin:
        _fail(f"Passwords come from standard input: --password-stdin. {accounts.NONE_CHANGED}")
    _print(accounts.set_password, *context.obj(), login, tenant, _password(accounts.NONE_CHANGED), must_change)


@users.command("second-factor-off")
def _second_factor_off(context: typer.Context, login: Login, tenant: OfTenant = None) -> None:
    """Let somebody in without his second factor, for who lost it and his recovery codes."""
    _print(accounts.second_factor_off, *context.obj(), login, tenant)


@tokens.command("add")
def _add_token(
    context: typer.Context,
    login: Annotated[str, typer.Option("--user", metavar="LOGIN", help="Whose rights the token has.")],
    tenant: OfTenant = None,
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
    permissions: Annotated[
        str, typer.Option(help="The only ones that it gives, parted by commas. Without it: all that its owner has.")
    ] = "",
    expires_days: Annotated[int, typer.Option(help="For how many days it opens the API; 0: for ever.")] = EXPIRES_DAYS,
) -> None:
    """Print a new token. It is shown this once."""
    _print(programs.add_token, *context.obj(), login, tenant, name, permissions, expires_days)


@tokens.command("list")
def _list_tokens(context: typer.Context, login: Owner, tenant: OfTenant = None) -> None:
    """Print which tokens somebody has, and when they were used."""
    _print(programs.list_tokens, *context.obj(), login, tenant)


@tokens.command("revoke")
def _revoke_token(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `earshot token list` shows it.")],
    login: Owner,
    tenant: OfTenant = None,
) -> None:
    """Make a token open nothing any more."""
    _print(programs.revoke_token, *context.obj(), login, tenant, token_id)


@tenants.command("add")
def _add_tenant(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    host: Annotated[
        list[str] | None, typer.Option(help="A host name by which browsers reach this tenant. May be repeated.")
    ] = None,
    language: Annotated[str, typer.Option(help="en, fr, pt_BR, ru or es. Without it: the platform's.")] = "",
    time_zone: Annotated[str, typer.Option(help="As Europe/Berlin. Without it: the platform's.")] = "",
) -> None:
    """Add a tenant."""
    _print(tenancies.add_tenant, *context.obj(), name, host or (), language, time_zone)


@tenants.command("list")
def _list_tenants(context: typer.Context) -> None:
    """Print which tenants there are."""
    _print(tenancies.list_tenants, *context.obj())


def _print(work: Callable[..., Awaitable[str]], *given: Any) -> None:
    try:
        typer.echo(trio.run(work, *given))
    except Refused as error:
        _fail(str(error))


def _password(outcome: str) -> str:
    """The first line of standard input; on a terminal it is asked for, and not shown. `outcome`: if there is none."""
    # A process that was started without one has none, whatever the type says.
    if sys.stdin is None:
        _fail(f"--password-stdin wants the password on standard input, and there is none. {outcome}")
    try:
        if sys.stdin.isatty():
            return getpass.getpass("Password: ")
        return sys.stdin.buffer.readline(MOST_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        _fail(f"The password is no text in UTF-8. {outcome}")
    except EOFError:
        _fail(f"No password was typed. {outcome}")


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(FAILED)
