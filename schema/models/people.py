"""Tables of tenants, of the people and phones in them, and of how people get in.

An `Audited` table is written by its rows' `save` and `delete` inside `schema.audited.changing`, and by nothing else:
each change leaves an entry in the audit trail. Columns that a row's `Audit` calls secret never appear there; what it
calls passing is written by itself as time goes on, and is no change.

Not here: calls (`calls.py`), what the values mean (`schema/profiles.py`).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tortoise import Model
from tortoise.fields import (
    CASCADE,
    RESTRICT,
    SET_NULL,
    BigIntField,
    BinaryField,
    BooleanField,
    CharField,
    ForeignKeyField,
    ForeignKeyNullableRelation,
    ForeignKeyRelation,
    IntField,
    TextField,
)
from tortoise.indexes import Index

from schema.audited import Audit, Audited
from schema.columns import FilteredIndex, KeyField, MomentField, new_id
from schema.entries import About, Resource


def _tenant() -> Any:
    return ForeignKeyField("earshot.Tenant", related_name=False, on_delete=RESTRICT)


def _account() -> Any:
    return ForeignKeyField("earshot.Account", related_name=False, on_delete=CASCADE)


def _called(account: "Account | None") -> str:
    return "" if account is None else account.name or account.login


# One row: what holds for all tenants. `smtp_password` is sealed. `sister_platforms` is JSON: [[name, URL], ...].
class Platform(Audited):
    id = KeyField(primary_key=True, default=new_id)
    support_contact = TextField()
    sister_platforms = TextField()
    language = TextField()
    time_zone = TextField()
    password_characters = IntField()
    password_common = BooleanField()
    password_login = BooleanField()
    smtp_host = TextField()
    smtp_port = IntField()
    smtp_security = TextField()
    smtp_user = TextField()
    smtp_password = TextField()
    mail_from = TextField()
    mail_from_name = TextField()

    class Meta:
        table = "platform"

    audit = Audit(Resource.PLATFORM, secret=("smtp_password",))


# `hosts` is JSON: host names by which browsers reach it. A limit that is NULL is none. `name_key`, here and below, is
# the name as it is compared and sorted: upper and lower case are one.
class Tenant(Audited):
    id = KeyField(primary_key=True, default=new_id)
    name = TextField()
    name_key = TextField(db_default="")
    created_at = MomentField()
    hosts = TextField(db_default="[]")
    colour = TextField(db_default="")
    logo = BinaryField(null=True)
    logo_type = TextField(db_default="")
    language = TextField(db_default="")
    time_zone = TextField(db_default="")
    max_users = IntField(null=True)
    max_storage_mb = BigIntField(null=True)
    max_calls = IntField(null=True)
    disabled_at = MomentField(null=True)

    class Meta:
        table = "tenant"
        unique_together = (("name",),)
        indexes = (Index(fields=("name_key", "id"), name="tenant_name_key"),)

    audit = Audit(Resource.TENANTS, name="name", passing=("name_key",))


# A role made by copying: `base` is the ready-made one at its root. `permissions` is JSON.
class RoleCopy(Audited):
    tenant_id: UUID
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    name = TextField()
    base = TextField()
    reach = TextField()
    permissions = TextField()
    created_at = MomentField()

    class Meta:
        table = "role"
        unique_together = (("tenant_id", "name"),)

    audit = Audit(Resource.ROLES, name="name")


# A group of users.
class Team(Audited):
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    name = TextField()
    name_key = TextField(db_default="")
    language = TextField(db_default="")
    time_zone = TextField(db_default="")
    disabled_at = MomentField(null=True)

    class Meta:
        table = "team"
        unique_together = (("tenant_id", "name"),)
        indexes = (Index(fields=("tenant_id", "name_key", "id"), name="team_name_key"),)

    audit = Audit(Resource.GROUPS, name="name", passing=("name_key",))


# A user. `login_key` is the login as it is compared (`checked.folded`); `name_key` that by which lists are
# sorted, `search` what they are searched in. `role` is a ready-made one, or the base of `role_copy`. `totp_secret` is
# sealed, `recovery_codes` are hashes (JSON).
class Account(Audited):
    tenant_id: UUID
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    team: ForeignKeyNullableRelation[Team] = ForeignKeyField(
        "earshot.Team", related_name=False, on_delete=SET_NULL, null=True
    )
    login = TextField()
    login_key = TextField()
    name = TextField()
    name_key = TextField(db_default="")
    search = TextField(db_default="")
    role = TextField()
    may_sign_in = BooleanField()
    password_hash = TextField()
    language = TextField()
    time_zone = TextField()
    created_at = MomentField()
    role_copy: ForeignKeyNullableRelation[RoleCopy] = ForeignKeyField(
        "earshot.RoleCopy", related_name=False, on_delete=RESTRICT, null=True
    )
    email = TextField(db_default="")
    authentication = TextField(db_default="password")
    external_id = TextField(db_default="")
    broadworks_user_id = TextField(db_default="")
    broadworks_group_id = TextField(db_default="")
    broadworks_sp_id = TextField(db_default="")
    must_change_password = BooleanField(db_default=False)
    confidential = BooleanField(db_default=False)
    recording_mode = TextField(db_default="")
    disabled_at = MomentField(null=True)
    totp_secret = TextField(db_default="")
    recovery_codes = TextField(db_default="[]")
    totp_step = BigIntField(db_default=0)
    last_sign_in_at = MomentField(null=True)

    class Meta:
        table = "account"
        unique_together = (("tenant_id", "login_key"),)
        indexes = (
            Index(fields=("login_key",), name="account_login_key"),
            Index(fields=("team_id",), name="account_team"),
            Index(fields=("tenant_id", "name_key", "id"), name="account_names"),
            Index(fields=("name_key", "id"), name="account_names_of_all"),
            FilteredIndex(fields=("tenant_id", "id"), name="account_confidential", where="confidential"),
        )

    audit = Audit(
        Resource.USERS,
        name="name",
        otherwise="login",
        secret=("password_hash", "totp_secret", "recovery_codes"),
        passing=("login_key", "name_key", "search", "totp_step", "last_sign_in_at"),
    )


# A line of a user: a number, an extension or an address of record, as the phone system writes it. `search` is what
# lists are searched in.
class Phone(Audited):
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    account: ForeignKeyRelation[Account] = _account()
    line = TextField()
    name = TextField(db_default="")
    search = TextField(db_default="")
    disabled_at = MomentField(null=True)

    class Meta:
        table = "phone"
        unique_together = (("tenant_id", "line"),)
        indexes = (Index(fields=("line",), name="phone_by_line"), Index(fields=("account_id",), name="phone_account"))

    audit = Audit(Resource.PHONES, name="line", parent="account_id", passing=("search",))


# A supervisor manages a group, or a user: one of the two is set.
class Management(Audited):
    manager_id: UUID
    team_id: UUID | None
    account_id: UUID | None
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    manager: ForeignKeyRelation[Account] = _account()
    team: ForeignKeyNullableRelation[Team] = ForeignKeyField(
        "earshot.Team", related_name=False, on_delete=CASCADE, null=True
    )
    account: ForeignKeyNullableRelation[Account] = ForeignKeyField(
        "earshot.Account", related_name=False, on_delete=CASCADE, null=True
    )

    class Meta:
        table = "management"
        unique_together = (("manager_id", "team_id"), ("manager_id", "account_id"))

    audit = Audit(Resource.MANAGEMENT, parent="manager_id", assigns=True)

    def about(self) -> About:
        return About(self.team_id or self.account_id or self.pk, self.details()["managed"], self.manager_id)

    def details(self) -> Mapping[str, str]:
        """Of a row whose manager, team and account were fetched with it."""
        managed = _called(self.account) if self.team_id is None or self.team is None else self.team.name
        return {"manager": _called(self.manager), "managed": managed}


# Where people of a tenant may sign in besides here: OpenID Connect. `client_secret` is sealed. `platform`: an operator
# set it up, so it may vouch for everybody of the tenant, and may be on the inside of the network.
class IdentityProvider(Audited):
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    name = TextField()
    issuer = TextField()
    client_id = TextField()
    client_secret = TextField()
    login_claim = TextField()
    enabled = BooleanField()
    platform = BooleanField()

    class Meta:
        table = "identity_provider"
        unique_together = (("tenant_id", "name"),)

    audit = Audit(Resource.PROVIDERS, name="name", secret=("client_secret",))


# Somebody who is signed in: the SHA-256 of what his browser holds, in hexadecimal.
class WebSession(Model):
    id_hash = CharField(primary_key=True, max_length=255)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    account: ForeignKeyRelation[Account] = _account()
    created_at = MomentField()
    expires_at = MomentField()
    address = TextField()
    user_agent = TextField()
    seen_at = MomentField(null=True)

    class Meta:
        table = "web_session"
        indexes = (
            Index(fields=("account_id",), name="web_session_account"),
            Index(fields=("expires_at",), name="web_session_expiry"),
        )


# A key to the API: the SHA-256 of what its owner holds, in hexadecimal. `permissions` is JSON; NULL: all that its owner
# has.
class ApiToken(Audited):
    token_hash = CharField(primary_key=True, max_length=255)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    account: ForeignKeyRelation[Account] = _account()
    name = TextField()
    created_at = MomentField()
    permissions = TextField(null=True)
    expires_at = MomentField(null=True)
    used_at = MomentField(null=True)

    class Meta:
        table = "api_token"
        indexes = (Index(fields=("account_id",), name="api_token_account"),)

    audit = Audit(
        Resource.TOKENS, name="name", parent="account_id", secret=("token_hash",), passing=("used_at",), unnamed=True
    )


# A link that was mailed to somebody and lets him set a password, once: the SHA-256 of its secret, in hexadecimal.
class AccessLink(Model):
    link_hash = CharField(primary_key=True, max_length=255)
    account: ForeignKeyRelation[Account] = _account()
    invitation = BooleanField()
    created_at = MomentField()
    expires_at = MomentField()

    class Meta:
        table = "access_link"
        indexes = (Index(fields=("account_id",), name="access_link_account"),)


# A mail that waits, is being sent, went out, or could not. `content` is sealed: it may hold a link that lets people in.
# From `expires_at` on nobody has anything of it.
class MailMessage(Model):
    id = KeyField(primary_key=True, default=new_id)
    tenant_id = KeyField(null=True)
    account_id = KeyField(null=True)
    kind = TextField()
    to_address = TextField()
    to_name = TextField()
    subject = TextField()
    content = TextField()
    state = TextField()
    attempts = IntField()
    created_at = MomentField()
    due_at = MomentField()
    expires_at = MomentField()
    sent_at = MomentField(null=True)
    error = TextField()

    class Meta:
        table = "mail_message"
        indexes = (
            FilteredIndex(fields=("due_at", "id"), name="mail_waiting", where="state IN ('waiting', 'sending')"),
            Index(fields=("created_at", "id"), name="mail_newest"),
        )
