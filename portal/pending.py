"""Between password and session: whose password it was, while a tenant is chosen or a second factor is asked for.

It stands in the signed cookie, so it opens nothing by itself, holds for LASTS_S, and no longer than the password does.

Not here: pages (`signin.py`).
"""

import hmac
import time
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from quart import session

from portal.config import portal
from schema import people
from schema.values import Account

# To find one's telephone.
LASTS_S: Final = 300
PENDING: Final = "pending"
MARK_BYTES: Final = 12


def remember(accounts: Iterable[Account]) -> None:
    """The password of each of these was given just now."""
    session[PENDING] = {"at": int(time.time()), "whose": {str(one.id): _mark(one) for one in accounts}}
    session.permanent = True


def narrow(account: Account) -> None:
    """This one was chosen; it takes no longer for that."""
    session[PENDING] = {"at": session[PENDING]["at"], "whose": {str(account.id): _mark(account)}}


async def accounts() -> list[Account]:
    """Whose password was given lately, of those who may still sign in with it."""
    kept: Any = session.get(PENDING)
    if kept is None or time.time() - kept["at"] > LASTS_S:
        return []
    found = [await people.account(UUID(one)) for one in kept["whose"]]
    return [one for one in found if one is not None and may(one) and _mark(one) == kept["whose"][str(one.id)]]


def may(account: Account) -> bool:
    """Whether somebody may sign in with a password."""
    return account.may_sign_in and account.authentication == "password" and account.password_hash != ""


def _mark(account: Account) -> str:
    """Changes with the password."""
    key = portal().config.session_key
    return hmac.digest(key, f"pending:{account.password_hash}".encode(), "sha256")[:MARK_BYTES].hex()
