"""A form that was open while somebody else changed the same thing does not undo that unseen."""

from dataclasses import replace

import pytest
from quart_trio import QuartTrio

from portal.forms import filled
from portal.pages import stale
from schema.profiles import RoleFields, UserFields
from schema.roles import READY_MADE, Grant, Permission, Reach, Role

ANNA = UserFields(login="anna", phones=("300", "301"))


@pytest.mark.parametrize(
    "change",
    [{"name": "Anna"}, {"confidential": True}, {"phones": ("300",)}, {"role": Role.SUPERVISOR}, {"language": "fr"}],
    ids=lambda change: next(iter(change)),
)
def test_every_change_makes_another_version(change: dict[str, object]) -> None:
    assert stale.version(replace(ANNA, **change)) != stale.version(ANNA)
    assert stale.version(replace(ANNA)) == stale.version(ANNA)


def test_the_order_of_a_set_makes_no_other_version() -> None:
    permissions = sorted(READY_MADE[Role.ADMINISTRATOR].permissions)
    one, other = (
        RoleFields(name="Lead", grant=Grant(Reach.TENANT, frozenset(found)))
        for found in (permissions, reversed(permissions))
    )
    less = RoleFields(name="Lead", grant=Grant(Reach.TENANT, frozenset(permissions) - {Permission.PLAY}))
    assert stale.version(one) == stale.version(other) != stale.version(less)


async def test_what_changed_meanwhile_is_said_once_and_may_be_saved_then(app: QuartTrio) -> None:
    form = filled(version=stale.version(ANNA))
    async with app.test_request_context("/"):
        assert stale.check(form, ANNA)
        assert form.ok
        assert not stale.check(form, replace(ANNA, name="Anna"))
        assert "Somebody else changed this" in form.errors[""]
        assert stale.check(form, replace(ANNA, name="Anna"))


async def test_a_form_without_a_version_is_not_believed(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        assert not stale.check(filled(login="anna"), ANNA)


def test_only_what_differs_is_compared() -> None:
    compared = stale.differences([("Name", "Anna", "Anna"), ("Login", "anna", "berg")])
    assert compared == [stale.Difference("Login", "anna", "berg")]
