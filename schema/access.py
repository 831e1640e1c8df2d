"""How people get in and stay in: sessions of browsers, tokens of programs, links by mail, passwords, second factors.

Of everything that opens a door only a hash is kept; the secret of a second factor is sealed. Whoever changes something
for somebody else must reach him, and must have all rights that he has: else one could become him.

Not here: how secrets are made and hashed, and how often one may try (the portal).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from schema.audited import changing
from schema.columns import as_id, as_moment
from schema.database import later, lookup, reading, rows, unit
from schema.entries import About, Action, Application, By, Resource
from schema.models import AccessLink, ApiToken, WebSession
from schema.models import Account as AccountRow
from schema.people import account
from schema.records import clean
from schema.refusals import NotThere, Refusal
from schema.roles import Permission, Reach
from schema.sealing import seal, unseal
from schema.values import Account, Scope

# How exact "last used" is: who uses a session or a token all the time writes this often.
SEEN_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SessionView:
    """Somebody's browser. `id_hash` names the session; it opens nothing."""

    id_hash: bytes
    created_at: datetime
    expires_at: datetime
    seen_at: datetime
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class TokenView:
    """A program's key. `permissions`: None for all that its owner has; `expires_at`, `used_at`: None for never."""

    token_hash: bytes
    name: str
    created_at: datetime
    permissions: frozenset[Permission] | None
    expires_at: datetime | None
    used_at: datetime | None


def by_owner(owner: Account, address: str) -> By:
    """`owner` himself, with a browser, where no session says so yet."""
    confidential = Permission.VIEW_CONFIDENTIAL in owner.grant.permissions
    scope = Scope(owner.tenant_id, owner.id, owner.grant.reach, confidential=confidential)
    return By(scope, owner.grant, Application.WEB, owner.id, owner.login, owner.name, address)


# Sessions


@unit
async def open_session(
    by: By, id_hash: bytes, expires_at: datetime, user_agent: str, details: Mapping[str, str] | None = None
) -> None:
    """Keeps a session of `by` himself by the hash of its id. Sessions that are over, anybody's, are dropped by the way.

    `details`: how he signed in, for the audit trail. Errors: NotThere, when he may not sign in any more.
    """
    now = datetime.now(UTC)
    async with changing(by) as changes:
        owner = await _himself(by)
        await WebSession.filter(expires_at__lt=now).delete()
        await WebSession.create(
            id_hash=id_hash.hex(),
            tenant_id=owner.tenant_id,
            account_id=owner.id,
            created_at=now,
            expires_at=expires_at,
            address=clean(by.address),
            user_agent=clean(user_agent),
        )
        await rows("UPDATE account SET last_sign_in_at = $1 WHERE id = $2", now, owner.id)
        changes.note(Resource.SESSIONS, Action.LOGIN, _about(owner), tenant_id=owner.tenant_id, details=details)


@lookup
async def session(id_hash: bytes) -> tuple[Account, datetime] | None:
    """Whose session it is, and when it ends. None: there is none, it is over, or its user may not sign in any more.

    That it was used is written once in a while, afterwards.
    """
    key, now = id_hash.hex(), datetime.now(UTC)
    found = await rows("SELECT account_id, created_at, expires_at, seen_at FROM web_session WHERE id_hash = $1", key)
    if not found or as_moment(found[0]["expires_at"]) <= now:
        return None
    owner = await account(as_id(found[0]["account_id"]))
    if owner is None or not owner.may_sign_in:
        return None
    if now - as_moment(found[0]["seen_at"] or found[0]["created_at"]) >= SEEN_EVERY:
        later(key, partial(rows, "UPDATE web_session SET seen_at = $1 WHERE id_hash = $2", now, key))
    return owner, as_moment(found[0]["expires_at"])


@unit
async def close_session(id_hash: bytes, address: str) -> None:
    """Its owner, at `address`, signs out."""
    found = await rows("SELECT account_id FROM web_session WHERE id_hash = $1", id_hash.hex())
    owner = await account(as_id(found[0]["account_id"])) if found else None
    if owner is None:
        return
    async with changing(by_owner(owner, address)) as changes:
        await WebSession.filter(id_hash=id_hash.hex()).delete()
        changes.note(Resource.SESSIONS, Action.LOGOUT, _about(owner), tenant_id=owner.tenant_id)


