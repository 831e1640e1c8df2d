"""The first tables."""

from typing import Any

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from schema.columns import FilteredIndex, KeyField, MomentField, new_id


def _to(model: str, column: str, on_delete: OnDelete, null: bool = False) -> Any:
    more: dict[str, Any] = {"source_field": column, "to_field": "id", "null": null}
    return fields.ForeignKeyField(f"earshot.{model}", related_name=False, on_delete=on_delete, **more)


class Migration(migrations.Migration):
    initial = True

    operations = [  # noqa: RUF012  # Tortoise's form
        ops.CreateModel(
            name="CallEvent",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("call_id", KeyField()),
                ("number", fields.IntField()),
                ("data", fields.BinaryField()),
            ],
            options={
                "table": "call_event",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Node",
            fields=[
                ("name", fields.CharField(primary_key=True, max_length=255)),
                ("gateway", fields.TextField()),
                ("version", fields.TextField()),
                ("seen_at", MomentField()),
                ("gateway_certificate", fields.TextField()),
            ],
            options={"table": "node", "app": "earshot", "pk_attr": "name"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OutboxOffset",
            fields=[
                ("node", fields.CharField(primary_key=True, max_length=255)),
                ("segment", fields.BigIntField()),
                ("block", fields.BigIntField()),
            ],
            options={"table": "outbox_offset", "app": "earshot", "pk_attr": "node"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Tenant",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("name", fields.TextField()),
                ("created_at", MomentField()),
            ],
            options={"table": "tenant", "app": "earshot", "unique_together": (("name",),), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Interaction",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
            ],
            options={"table": "interaction", "app": "earshot", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Team",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("name", fields.TextField()),
            ],
            options={"table": "team", "app": "earshot", "unique_together": (("tenant_id", "name"),), "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Account",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("team", _to("Team", "team_id", OnDelete.SET_NULL, null=True)),
                ("login", fields.TextField()),
                ("login_key", fields.TextField()),
                ("name", fields.TextField()),
                ("role", fields.TextField()),
                ("may_sign_in", fields.BooleanField()),
                ("password_hash", fields.TextField()),
                ("language", fields.TextField()),
                ("time_zone", fields.TextField()),
                ("created_at", MomentField()),
            ],
            options={
                "table": "account",
                "app": "earshot",
                "unique_together": (("tenant_id", "login_key"),),
                "indexes": [
                    Index(fields=["login_key"], name="account_login_key"),
                    Index(fields=["team_id"], name="account_team"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ApiToken",
            fields=[
                ("token_hash", fields.CharField(primary_key=True, max_length=255)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("account", _to("Account", "account_id", OnDelete.CASCADE)),
                ("name", fields.TextField()),
                ("created_at", MomentField()),
            ],
            options={
                "table": "api_token",
                "app": "earshot",
                "indexes": [Index(fields=["account_id"], name="api_token_account")],
                "pk_attr": "token_hash",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Call",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("node", fields.TextField()),
                ("phase", fields.TextField()),
                ("events", fields.IntField()),
                ("started_at", MomentField()),
                ("connected_at", MomentField(null=True)),
                ("ended_at", MomentField(null=True)),
                ("duration_s", fields.FloatField(null=True)),
                ("end_kind", fields.TextField(null=True)),
                ("direction", fields.TextField()),
                ("caller_number", fields.TextField()),
                ("caller_name", fields.TextField()),
                ("caller_phone_id", fields.TextField()),
                ("caller_address", fields.TextField()),
                ("caller_user", _to("Account", "caller_user_id", OnDelete.SET_NULL, null=True)),
                ("callee_number", fields.TextField()),
                ("callee_name", fields.TextField()),
                ("callee_phone_id", fields.TextField()),
                ("callee_address", fields.TextField()),
                ("callee_user", _to("Account", "callee_user_id", OnDelete.SET_NULL, null=True)),
                ("mode", fields.TextField()),
                ("recording", fields.TextField()),
                ("kept", fields.BooleanField(null=True)),
                ("session_id", fields.TextField()),
                ("group_id", fields.TextField()),
                ("tracking_id", fields.TextField()),
                ("sip_session_id", fields.TextField()),
                ("sip_call_id", fields.TextField()),
                ("warnings", fields.TextField()),
            ],
            options={
                "table": "call",
                "app": "earshot",
                "indexes": [
                    Index(fields=["tenant_id", "started_at", "id"], name="call_newest"),
                    FilteredIndex(
                        fields=["caller_user_id", "started_at", "id"],
                        name="call_caller",
                        where="caller_user_id IS NOT NULL",
                    ),
                    FilteredIndex(
                        fields=["callee_user_id", "started_at", "id"],
                        name="call_callee",
                        where="callee_user_id IS NOT NULL",
                    ),
                    FilteredIndex(
                        fields=["tenant_id", "started_at", "id"], name="call_running", where="phase = 'running'"
                    ),
                    FilteredIndex(
                        fields=["tenant_id", "started_at", "id"], name="call_finishing", where="phase = 'finishing'"
                    ),
                    FilteredIndex(fields=["tenant_id", "group_id"], name="call_group", where="group_id <> ''"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Management",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("manager", _to("Account", "manager_id", OnDelete.CASCADE)),
                ("team", _to("Team", "team_id", OnDelete.CASCADE, null=True)),
                ("account", _to("Account", "account_id", OnDelete.CASCADE, null=True)),
            ],
            options={
                "table": "management",
                "app": "earshot",
                "unique_together": (("manager_id", "team_id"), ("manager_id", "account_id")),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="MediaStream",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("call", _to("Call", "call_id", OnDelete.CASCADE)),
                ("number", fields.IntField()),
                ("stream", fields.IntField()),
                ("label", fields.TextField()),
                ("side", fields.TextField()),
                ("codec", fields.TextField()),
                ("packets", fields.BigIntField(null=True)),
                ("lost", fields.BigIntField(null=True)),
                ("jitter_ms", fields.FloatField(null=True)),
            ],
            options={
                "table": "media_stream",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Part",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("interaction", _to("Interaction", "interaction_id", OnDelete.CASCADE)),
                ("call", _to("Call", "call_id", OnDelete.CASCADE)),
                ("number", fields.IntField()),
                ("from_s", fields.FloatField()),
                ("to_s", fields.FloatField(null=True)),
            ],
            options={
                "table": "part",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "indexes": [Index(fields=["interaction_id"], name="part_interaction")],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Participant",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("call", _to("Call", "call_id", OnDelete.CASCADE)),
                ("number", fields.IntField()),
                ("name", fields.TextField()),
                ("phone_number", fields.TextField()),
                ("aor", fields.TextField()),
                ("joined_s", fields.FloatField()),
                ("left_s", fields.FloatField(null=True)),
            ],
            options={
                "table": "participant",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PauseSpan",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("call", _to("Call", "call_id", OnDelete.CASCADE)),
                ("number", fields.IntField()),
                ("start_s", fields.FloatField()),
                ("end_s", fields.FloatField(null=True)),
                ("paused_by", fields.TextField()),
                ("file_s", fields.FloatField(null=True)),
            ],
            options={
                "table": "pause_span",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Phone",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("account", _to("Account", "account_id", OnDelete.CASCADE)),
                ("line", fields.TextField()),
            ],
            options={
                "table": "phone",
                "app": "earshot",
                "unique_together": (("tenant_id", "line"),),
                "indexes": [
                    Index(fields=["line"], name="phone_by_line"),
                    Index(fields=["account_id"], name="phone_account"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Recording",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("call", _to("Call", "call_id", OnDelete.CASCADE)),
                ("number", fields.IntField()),
                ("folder", fields.TextField()),
                ("file", fields.TextField()),
                ("format", fields.TextField()),
                ("bytes", fields.BigIntField()),
                ("sha256", fields.TextField()),
                ("duration_s", fields.FloatField()),
                ("rate_hz", fields.IntField()),
                ("peaks", fields.TextField()),
            ],
            options={
                "table": "recording",
                "app": "earshot",
                "unique_together": (("call_id", "number"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WebSession",
            fields=[
                ("id_hash", fields.CharField(primary_key=True, max_length=255)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("account", _to("Account", "account_id", OnDelete.CASCADE)),
                ("created_at", MomentField()),
                ("expires_at", MomentField()),
                ("address", fields.TextField()),
                ("user_agent", fields.TextField()),
            ],
            options={
                "table": "web_session",
                "app": "earshot",
                "indexes": [
                    Index(fields=["account_id"], name="web_session_account"),
                    Index(fields=["expires_at"], name="web_session_expiry"),
                ],
                "pk_attr": "id_hash",
            },
            bases=["Model"],
        ),
    ]
