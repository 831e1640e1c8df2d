"""`earshot user` and `earshot token`: their options, and where the password comes from.

Both are given a function that tells the database's URL as their context's object, and end with a sentence and status 1
where nothing was made.

Not here: what an account needs (`accounts.py`).
"""

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal, NoReturn

import trio
import typer

from portal.accounts import NewUser, Refused, add_token, add_user
from schema.roles import Role

FAILED: Final = 1
# More than the longest password has.
MOST_BYTES: Final = 10_000

users = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
tokens = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@users.callback()
def _users() -> None:
    """Accounts: who may sign in, and whose calls are whose."""


@tokens.callback()
def _tokens() -> None:
    """Tokens for the API."""


@users.command("add")
def _add_user(
    context: typer.Context,
    login: Annotated[str, typer.Argument(metavar="LOGIN")],
    role: Annotated[
        Literal["administrator", "supervisor", "user"],
        typer.Option(help="Whose calls one may see: all; one's own and those one manages; one's own."),
    ],
    tenant: Annotated[str | None, typer.Option(help="Made if it is new. Without it: the one named Default.")] = None,
    name: Annotated[str, typer.Option(help="The name that pages show.")] = "",
    phone: Annotated[
        list[str] | None, typer.Option(help="A number or address whose calls are this user's. May be repeated.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The group this user belongs to; made if it is new.")] = None,
    manages: Annotated[
        list[str] | None,
        typer.Option(help="A group, or a user by his login, whose calls a supervisor sees. May be repeated."),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password from standard input. Without one: no web access.")
    ] = False,
) -> None:
    """Add somebody who may sign in, or whose calls are recorded."""
    new = NewUser(
        login=login,
        role=Role(role),
        password=_password() if password_stdin else None,
        tenant=tenant,
        name=name,
        phones=phone or (),
        group=group,
        manages=manages or (),
    )
    _print(add_user, *context.obj(), new)


@tokens.command("add")
def _add_token(
    context: typer.Context,
    login: Annotated[str, typer.Option("--user", metavar="LOGIN", help="Whose rights the token has.")],
    tenant: Annotated[str | None, typer.Option(help="Which one, where several have this login.")] = None,
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
) -> None:
    """Print a new token. It is shown this once."""
    _print(add_token, *context.obj(), login, tenant, name)


def _print(work: Callable[..., Awaitable[str]], *given: Any) -> None:
    try:
        typer.echo(trio.run(work, *given))
    except Refused as error:
        _fail(str(error))


def _password() -> str:
    """The first line of standard input; on a terminal it is asked for, and not shown."""
    # A process that was started without one has none, whatever the type says.
    if sys.stdin is None:
        _fail("--password-stdin wants the password on standard input, and there is none. No account was made.")
    try:
        if sys.stdin.isatty():
            return getpass.getpass("Password: ")
        return sys.stdin.buffer.readline(MOST_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        _fail("The password is no text in UTF-8. No account was made.")
    except EOFError:
        _fail("No password was typed. No account was made.")


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(FAILED)
