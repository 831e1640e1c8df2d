"""API tokens from the command line: added, listed, revoked.

Not here: the options of these commands (`accounts_command.py`), tokens on one's own page (`pages/own_security.py`).
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from portal.commanded import EVERYWHERE, Refused, table, text, the_account, working
from schema import access
from schema.access import TokenView
from schema.roles import Permission

# So that a token that leaked is known for what it is; behind it are 256 bits.
TOKEN_PREFIX: Final = "earshot_"  # noqa: S105 (the prefix is no secret)
TOKEN_BYTES: Final = 32
# Enough of a token's hash to name it; it opens nothing.
ID_DIGITS: Final = 12
# Longer than any system lives.
MOST_DAYS: Final = 36_500
NONE_MADE: Final = "No token was made."
NONE_REVOKED: Final = "No token was revoked."


async def add_token(
    database_url: str,
    key: bytes,
    login: str,
    tenant: str | None = None,
    name: str = "",
    permissions: str = "",
    expires_days: int = 0,
) -> str:
    """Makes a token for this account and gives it; nobody can read it again.

    `permissions`: the only ones that it gives, parted by commas; empty: all that its owner has. `expires_days`: 0 is
    never. Errors: `Refused`.
    """
    name = name and text(name, "A name", NONE_MADE)
    given = _permissions(permissions) if permissions.strip() else None
    if not 0 <= expires_days <= MOST_DAYS:
        raise Refused(f"A token lasts for 1 to {MOST_DAYS} days, or with 0 for ever. {NONE_MADE}")
    async with working(database_url, key, NONE_MADE) as by:
        account = await the_account(login, tenant, NONE_MADE)
        if not account.may_sign_in:
            raise Refused(f"{account.login} has no web access, so a token would open nothing. {NONE_MADE}")
        if given is not None and not given <= account.grant.permissions:
            beyond = ", ".join(sorted(given - account.grant.permissions))
            raise Refused(f"{account.login} has not all of these permissions: {beyond}. {NONE_MADE}")
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        until = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
        await access.add_token(by, account.id, hashlib.sha256(token.encode()).digest(), name, given, until)
    return token


async def list_tokens(database_url: str, key: bytes, login: str, tenant: str | None = None) -> str:
    """A table of somebody's tokens, the newest first. Errors: `Refused`."""
    async with working(database_url, key, "Nothing was listed."):
        account = await the_account(login, tenant, "Nothing was listed.")
        found = await access.list_tokens(EVERYWHERE, account.id)
    head = ("ID", "NAME", "MADE", "EXPIRES", "LAST USED", "PERMISSIONS")
    return table(head, [_line(token) for token in found]) if found else f"{account.login} has no tokens."


async def revoke_token(database_url: str, key: bytes, login: str, tenant: str | None, token_id: str) -> str:
    """The token with this id (as `list_tokens` shows it) opens nothing any more. Errors: `Refused`."""
    async with working(database_url, key, NONE_REVOKED) as by:
        account = await the_account(login, tenant, NONE_REVOKED)
        found = [one for one in await access.list_tokens(EVERYWHERE, account.id) if _id(one) == token_id.strip()]
        if len(found) != 1:
            raise Refused(
                f"{account.login} has no token {token_id}. `earshot token list` shows those that there are. "
                f"{NONE_REVOKED}"
            )
        await access.revoke_token(by, account.id, found[0].token_hash)
    named = f" ({found[0].name})" if found[0].name else ""
    return f"The token {_id(found[0])}{named} of {account.login} was revoked."


def _permissions(given: str) -> frozenset[Permission]:
    words = {word.strip() for word in given.split(",") if word.strip()}
    unknown = sorted(words - set(map(str, Permission)))
    if unknown:
        known = ", ".join(map(str, Permission))
        raise Refused(f"There is no permission {', '.join(unknown)}. There are: {known}. {NONE_MADE}")
    return frozenset(map(Permission, words))


def _id(token: TokenView) -> str:
    return token.token_hash.hex()[:ID_DIGITS]


def _line(token: TokenView) -> tuple[str, ...]:
    may = "all of its owner" if token.permissions is None else ", ".join(sorted(token.permissions))
    return (_id(token), token.name, _day(token.created_at), _day(token.expires_at), _day(token.used_at), may)


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else moment.astimezone(UTC).date().isoformat()
