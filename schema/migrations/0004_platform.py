"""The one row of what holds for all tenants, with its defaults; and of what there is already, the keys by which names
are compared and searched. The row's id is the same everywhere, as the default tenant's is.
"""

from typing import Any
from uuid import UUID

from tortoise import migrations
from tortoise.migrations import operations as ops

from schema.checked import folded, searched
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
    await _run(editor, query, *_ROW.values())


async def _fold(_apps: Any, editor: Any) -> None:
    for table in ("tenant", "team"):
        for row in await _run(editor, f"SELECT id, name FROM {table}"):  # noqa: S608  # a name of ours
            await _run(editor, f"UPDATE {table} SET name_key = $1 WHERE id = $2", folded(row["name"]), row["id"])  # noqa: S608
    for row in await _run(editor, "SELECT id, login, name FROM account"):
        key, search = folded(row["name"] or row["login"]), searched((row["login"], row["name"]))
        await _run(editor, "UPDATE account SET name_key = $1, search = $2 WHERE id = $3", key, search, row["id"])
    for row in await _run(editor, "SELECT id, line FROM phone"):
        await _run(editor, "UPDATE phone SET search = $1 WHERE id = $2", searched([row["line"]]), row["id"])


async def _run(editor: Any, query: str, *values: Any) -> list[dict[str, Any]]:
    asked = numbered(query, values) if editor.DIALECT == "sqlite" else (query, list(values))
    found: list[dict[str, Any]] = await editor.client.execute_query_dict(*asked)
    return found


class Migration(migrations.Migration):
    dependencies = [("earshot", "0003_people")]  # noqa: RUF012  # Tortoise's form

    operations = [ops.RunPython(code=_add), ops.RunPython(code=_fold)]  # noqa: RUF012  # Tortoise's form
