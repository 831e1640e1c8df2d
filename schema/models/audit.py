"""Tables of the audit trail: what was done by whom, and the chain that shows that nobody touched it.

No keys to other tables: what an entry tells of may be gone, the entry stays.

Not here: how entries are written (`schema/audited.py`), chained and proved (`schema/chain.py`).
"""

from tortoise import Model
from tortoise.fields import BigIntField, BinaryField, TextField
from tortoise.indexes import Index

from schema.columns import FilteredIndex, KeyField, MomentField, new_id


# An entry. `data` is JSON, NULL once erased; `proof` an HMAC of all but `number` and `chain`. The sealer gives an entry
# its `number` in the chain, and `chain`, the hash of all up to it. `origin` keeps what is told twice from being there
# twice. `initiator_key` and `search` are what is searched in, in lower case.
class AuditEntry(Model):
    id = KeyField(primary_key=True, default=new_id)
    tenant_id = KeyField(null=True)
    at = MomentField()
    initiator_id = KeyField(null=True)
    initiator_login = TextField()
    initiator_name = TextField()
    initiator_key = TextField()
    address = TextField()
    application = TextField()
    resource = TextField()
    action = TextField()
    related_id = TextField()
    related_name = TextField()
    parent_id = TextField()
    details = TextField()
    data = TextField(null=True)
    data_hash = TextField()
    search = TextField()
    origin = TextField(null=True)
    proof = TextField()
    number = BigIntField(null=True)
    chain = TextField()

    class Meta:
        table = "audit_entry"
        unique_together = (("origin",), ("number",))
        indexes = (
            Index(fields=("at", "id"), name="audit_newest_of_all"),
            Index(fields=("tenant_id", "at", "id"), name="audit_newest"),
            Index(fields=("initiator_id", "at", "id"), name="audit_initiator"),
            FilteredIndex(fields=("related_id", "at", "id"), name="audit_related", where="related_id <> ''"),
            FilteredIndex(fields=("parent_id", "at", "id"), name="audit_parent", where="parent_id <> ''"),
            FilteredIndex(fields=("at", "id"), name="audit_unsealed", where="number IS NULL"),
        )


# The end of the chain as it was signed.
class AuditHead(Model):
    number = BigIntField(primary_key=True, generated=False)
    chain = TextField()
    at = MomentField()
    signature = BinaryField()

    class Meta:
        table = "audit_head"
