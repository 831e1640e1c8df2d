"""A list's pages are found by their addresses alone, forth and back."""

from quart_trio import QuartTrio

from portal.pages import paging
from portal.pages.paging import Paging

LIST = "calls.index"


async def walk(app: QuartTrio, address: str, following: str | None) -> tuple[Paging, str, str]:
    async with app.test_request_context(address):
        here = paging.at_hand()
        return here, *here.links(LIST, 20, following, view="active", q="")


async def test_forth_and_back(app: QuartTrio) -> None:
    first, second, newer = await walk(app, "/calls?view=active", "b")
    assert (first.cursor, first.at, newer) == (None, 0, "")
    here, third, newer = await walk(app, second, "c")
    assert (here.cursor, here.at, newer) == ("b", 20, "/calls?view=active")
    here, following, newer = await walk(app, third, None)
    assert (here.cursor, here.at, following, newer) == ("c", 40, "", second)


async def test_an_address_does_not_grow_without_end(app: QuartTrio) -> None:
    address = "/calls"
    for number in range(3 * paging.MOST_CURSORS):
        _, address, _ = await walk(app, address, f"cursor-{number:03}")
    here, _, _ = await walk(app, address, None)
    assert (len(here.cursors), here.at) == (paging.MOST_CURSORS, 60 * paging.MOST_CURSORS)
    assert here.cursor == "cursor-089"


async def test_a_place_without_cursors_is_the_beginning(app: QuartTrio) -> None:
    here, _, _ = await walk(app, "/calls?at=40", None)
    assert here == Paging((), 0)
