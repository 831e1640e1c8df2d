"""The one row of what holds for all tenants, with its defaults. Its id is the same everywhere, as the tenant's is."""

from typing import Any
from uuid import UUID

from tortoise import migrations
from tortoise.migrations import operations as ops

from schema.sqlite import numbered

PLATFORM = UUID("00000000-0000-7000-8000-000000000002")

_ROW = {
    "id": PLATFORM,
    "support_contact": "",
    "sister_platforms": "[]",
    "language": "",
    "time_zone": "",
    "password_characters": 12,
    "password_common": True,
    "password_login": True,
    "smtp_host": "",
    "smtp_port": 587,
    "smtp_security": "starttls",
    "smtp_user": "",
    "smtp_password": "",
    "mail_from": "",
    "mail_from_name": "",
}


async def _add(_apps: Any, editor: Any) -> None:
    places = ", ".join(f"${place}" for place in range(1, len(_ROW) + 1))
    query = f"INSERT INTO platform ({', '.join(_ROW)}) VALUES ({places})"  # noqa: S608  # names of ours
    values = list(_ROW.values())
    await editor.client.execute_query(*(numbered(query, values) if editor.DIALECT == "sqlite" else (query, values)))


class Migration(migrations.Migration):
    dependencies = [("earshot", "0003_people")]  # noqa: RUF012  # Tortoise's form

    operations = [ops.RunPython(code=_add)]  # noqa: RUF012  # Tortoise's form
