"""Everything that people have has a name and a meaning."""

import pytest
from quart_trio import QuartTrio

from portal.app import create_app
from portal.config import PortalConfig
from portal.pages import people_words
from schema.profiles import RecordingMode
from schema.roles import Permission, Reach


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


def test_each_permission_stands_in_one_chapter() -> None:
    told = [permission for chapter in people_words.PERMISSIONS for permission in chapter.permissions]
    assert sorted(told) == sorted(Permission)


async def test_everything_has_a_name_of_its_own_and_a_sentence(app: QuartTrio) -> None:
    permissions = [term for chapter in people_words.PERMISSIONS for term in chapter.permissions.values()]
    async with app.test_request_context("/"):
        for terms in (
            permissions,
            [people_words.REACHES[reach] for reach in Reach],
            [people_words.RECORDING_MODES[mode] for mode in RecordingMode],
            list(people_words.AUTHENTICATION.values()),
        ):
            names = [term.name() for term in terms]
            assert len(set(names)) == len(names)
            assert all(term.means().endswith(".") for term in terms)


async def test_recording_modes_have_the_names_of_the_field(app: QuartTrio) -> None:
    async with app.test_request_context("/"):
        assert [people_words.mode_name(mode) for mode in RecordingMode] == [
            "Always",
            "Always with Pause/Resume",
            "On Demand",
            "On Demand with User Initiated Start",
            "Never",
        ]
        assert people_words.mode_name(None) == "Always (not set)"
