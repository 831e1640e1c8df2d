"""What was uploaded is kept for its owner alone, for a while, and not without bounds."""

from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import MockClock

from portal import uploads
from portal.uploads import Uploads

ANNA, SAM = uuid4(), uuid4()


@pytest.fixture
def kept() -> Uploads[str]:
    return Uploads()


async def test_only_its_owner_gets_it_and_only_by_its_name(kept: Uploads[str]) -> None:
    name = kept.keep(ANNA, "file")
    assert kept.get(ANNA, name) == "file"
    assert kept.get(SAM, name) is None
    assert kept.get(ANNA, f"{name}x") is None


async def test_a_newer_one_takes_the_place_of_the_one_before(kept: Uploads[str]) -> None:
    older, other = kept.keep(ANNA, "older"), kept.keep(SAM, "other")
    newer = kept.keep(ANNA, "newer")
    assert [kept.get(ANNA, older), kept.get(ANNA, newer), kept.get(SAM, other)] == [None, "newer", "other"]


async def test_the_oldest_gives_way_to_too_many(kept: Uploads[str]) -> None:
    owners = [UUID(int=number) for number in range(uploads.MOST + 1)]
    names = [kept.keep(owner, str(owner)) for owner in owners]
    found = [kept.get(owner, name) for owner, name in zip(owners, names, strict=True)]
    assert found == [None, *map(str, owners[1:])]


async def test_it_is_kept_for_a_while(kept: Uploads[str], autojump_clock: MockClock) -> None:
    name = kept.keep(ANNA, "file")
    await trio.sleep(uploads.KEPT_S - 1)
    assert kept.get(ANNA, name) == "file"
    await trio.sleep(2)
    assert kept.get(ANNA, name) is None
