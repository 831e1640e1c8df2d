"""Marking calls: who may, what the audit trail says of it, and that the mark stays."""

from dataclasses import replace

import pytest

from schema import calls, clerk
from schema.audit import entries_about
from schema.confidential import set_call_confidential
from schema.database import open_database
from schema.entries import Action, Application, By, Resource
from schema.refusals import NotThere
from schema.roles import READY_MADE, Reach, Role
from schema.values import Offset, PartyRecord, Scope
from tests.databases import KEY
from tests.people import COMMAND
from tests.schema.given import NOON, a_call, a_user


async def test_a_mark_is_told_once_and_stays_whatever_the_clerk_stores(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        call = a_call(caller=PartyRecord("+4930123", "Ann Smith"), callee=PartyRecord("200"))
        await clerk.apply("one", Offset(), [], [call])
        for _ in range(2):
            await set_call_confidential(COMMAND, call.id, True)
        await clerk.apply("one", Offset(), [], [replace(call, events=3, ended_at=NOON)])
        await clerk.finish(replace(call, events=4, ended_at=NOON))
        view = await calls.get_call(COMMAND.scope, call.id, silent_nodes=())
        assert view is not None
        assert view.confidential
        assert [each.confidential for each in (await calls.list_calls(COMMAND.scope, silent_nodes=())).calls] == [True]
        (entry,) = await entries_about(COMMAND.scope, call.id, 10)
        assert (entry.resource, entry.action) == (Resource.CALLS, Action.UPDATE)
        assert (entry.tenant_id, entry.about.name) == (call.tenant_id, "Ann Smith - 200")
        assert entry.fields == {"confidential": ("False", "True")}
        await set_call_confidential(COMMAND, call.id, False)
        again = await calls.get_call(COMMAND.scope, call.id, silent_nodes=())
        assert again is not None
        assert not again.confidential


async def test_a_call_that_one_does_not_see_is_not_there_to_be_marked(database_url: str) -> None:
    async with open_database(database_url, key=KEY):
        amy, eve = await a_user("amy"), await a_user("eve", tenant="Acme")
        call = a_call(caller=PartyRecord("1", user_id=amy.id))
        await clerk.apply("one", Offset(), [], [call])
        for scope in (
            Scope(eve.tenant_id, eve.id, Reach.TENANT, confidential=True),
            Scope(amy.tenant_id, eve.id, Reach.MANAGED, confidential=True),
            Scope(amy.tenant_id, eve.id, Reach.OWN, confidential=True),
        ):
            with pytest.raises(NotThere):
                await set_call_confidential(By(scope, READY_MADE[Role.ADMINISTRATOR], Application.WEB), call.id, True)
        view = await calls.get_call(COMMAND.scope, call.id, silent_nodes=())
        assert view is not None
        assert not view.confidential
        assert not await entries_about(COMMAND.scope, call.id, 10)
