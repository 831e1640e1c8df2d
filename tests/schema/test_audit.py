"""The audit trail as people read it: what they find, in which order, and what they do not see."""

from datetime import UTC, datetime, timedelta

from schema import audit
from schema.audit import Filters
from schema.columns import new_id
from schema.database import open_database
from schema.entries import About, Action, Application, By, Resource
from schema.roles import EVERYTHING, Reach
from schema.values import DEFAULT_TENANT, NOBODY, Scope
from tests.databases import KEY

EVERYWHERE = Scope(DEFAULT_TENANT, NOBODY, Reach.PLATFORM, confidential=True)


async def test_a_note_is_an_entry(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        who, call = new_id(), new_id()
        by = By(EVERYWHERE, EVERYTHING, Application.WEB, who, "amy", "Amy Archer", "192.0.2.7")
        before = datetime.now(UTC) - timedelta(seconds=1)
        about = About(call, "100 → 200")
        for _ in range(2):
            await audit.note(
                by,
                Resource.CALLS,
                Action.PLAYBACK,
                about,
                tenant_id=DEFAULT_TENANT,
                details={"file": "a.opus"},
                origin="once",
            )
        [entry] = await audit.entries_about(EVERYWHERE, call)
        assert before < entry.at <= datetime.now(UTC)
        assert (entry.initiator_id, entry.initiator_login, entry.initiator_name) == (who, "amy", "Amy Archer")
        assert (entry.address, entry.application) == ("192.0.2.7", Application.WEB)
        assert (entry.resource, entry.action, entry.tenant_id) == (Resource.CALLS, Action.PLAYBACK, DEFAULT_TENANT)
        assert entry.about == About(str(call), "100 → 200", "")
        assert (entry.details, entry.fields, entry.unchanged) == ({"file": "a.opus"}, {}, {})
        assert (entry.number, entry.erased) == (None, False)
        assert await audit.get_entry(EVERYWHERE, entry.id) == entry
        assert await audit.entries_about(EVERYWHERE, who) == (entry,)
        found = await audit.list_entries(
            EVERYWHERE, Filters(user_id=who, about_id=call, text="A.OPUS", initiator="ARCH")
        )
        assert found.items == (entry,)
