"""The tenant to whom everything belongs until there are others.

Its id is the same everywhere, so that a database that was lost and rebuilt from the recordings has it again.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tortoise import migrations
from tortoise.migrations import operations as ops

from schema.sqlite import numbered

DEFAULT_TENANT = UUID("00000000-0000-7000-8000-000000000001")


async def _add(_apps: Any, editor: Any) -> None:
    values = [DEFAULT_TENANT, "Default", datetime.now(UTC)]
    query = "INSERT INTO tenant (id, name, created_at) VALUES ($1, $2, $3)"
    await editor.client.execute_query(*(numbered(query, values) if editor.DIALECT == "sqlite" else (query, values)))


class Migration(migrations.Migration):
    dependencies = [("earshot", "0001_initial")]  # noqa: RUF012  # Tortoise's form

    operations = [ops.RunPython(code=_add)]  # noqa: RUF012  # Tortoise's form
