"""Calls and users for tests of the database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schema import users
from schema.columns import new_id
from schema.entries import Application, By
from schema.roles import Permission, Role
from schema.values import (
    Account,
    CallRecord,
    ParticipantRecord,
    PartyRecord,
    PauseRecord,
    RecordingRecord,
    Scope,
    StreamRecord,
)
from tests.people import COMMAND

DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_call(minute: float = 0, **changes: Any) -> CallRecord:
    """A call that runs since so many minutes after noon."""
    given: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": DEFAULT_TENANT,
        "node": "one",
        "events": 2,
        "started_at": NOON + timedelta(minutes=minute),
    }
    return CallRecord(**given | changes)


def a_full_call(**changes: Any) -> CallRecord:
    """One of which everything is known."""
    started = NOON + timedelta(microseconds=123_456)
    given: dict[str, Any] = {
        "started_at": started,
        "connected_at": started + timedelta(seconds=2),
        "ended_at": started + timedelta(seconds=62),
        "duration_s": 60.25,
        "end": "normal",
        "finished": True,
        "direction": "inbound",
        "caller": PartyRecord("+4930123", "Müller, 陳", "phone-1", "192.0.2.1:4000"),
        "callee": PartyRecord("200", "Agent", "phone-2", "192.0.2.2:4002"),
        "mode": "always-pause",
        "recording": "off",
        "kept": True,
        "session_id": "s",
        "group_id": "g",
        "tracking_id": "t",
        "sip_session_id": "ss",
        "sip_call_id": "sc",
        "warnings": ("Half of it is missing.", "“So” is the end."),
        "participants": (
            ParticipantRecord("A", "1", "sip:a", 0.0, 60.0),
            ParticipantRecord("B", "2", "sip:b", 1.5, None),
        ),
        "streams": (StreamRecord(0, "7", "caller", "PCMA", 3000, 2, 0.25), StreamRecord(1, "a", "callee", "opus")),
        "pauses": (PauseRecord(5.0, 9.5, "amy", 5.0), PauseRecord(20.0, None, "phone-system")),
        "recording_file": RecordingRecord("2026/03", "a.opus", "opus", 123456, "ab" * 32, 60.25, 48000, "peaks"),
    }
    return a_call(**given | changes)


async def a_user(login: str, role: Role = Role.USER, tenant: str | None = None, **more: Any) -> Account:
    given = {"name": login.title(), "password_hash": "", "may_sign_in": True}
    return await users.add_user(COMMAND, login, role=role, tenant=tenant, **given | more)


def by(account: Account) -> By:
    """Who does something: a user, with what his role gives him."""
    grant = account.grant
    scope = Scope(account.tenant_id, account.id, grant.reach, Permission.VIEW_CONFIDENTIAL in grant.permissions)
    return By(scope, grant, Application.WEB, account.id, account.login, account.name)
