# ruff: noqa: S608  # The texts are made of this module's own words; every value is a parameter.
"""Whom somebody may see, as SQL: the one place that keeps apart who is in which tenant, and who manages whom.

The reach of a scope decides: the platform, a tenant, the managed (oneself, managed users, users of managed groups), or
oneself. Confidential users are hidden from a scope that is not for them, save from themselves.

Not here: calls (`scoped.py`), what is made of the rows (`users.py`, `groups.py`, `phones.py`, `tenants.py`).
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schema.checked import folded
from schema.database import is_sqlite
from schema.records import clean
from schema.roles import Reach
from schema.values import Scope


@dataclass(slots=True)
class Sight:
    """Conditions for one query, and its parameters: `values` grows with the text."""

    scope: Scope
    values: list[Any] = field(default_factory=list)

    def users(self) -> str:
        """A condition on rows of `account`."""
        return " AND ".join(["TRUE", *self._tenants("account.tenant_id"), *self._people(), *self._open()])

    def groups(self) -> str:
        """A condition on rows of `team`: of a tenant all; else one's own and those that one manages."""
        conditions = ["TRUE", *self._tenants("team.tenant_id")]
        if self.scope.reach in (Reach.OWN, Reach.MANAGED):
            user = self.value(self.scope.user_id)
            teams = [f"SELECT team_id FROM account WHERE id = {user}"]
            if self.scope.reach is Reach.MANAGED:
                teams.append(f"SELECT team_id FROM management WHERE manager_id = {user}")
            conditions.append(f"team.id IN ({' UNION '.join(teams)})")
        return " AND ".join(conditions)

    def phones(self) -> str:
        """A condition on rows of `phone`, joined with those of `account`."""
        return " AND ".join([self.users(), *self._tenants("phone.tenant_id")])

    def tenants(self) -> str:
        """A condition on rows of `tenant`: all, or one's own."""
        return " AND ".join(["TRUE", *self._tenants("tenant.id")])

    def value(self, value: Any) -> str:
        """The place of a parameter in the text."""
        self.values.append(value)
        return f"${len(self.values)}"

    def holds(self, column: str, text: str) -> str:
        """A condition that a folded column holds the text."""
        # As LIKE without its patterns; SQLite's would fold by itself, and only ASCII.
        # Lines end only between what is searched: `checked.searched`.
        place = self.value(folded(clean(text.strip().replace("\n", " "))))
        return f"instr({column}, {place}) > 0" if is_sqlite() else f"strpos({column}, {place}) > 0"

    def after(self, key: str, row_id: str, cursor: str | None) -> list[str]:
        """The condition that a row comes after the cursor, if there is one."""
        if cursor is None:
            return []
        last_key, last_id = _position(cursor)
        return [f"({key}, {row_id}) > ({self.value(last_key)}, {self.value(last_id)})"]

    def _tenants(self, column: str) -> list[str]:
        if self.scope.reach is Reach.PLATFORM:
            return []
        return [f"{column} = {self.value(self.scope.tenant_id)}"]

    def _people(self) -> list[str]:
        if self.scope.reach is Reach.OWN:
            return [f"account.id = {self.value(self.scope.user_id)}"]
        if self.scope.reach is Reach.MANAGED:
            user = self.value(self.scope.user_id)
            managed = "FROM management JOIN account AS other ON other"
            return [
                f"account.id IN (SELECT id FROM account AS himself WHERE id = {user} "
                f"UNION SELECT other.id {managed}.id = management.account_id WHERE manager_id = {user} "
                f"UNION SELECT other.id {managed}.team_id = management.team_id WHERE manager_id = {user})"
            ]
        return []

    def _open(self) -> list[str]:
        if self.scope.confidential:
            return []
        return [f"(NOT account.confidential OR account.id = {self.value(self.scope.user_id)})"]


def cursor_of(key: str, row_id: UUID) -> str:
    """Where a list goes on after this row."""
    packed = json.dumps([key, row_id.hex]).encode()
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def _position(cursor: str) -> tuple[str, UUID]:
    try:
        key, row_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return clean(key + ""), UUID(hex=row_id)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError("The cursor is not one that this list gave. Begin again without one.") from error