@unit
async def close_sessions(
    by: By, user_id: UUID, *, only: bytes | None = None, but: bytes | None = None
) -> tuple[bytes, ...]:
    """Ends the sessions of a user: `only` that one, or all `but` that one. Gives the hashes of those that ended.

    Errors: NotThere; Refusal `above_you`.
    """
    async with changing(by) as changes:
        owner = await _reached(by, user_id)
        ended = await _close_sessions(user_id, only, but)
        if ended:
            told = {"ended": str(len(ended))}
            changes.note(Resource.SESSIONS, Action.LOGOUT, _about(owner), tenant_id=owner.tenant_id, details=told)
    return ended


@lookup
async def list_sessions(scope: Scope, user_id: UUID) -> tuple[SessionView, ...]:
    """The browsers in which somebody is signed in, the one that was used last first."""
    owner = await account(user_id)
    if owner is None or not _reaches(scope, owner):
        return ()
    found = await rows(
        "SELECT * FROM web_session WHERE account_id = $1 AND expires_at > $2 "
        "ORDER BY coalesce(seen_at, created_at) DESC, id_hash",
        user_id,
        datetime.now(UTC),
    )
    return tuple(
        SessionView(
            bytes.fromhex(row["id_hash"]),
            as_moment(row["created_at"]),
            as_moment(row["expires_at"]),
            as_moment(row["seen_at"] or row["created_at"]),
            row["address"],
            row["user_agent"],
        )
        for row in found
    )


# Tokens


@unit
async def add_token(
    by: By,
    user_id: UUID,
    token_hash: bytes,
    name: str,
    permissions: frozenset[Permission] | None = None,
    expires_at: datetime | None = None,
) -> None:
    """Keeps a key to the API by its hash. `permissions`: all that it gives, None for whatever its owner has.

    Errors: NotThere; Refusal `above_you`; `beyond_you` for permissions that its owner does not have.
    """
    async with changing(by):
        owner = await _reached(by, user_id)
        if permissions is not None and not permissions <= owner.grant.permissions:
            raise Refusal("beyond_you", "permissions")
        await ApiToken.create(
            token_hash=token_hash.hex(),
            tenant_id=owner.tenant_id,
            account_id=owner.id,
            name=clean(name),
            created_at=datetime.now(UTC),
            permissions=None if permissions is None else json.dumps(sorted(permissions)),
            expires_at=expires_at,
        )


@lookup
async def account_of_token(token_hash: bytes) -> Account | None:
    """Whose token it is, with no more rights than it gives. None: nobody's, it is over, or its user may not sign in.

    That it was used is written as in `session`.
    """
    key, now = token_hash.hex(), datetime.now(UTC)
    found = await rows("SELECT account_id, permissions, expires_at, used_at FROM api_token WHERE token_hash = $1", key)
    if not found or (found[0]["expires_at"] is not None and as_moment(found[0]["expires_at"]) <= now):
        return None
    owner = await account(as_id(found[0]["account_id"]))
    if owner is None or not owner.may_sign_in:
        return None
    if found[0]["used_at"] is None or now - as_moment(found[0]["used_at"]) >= SEEN_EVERY:
        later(key, partial(rows, "UPDATE api_token SET used_at = $1 WHERE token_hash = $2", now, key))
    given = _permissions(found[0]["permissions"])
    return owner if given is None else replace(owner, grant=owner.grant.narrowed(given))


@lookup
async def list_tokens(scope: Scope, user_id: UUID) -> tuple[TokenView, ...]:
    """Somebody's tokens, the newest first; also those that are over."""
    owner = await account(user_id)
    if owner is None or not _reaches(scope, owner):
        return ()
    found = await rows("SELECT * FROM api_token WHERE account_id = $1 ORDER BY created_at DESC, token_hash", user_id)
    return tuple(
        TokenView(
            bytes.fromhex(row["token_hash"]),
            row["name"],
            as_moment(row["created_at"]),
            _permissions(row["permissions"]),
            _moment(row["expires_at"]),
            _moment(row["used_at"]),
        )
        for row in found
    )


@unit
async def revoke_token(by: By, user_id: UUID, token_hash: bytes) -> None:
    """A token of this user opens nothing any more. Errors: NotThere; Refusal `above_you`."""
    async with changing(by):
        owner = await _reached(by, user_id)
        found = await ApiToken.get_or_none(token_hash=token_hash.hex(), account_id=owner.id)
        if found is None:
            raise NotThere
        await found.delete()


# Passwords, and links that let one set a password


