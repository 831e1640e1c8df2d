"""Tenants, roles and people in full, how they get in, mail, and the audit trail."""

from typing import Any

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from schema.altering import AddFields
from schema.columns import FilteredIndex, KeyField, MomentField, new_id


def _to(model: str, column: str, on_delete: OnDelete, null: bool = False) -> Any:
    more: dict[str, Any] = {"source_field": column, "to_field": "id", "null": null}
    return fields.ForeignKeyField(f"earshot.{model}", related_name=False, on_delete=on_delete, **more)


class Migration(migrations.Migration):
    dependencies = [("earshot", "0002_default_tenant")]  # noqa: RUF012  # Tortoise's form

    operations = [  # noqa: RUF012  # Tortoise's form
        ops.CreateModel(
            name="AccessLink",
            fields=[
                ("link_hash", fields.CharField(primary_key=True, max_length=255)),
                ("account", _to("Account", "account_id", OnDelete.CASCADE)),
                ("invitation", fields.BooleanField()),
                ("created_at", MomentField()),
                ("expires_at", MomentField()),
            ],
            options={
                "table": "access_link",
                "app": "earshot",
                "indexes": [Index(fields=["account_id"], name="access_link_account")],
                "pk_attr": "link_hash",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant_id", KeyField(null=True)),
                ("at", MomentField()),
                ("initiator_id", KeyField(null=True)),
                ("initiator_login", fields.TextField()),
                ("initiator_name", fields.TextField()),
                ("initiator_key", fields.TextField()),
                ("address", fields.TextField()),
                ("application", fields.TextField()),
                ("resource", fields.TextField()),
                ("action", fields.TextField()),
                ("related_id", fields.TextField()),
                ("related_name", fields.TextField()),
                ("parent_id", fields.TextField()),
                ("details", fields.TextField()),
                ("data", fields.TextField(null=True)),
                ("data_hash", fields.TextField()),
                ("search", fields.TextField()),
                ("origin", fields.TextField(null=True)),
                ("proof", fields.TextField()),
                ("number", fields.BigIntField(null=True)),
                ("chain", fields.TextField()),
            ],
            options={
                "table": "audit_entry",
                "app": "earshot",
                "unique_together": (("origin",), ("number",)),
                "indexes": [
                    Index(fields=["at", "id"], name="audit_newest_of_all"),
                    Index(fields=["tenant_id", "at", "id"], name="audit_newest"),
                    Index(fields=["initiator_id", "at", "id"], name="audit_initiator"),
                    FilteredIndex(fields=["related_id", "at", "id"], name="audit_related", where="related_id <> ''"),
                    FilteredIndex(fields=["parent_id", "at", "id"], name="audit_parent", where="parent_id <> ''"),
                    FilteredIndex(fields=["at", "id"], name="audit_unsealed", where="number IS NULL"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AuditHead",
            fields=[
                ("number", fields.BigIntField(primary_key=True, generated=False)),
                ("chain", fields.TextField()),
                ("at", MomentField()),
                ("signature", fields.BinaryField()),
            ],
            options={"table": "audit_head", "app": "earshot", "pk_attr": "number"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="IdentityProvider",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("name", fields.TextField()),
                ("issuer", fields.TextField()),
                ("client_id", fields.TextField()),
                ("client_secret", fields.TextField()),
                ("login_claim", fields.TextField()),
                ("enabled", fields.BooleanField()),
                ("platform", fields.BooleanField()),
            ],
            options={
                "table": "identity_provider",
                "app": "earshot",
                "unique_together": (("tenant_id", "name"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="MailMessage",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant_id", KeyField(null=True)),
                ("account_id", KeyField(null=True)),
                ("kind", fields.TextField()),
                ("to_address", fields.TextField()),
                ("to_name", fields.TextField()),
                ("subject", fields.TextField()),
                ("content", fields.TextField()),
                ("state", fields.TextField()),
                ("attempts", fields.IntField()),
                ("created_at", MomentField()),
                ("due_at", MomentField()),
                ("expires_at", MomentField()),
                ("sent_at", MomentField(null=True)),
                ("error", fields.TextField()),
            ],
            options={
                "table": "mail_message",
                "app": "earshot",
                "indexes": [
                    FilteredIndex(
                        fields=["due_at", "id"], name="mail_waiting", where="state IN ('waiting', 'sending')"
                    ),
                    Index(fields=["created_at", "id"], name="mail_newest"),
                ],
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Platform",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("support_contact", fields.TextField()),
                ("sister_platforms", fields.TextField()),
                ("language", fields.TextField()),
                ("time_zone", fields.TextField()),
                ("password_characters", fields.IntField()),
                ("password_common", fields.BooleanField()),
                ("password_login", fields.BooleanField()),
                ("smtp_host", fields.TextField()),
                ("smtp_port", fields.IntField()),
                ("smtp_security", fields.TextField()),
                ("smtp_user", fields.TextField()),
                ("smtp_password", fields.TextField()),
                ("mail_from", fields.TextField()),
                ("mail_from_name", fields.TextField()),
            ],
            options={"table": "platform", "app": "earshot", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RoleCopy",
            fields=[
                ("id", KeyField(primary_key=True, default=new_id)),
                ("tenant", _to("Tenant", "tenant_id", OnDelete.RESTRICT)),
                ("name", fields.TextField()),
                ("base", fields.TextField()),
                ("reach", fields.TextField()),
                ("permissions", fields.TextField()),
                ("created_at", MomentField()),
            ],
            options={"table": "role", "app": "earshot", "unique_together": (("tenant_id", "name"),), "pk_attr": "id"},
            bases=["Model"],
        ),
        AddFields(
            "Account",
            {
                "authentication": fields.TextField(db_default="password"),
                "broadworks_group_id": fields.TextField(db_default=""),
                "broadworks_sp_id": fields.TextField(db_default=""),
                "broadworks_user_id": fields.TextField(db_default=""),
                "confidential": fields.BooleanField(db_default=False),
                "disabled_at": MomentField(null=True),
                "email": fields.TextField(db_default=""),
                "external_id": fields.TextField(db_default=""),
                "last_sign_in_at": MomentField(null=True),
                "must_change_password": fields.BooleanField(db_default=False),
                "recording_mode": fields.TextField(db_default=""),
                "recovery_codes": fields.TextField(db_default="[]"),
                "role_copy": _to("RoleCopy", "role_copy_id", OnDelete.RESTRICT, null=True),
                "totp_secret": fields.TextField(db_default=""),
                "totp_step": fields.BigIntField(db_default=0),
                "name_key": fields.TextField(db_default=""),
                "search": fields.TextField(db_default=""),
            },
        ),
        ops.AddIndex(
            model_name="Account",
            index=FilteredIndex(fields=["tenant_id", "id"], name="account_confidential", where="confidential"),
        ),
        AddFields(
            "ApiToken",
            {
                "expires_at": MomentField(null=True),
                "permissions": fields.TextField(null=True),
                "used_at": MomentField(null=True),
            },
        ),
        AddFields(
            "Call",
            {
                "confidential": fields.BooleanField(db_default=False),
            },
        ),
        AddFields(
            "Phone",
            {
                "disabled_at": MomentField(null=True),
                "name": fields.TextField(db_default=""),
                "search": fields.TextField(db_default=""),
            },
        ),
        AddFields(
            "Team",
            {
                "disabled_at": MomentField(null=True),
                "language": fields.TextField(db_default=""),
                "time_zone": fields.TextField(db_default=""),
                "name_key": fields.TextField(db_default=""),
            },
        ),
        AddFields(
            "Tenant",
            {
                "colour": fields.TextField(db_default=""),
                "disabled_at": MomentField(null=True),
                "hosts": fields.TextField(db_default="[]"),
                "language": fields.TextField(db_default=""),
                "logo": fields.BinaryField(null=True),
                "logo_type": fields.TextField(db_default=""),
                "max_calls": fields.IntField(null=True),
                "max_storage_mb": fields.BigIntField(null=True),
                "max_users": fields.IntField(null=True),
                "time_zone": fields.TextField(db_default=""),
                "name_key": fields.TextField(db_default=""),
            },
        ),
        AddFields(
            "WebSession",
            {
                "seen_at": MomentField(null=True),
            },
        ),
        ops.AddIndex(
            model_name="Account",
            index=Index(fields=["tenant_id", "name_key", "id"], name="account_names"),
        ),
        ops.AddIndex(
            model_name="Account",
            index=Index(fields=["name_key", "id"], name="account_names_of_all"),
        ),
        ops.AddIndex(
            model_name="Team",
            index=Index(fields=["tenant_id", "name_key", "id"], name="team_name_key"),
        ),
        ops.AddIndex(
            model_name="Tenant",
            index=Index(fields=["name_key", "id"], name="tenant_name_key"),
        ),
        ops.AddIndex(
            model_name="Recording",
            index=Index(fields=["tenant_id", "bytes"], name="recording_bytes"),
        ),
    ]
