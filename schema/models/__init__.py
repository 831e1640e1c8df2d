"""The tables. Names are the field's own terms; `team` and `account` stand for group and user, which are reserved words.

Comments stand above the classes: a docstring would be part of the table for Tortoise, and its change a migration.

Not here: queries, and what the values mean.
"""

from schema.models.audit import AuditEntry, AuditHead
from schema.models.calls import (
    Call,
    CallEvent,
    Interaction,
    MediaStream,
    Node,
    OutboxOffset,
    Part,
    Participant,
    PauseSpan,
    Recording,
)
from schema.models.people import (
    AccessLink,
    Account,
    ApiToken,
    IdentityProvider,
    MailMessage,
    Management,
    Phone,
    Platform,
    RoleCopy,
    Team,
    Tenant,
    WebSession,
)

__all__ = [
    "AccessLink",
    "Account",
    "ApiToken",
    "AuditEntry",
    "AuditHead",
    "Call",
    "CallEvent",
    "IdentityProvider",
    "Interaction",
    "MailMessage",
    "Management",
    "MediaStream",
    "Node",
    "OutboxOffset",
    "Part",
    "Participant",
    "PauseSpan",
    "Phone",
    "Platform",
    "Recording",
    "RoleCopy",
    "Team",
    "Tenant",
    "WebSession",
]
