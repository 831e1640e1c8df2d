"""What was uploaded is kept for its owner alone, for a while, and not without bounds."""

from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import MockClock

from portal import uploads
from portal.uploads import Uploads

ANNA, SAM = uuid4(), uuid4()
OURS, OTHERS = uuid4(), uuid4()


def keep(kept: Uploads[str], owner: UUID, content: str, *, tenant_id: UUID = OURS, size: int = 10) -> str:
    return kept.keep(owner, content, tenant_id=tenant_id, size=size)


@pytest.fixture
def kept() -> Uploads[str]:
    return Uploads()


async def test_only_its_owner_gets_it_and_only_by_its_name(kept: Uploads[str]) -> None:
    name = keep(kept, ANNA, "file")
    assert kept.get(ANNA, name) == "file"
    assert kept.get(SAM, name) is None
    assert kept.get(ANNA, f"{name}x") is None


async def test_a_newer_one_takes_the_place_of_the_one_before(kept: Uploads[str]) -> None:
    older, other = keep(kept, ANNA, "older"), keep(kept, SAM, "other")
    newer = keep(kept, ANNA, "newer")
    assert [kept.get(ANNA, older), kept.get(ANNA, newer), kept.get(SAM, other)] == [None, "newer", "other"]


async def test_the_oldest_of_the_tenant_that_keeps_the_most_gives_way(kept: Uploads[str]) -> None:
    theirs = keep(kept, SAM, "theirs", tenant_id=OTHERS)
    owners = [UUID(int=number) for number in range(uploads.MOST)]
    names = [keep(kept, owner, str(owner)) for owner in owners]
    found = [kept.get(owner, name) for owner, name in zip(owners, names, strict=True)]
    assert found == [None, *map(str, owners[1:])]
    assert kept.get(SAM, theirs) == "theirs"


async def test_large_files_give_way_to_large_files(kept: Uploads[str]) -> None:
    theirs = keep(kept, SAM, "theirs", tenant_id=OTHERS, size=uploads.MOST_BYTES // 4)
    first, second, third = (keep(kept, UUID(int=one), str(one), size=uploads.MOST_BYTES // 3) for one in range(3))
    assert [kept.get(UUID(int=one), name) for one, name in enumerate((first, second, third))] == [None, "1", "2"]
    assert kept.get(SAM, theirs) == "theirs"


async def test_what_is_over_gives_way_to_nobody(kept: Uploads[str], autojump_clock: MockClock) -> None:
    keep(kept, SAM, "over", size=uploads.MOST_BYTES)
    await trio.sleep(uploads.KEPT_S / 2)
    name = keep(kept, UUID(int=1), "small", size=0)
    await trio.sleep(uploads.KEPT_S / 2 + 1)
    keep(kept, ANNA, "file", size=uploads.MOST_BYTES)
    assert kept.get(UUID(int=1), name) == "small"


async def test_it_is_kept_for_a_while(kept: Uploads[str], autojump_clock: MockClock) -> None:
    name = keep(kept, ANNA, "file")
    await trio.sleep(uploads.KEPT_S - 1)
    assert kept.get(ANNA, name) == "file"
    await trio.sleep(2)
    assert kept.get(ANNA, name) is None