@unit
async def set_password(
    by: By, user_id: UUID, password_hash: str, *, must_change: bool = False, keep: bytes | None = None
) -> tuple[bytes, ...]:
    """A new password. It ends all sessions but `keep`, whose hashes are given, and links that were mailed before.

    `must_change`: it is to be changed at the next sign-in. Errors: NotThere; Refusal `above_you`.
    """
    async with changing(by, action=Action.CHANGE_PASSWORD):
        await _reached(by, user_id)
        return await _set_password(user_id, password_hash, must_change, keep)


@unit
async def rehash(user_id: UUID, old: str, new: str) -> None:
    """The same password under a newer hash, unless it was changed meanwhile; no change that anybody would be told."""
    await rows("UPDATE account SET password_hash = $1 WHERE id = $2 AND password_hash = $3", new, user_id, old)


@reading
async def accounts_by_email(email: str) -> list[Account]:
    """The users with this mail address; several may share one."""
    if not email or clean(email) != email:
        return []
    found = await rows("SELECT id FROM account WHERE lower(email) = lower($1) LIMIT 5", email)
    return [one for row in found if (one := await account(as_id(row["id"]))) is not None]


@unit
async def make_link(by: By | None, user_id: UUID, link_hash: bytes, *, invitation: bool, expires_at: datetime) -> None:
    """Keeps a link by its hash; the ones of this kind that the user had before open nothing any more.

    `by`: None where somebody asked for it at the sign-in page: nobody knows who it was.
    Errors: NotThere; Refusal `above_you`.
    """
    owner = await account(user_id) if by is None else await _reached(by, user_id)
    if owner is None:
        raise NotThere
    async with changing(by or by_owner(owner, "")):
        now = datetime.now(UTC)
        await AccessLink.filter(expires_at__lt=now).delete()
        await AccessLink.filter(account_id=user_id, invitation=invitation).delete()
        await AccessLink.create(
            link_hash=link_hash.hex(), account_id=user_id, invitation=invitation, created_at=now, expires_at=expires_at
        )


@lookup
async def link(link_hash: bytes) -> tuple[Account, bool] | None:
    """Whose link it is, and whether it is an invitation. None: nobody's, it is over, or opens nothing for its user."""
    found = await rows(
        "SELECT account_id, invitation FROM access_link WHERE link_hash = $1 AND expires_at > $2",
        link_hash.hex(),
        datetime.now(UTC),
    )
    owner = await account(as_id(found[0]["account_id"])) if found else None
    return (owner, bool(found[0]["invitation"])) if owner is not None and _has_password(owner) else None


@unit
async def use_link(link_hash: bytes, password_hash: str, address: str) -> tuple[bytes, ...] | None:
    """The owner of a link, at `address`, sets his password; the link, and others of his, open nothing any more.

    Gives the hashes of his sessions, all of which ended; None where the link is nobody's any more.
    """
    found = await link(link_hash)
    if found is None:
        return None
    owner, invitation = found
    told = {"link": "invitation" if invitation else "reset"}
    async with changing(by_owner(owner, address), action=Action.CHANGE_PASSWORD, details=told):
        # Of two at the same time one deletes it.
        if not await AccessLink.filter(link_hash=link_hash.hex()).delete():
            return None
        return await _set_password(owner.id, password_hash, False, None)


# Second factors


@lookup
async def totp_secret(user_id: UUID) -> str:
    """The secret of somebody's second factor, empty where he has none. Errors: NotReadable."""
    found = await rows("SELECT totp_secret FROM account WHERE id = $1", user_id)
    return unseal(found[0]["totp_secret"], _place(user_id)) if found else ""


@unit
async def set_totp(by: By, secret: str, step: int, code_hashes: Sequence[bytes]) -> None:
    """`by` himself turns his second factor on; he has shown the code of time step `step`, which counts no more."""
    async with changing(by):
        row = await _locked((await _himself(by)).id)
        row.totp_secret = seal(secret, _place(row.id))
        row.recovery_codes = _codes(code_hashes)
        await row.save(update_fields=["totp_secret", "recovery_codes"])
        await rows("UPDATE account SET totp_step = $1 WHERE id = $2", step, row.id)


@unit
async def clear_totp(by: By, user_id: UUID) -> None:
    """Somebody has no second factor any more, nor codes in its place. Errors: NotThere; Refusal `above_you`."""
    async with changing(by):
        row = await _locked((await _reached(by, user_id)).id)
        row.totp_secret, row.recovery_codes = "", "[]"
        await row.save(update_fields=["totp_secret", "recovery_codes"])


