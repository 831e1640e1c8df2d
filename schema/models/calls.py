"""Tables of calls, of what belongs to them, and of the engines that record them.

Text from the wire is TEXT without a limit: a name that is too long must not keep a call out of the database. Rows that
belong to a call go with it; a user who is deleted leaves his calls behind, without an owner.

Not here: people (`people.py`), what was done by whom (`audit.py`), what the values mean (`schema/values.py`).
"""

from typing import Any

from tortoise import Model
from tortoise.fields import (
    CASCADE,
    RESTRICT,
    SET_NULL,
    BigIntField,
    BinaryField,
    BooleanField,
    CharField,
    FloatField,
    ForeignKeyField,
    ForeignKeyNullableRelation,
    ForeignKeyRelation,
    IntField,
    TextField,
)
from tortoise.indexes import Index

from schema.columns import FilteredIndex, KeyField, MomentField, new_id
from schema.models.people import Account, Tenant


def _tenant() -> Any:
    return ForeignKeyField("earshot.Tenant", related_name=False, on_delete=RESTRICT)


def _call() -> Any:
    return ForeignKeyField("earshot.Call", related_name=False, on_delete=CASCADE)


def _owner() -> Any:
    return ForeignKeyField("earshot.Account", related_name=False, on_delete=SET_NULL, null=True)


# A call. `phase` is running, finishing (it ended, its recording is not made yet) or finished.
class Call(Model):
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    node = TextField()
    phase = TextField()
    events = IntField()
    started_at = MomentField()
    connected_at = MomentField(null=True)
    ended_at = MomentField(null=True)
    duration_s = FloatField(null=True)
    end_kind = TextField(null=True)
    direction = TextField()
    caller_number = TextField()
    caller_name = TextField()
    caller_phone_id = TextField()
    caller_address = TextField()
    caller_user: ForeignKeyNullableRelation[Account] = _owner()
    callee_number = TextField()
    callee_name = TextField()
    callee_phone_id = TextField()
    callee_address = TextField()
    callee_user: ForeignKeyNullableRelation[Account] = _owner()
    mode = TextField()
    recording = TextField()
    kept = BooleanField(null=True)
    # Hidden from whoever lacks the permission, but for those whose call it is.
    confidential = BooleanField(db_default=False)
    session_id = TextField()
    group_id = TextField()
    tracking_id = TextField()
    sip_session_id = TextField()
    sip_call_id = TextField()
    # A list of sentences, as JSON.
    warnings = TextField()

    class Meta:
        table = "call"
        # The lists: newest first, by the start and the id of the last row of the page before.
        indexes = (
            Index(fields=("tenant_id", "started_at", "id"), name="call_newest"),
            FilteredIndex(
                fields=("caller_user_id", "started_at", "id"), name="call_caller", where="caller_user_id IS NOT NULL"
            ),
            FilteredIndex(
                fields=("callee_user_id", "started_at", "id"), name="call_callee", where="callee_user_id IS NOT NULL"
            ),
            FilteredIndex(fields=("tenant_id", "started_at", "id"), name="call_running", where="phase = 'running'"),
            FilteredIndex(fields=("tenant_id", "started_at", "id"), name="call_finishing", where="phase = 'finishing'"),
            FilteredIndex(fields=("tenant_id", "group_id"), name="call_group", where="group_id <> ''"),
        )


# `number`, here and below: the place in the call's order, from 0.
class Participant(Model):
    id = BigIntField(primary_key=True)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    call: ForeignKeyRelation[Call] = _call()
    number = IntField()
    name = TextField()
    phone_number = TextField()
    aor = TextField()
    joined_s = FloatField()
    left_s = FloatField(null=True)

    class Meta:
        table = "participant"
        unique_together = (("call_id", "number"),)


class MediaStream(Model):
    id = BigIntField(primary_key=True)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    call: ForeignKeyRelation[Call] = _call()
    number = IntField()
    stream = IntField()
    label = TextField()
    side = TextField()
    codec = TextField()
    packets = BigIntField(null=True)
    lost = BigIntField(null=True)
    jitter_ms = FloatField(null=True)

    class Meta:
        table = "media_stream"
        unique_together = (("call_id", "number"),)


class PauseSpan(Model):
    id = BigIntField(primary_key=True)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    call: ForeignKeyRelation[Call] = _call()
    number = IntField()
    start_s = FloatField()
    end_s = FloatField(null=True)
    paused_by = TextField()
    file_s = FloatField(null=True)

    class Meta:
        table = "pause_span"
        unique_together = (("call_id", "number"),)


# The files of a finished call.
class Recording(Model):
    id = BigIntField(primary_key=True)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    call: ForeignKeyRelation[Call] = _call()
    number = IntField()
    folder = TextField()
    file = TextField()
    format = TextField()
    bytes = BigIntField()
    sha256 = TextField()
    duration_s = FloatField()
    rate_hz = IntField()
    peaks = TextField()

    class Meta:
        table = "recording"
        unique_together = (("call_id", "number"),)
        # What a tenant stores: of a million recordings in 0.2 s in place of 5 s.
        indexes = (Index(fields=("tenant_id", "bytes"), name="recording_bytes"),)


# What belongs together for a user: one call, or several.
class Interaction(Model):
    id = KeyField(primary_key=True, default=new_id)
    tenant: ForeignKeyRelation[Tenant] = _tenant()

    class Meta:
        table = "interaction"


# A stretch of a call in an interaction. `to_s` is None where it goes on to the call's end.
class Part(Model):
    id = BigIntField(primary_key=True)
    tenant: ForeignKeyRelation[Tenant] = _tenant()
    interaction: ForeignKeyRelation[Interaction] = ForeignKeyField(
        "earshot.Interaction", related_name=False, on_delete=CASCADE
    )
    call: ForeignKeyRelation[Call] = _call()
    number = IntField()
    from_s = FloatField()
    to_s = FloatField(null=True)

    class Meta:
        table = "part"
        unique_together = (("call_id", "number"),)
        indexes = (Index(fields=("interaction_id",), name="part_interaction"),)


# An engine.
class Node(Model):
    name = CharField(primary_key=True, max_length=255)
    gateway = TextField()
    version = TextField()
    seen_at = MomentField()
    gateway_certificate = TextField()

    class Meta:
        table = "node"


# An event of a call that is not finished. No key to the call: an event may come before its call has a row.
class CallEvent(Model):
    id = BigIntField(primary_key=True)
    call_id = KeyField()
    number = IntField()
    data = BinaryField()

    class Meta:
        table = "call_event"
        unique_together = (("call_id", "number"),)


# How far a node's outbox was read.
class OutboxOffset(Model):
    node = CharField(primary_key=True, max_length=255)
    segment = BigIntField()
    block = BigIntField()

    class Meta:
        table = "outbox_offset"
