"""What commands that change people have in common: whose hand it is, how texts are taken, how a refusal is told.

Whoever may run a command on this machine may do everything; the audit trail names his account on it.

Not here: the options (`accounts_command.py`), what each command does (`accounts.py`, `tokens.py`, `tenancies.py`).
"""

import getpass
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from portal.passwords import Busy, PasswordRefused
from schema import people
from schema.database import DatabaseError, open_database
from schema.entries import Application, By
from schema.refusals import NotThere, Refusal
from schema.roles import EVERYTHING, Reach
from schema.values import DEFAULT_TENANT, NOBODY, Account, Scope

MOST_CHARACTERS: Final = 254
EVERYWHERE: Final = Scope(DEFAULT_TENANT, NOBODY, Reach.PLATFORM, confidential=True)


class Refused(Exception):
    """Nothing was done. The text says why, and what to do."""


@asynccontextmanager
async def working(database_url: str, key: bytes, outcome: str) -> AsyncIterator[By]:
    """The database is open inside. `outcome`: the sentence that nothing was done, for a refusal's end.

    Errors: `Refused`, for whatever the database, a rule or the rules of passwords refuse.
    """
    async with open_database(database_url, key=key, migrate=True):
        try:
            yield By(EVERYWHERE, EVERYTHING, Application.COMMAND, name=_name())
        except (Refusal, PasswordRefused) as error:
            raise Refused(f"{error} {outcome}") from error
        except DatabaseError as error:
            raise Refused(f"{error.what} {outcome}") from error
        except (NotThere, Busy) as error:
            raise Refused(f"Something else changed this at the same time: try again. {outcome}") from error


async def the_account(login: str, tenant: str | None, outcome: str) -> Account:
    """The one account with this login. Errors: `Refused`, where there is none, or several and no tenant is named."""
    login = text(login, "A login", outcome)
    tenant = None if tenant is None else text(tenant, "A tenant", outcome)
    return _the_one(await people.accounts_by_login(login), login, tenant, outcome)


def text(given: str, what: str, outcome: str) -> str:
    """The same, trimmed. Errors: `Refused`."""
    trimmed = given.strip()
    if not trimmed or not trimmed.isprintable() or len(trimmed) > MOST_CHARACTERS:
        raise Refused(f"{what} has 1 to {MOST_CHARACTERS} characters, all of them printable. {outcome}")
    return trimmed


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns under their heads, as terminals show them."""
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    )


def _name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # in a container nobody need have a name


def _the_one(found: Sequence[Account], login: str, tenant: str | None, outcome: str) -> Account:
    fitting = [account for account in found if tenant is None or account.tenant.casefold() == tenant.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    where = f" in tenant {tenant}" if tenant is not None else ""
    if not fitting:
        raise Refused(f"There is no user {login}{where}. Make one with: earshot user add {login} --role ... {outcome}")
    tenants = ", ".join(account.tenant for account in fitting)
    raise Refused(f"Several tenants have a user {login}: {tenants}. Say which one with --tenant. {outcome}")