@unit
async def use_totp_step(user_id: UUID, step: int) -> bool:
    """Whether the code of time step `step` may be used: it, and those before it, may not be used again."""
    used = "UPDATE account SET totp_step = $1 WHERE id = $2 AND totp_step < $1 RETURNING id"
    return bool(await rows(used, step, user_id))


@unit
async def set_recovery_codes(by: By, code_hashes: Sequence[bytes]) -> None:
    """New codes of `by` himself; the ones before open nothing any more."""
    async with changing(by):
        row = await _locked((await _himself(by)).id)
        row.recovery_codes = _codes(code_hashes)
        await row.save(update_fields=["recovery_codes"])


@unit
async def use_recovery_code(by: By, code_hash: bytes) -> int | None:
    """`by` himself uses one of his codes, once. Gives how many are left; None where it is none of them."""
    async with changing(by, details={"recovery code": "used"}):
        row = await _locked((await _himself(by)).id)
        known: list[str] = json.loads(row.recovery_codes)
        if code_hash.hex() not in known:
            return None
        known.remove(code_hash.hex())
        row.recovery_codes = json.dumps(known)
        await row.save(update_fields=["recovery_codes"])
    return len(known)


@lookup
async def recovery_codes_left(user_id: UUID) -> int:
    found = await rows("SELECT recovery_codes FROM account WHERE id = $1", user_id)
    return len(json.loads(found[0]["recovery_codes"])) if found else 0


async def _himself(by: By) -> Account:
    """Errors: NotThere, when he may not sign in any more."""
    found = await account(by.account_id) if by.account_id is not None else None
    if found is None or not found.may_sign_in:
        raise NotThere
    return found


async def _reached(by: By, user_id: UUID) -> Account:
    """A user whose access `by` may change. Errors: NotThere; Refusal `above_you`."""
    found = await account(user_id)
    if found is None or not _reaches(by.scope, found):
        raise NotThere
    if by.account_id != user_id and not by.grant.covers(found.grant):
        raise Refusal("above_you")
    return found


def _reaches(scope: Scope, owner: Account) -> bool:
    """How somebody gets in is his own business, and of those who have all of the tenant."""
    if owner.id == scope.user_id:
        return True
    if owner.confidential and not scope.confidential:
        return False
    in_tenant = scope.reach is Reach.TENANT and owner.tenant_id == scope.tenant_id
    return in_tenant or scope.reach is Reach.PLATFORM


def _has_password(owner: Account) -> bool:
    return owner.may_sign_in and owner.authentication == "password"


async def _locked(user_id: UUID) -> AccountRow:
    """A user's row, which nobody else changes until the transaction has ended."""
    found: AccountRow = await AccountRow.select_for_update().get(id=user_id)
    return found


async def _set_password(user_id: UUID, password_hash: str, must_change: bool, keep: bytes | None) -> tuple[bytes, ...]:
    row = await _locked(user_id)
    row.password_hash, row.must_change_password = password_hash, must_change
    await row.save(update_fields=["password_hash", "must_change_password"])
    await AccessLink.filter(account_id=user_id).delete()
    return await _close_sessions(user_id, None, keep)


async def _close_sessions(user_id: UUID, only: bytes | None, but: bytes | None) -> tuple[bytes, ...]:
    found = await rows("SELECT id_hash FROM web_session WHERE account_id = $1", user_id)
    keys = [bytes.fromhex(row["id_hash"]) for row in found]
    ended = tuple(key for key in keys if key != but and only in (None, key))
    await WebSession.filter(id_hash__in=[key.hex() for key in ended]).delete()
    return ended


def _about(owner: Account) -> About:
    return About(owner.id, owner.name or owner.login)


def _permissions(kept: str | None) -> frozenset[Permission] | None:
    if kept is None:
        return None
    # One that a later version knew, and this one does not, permits nothing.
    return frozenset(Permission(one) for one in json.loads(kept) if one in Permission.__members__.values())


def _moment(value: Any) -> datetime | None:
    return None if value is None else as_moment(value)


def _place(user_id: UUID) -> str:
    return f"account.totp_secret.{user_id}"


def _codes(code_hashes: Sequence[bytes]) -> str:
    return json.dumps([one.hex() for one in code_hashes])
