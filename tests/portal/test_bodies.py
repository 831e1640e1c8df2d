"""Bodies are bounded by where they go, whether their length is announced or not."""

from io import BytesIO

import pytest
from quart_trio import QuartTrio
from werkzeug.datastructures import FileStorage

from portal.bodies import FORM, IMPORT, LOGO, bound_of
from tests.portal.visitor import ADDRESS, Visitor, add_account

FORM_DATA = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        ("/sign-in", FORM),
        ("/api/v1/calls", FORM),
        ("/administration/users/new", FORM),
        ("/administration/users/import", IMPORT),
        ("/administration/phones/import", IMPORT),
        ("/administration/groups/import", IMPORT),
        ("/administration/users/import/x/apply", FORM),
        ("/administration/roles/import", FORM),
        ("/administration/customization/appearance", LOGO),
        ("/x/administration/users/import", FORM),
    ],
)
def test_only_where_files_are_uploaded_a_body_may_be_long(path: str, bound: object) -> None:
    assert bound_of(path) is bound


async def test_every_path_with_a_long_body_is_one_of_the_portal(app: QuartTrio) -> None:
    """A route that moves must not take its bound with it unnoticed."""
    adapter = app.url_map.bind("localhost")
    for path in ("/administration/users/import", "/administration/customization/appearance"):
        assert adapter.match(path, method="POST")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_form_that_is_too_long_is_refused(visitor: Visitor, announced: bool) -> None:
    length = {"Content-Length": str(FORM.bytes + 1)} if announced else {}
    async with visitor.client.request("/sign-in", method="POST", headers=FORM_DATA | length) as sent:
        await sent.send(b"x" * FORM.bytes)
        await sent.send(b"x")
        await sent.send_complete()
    assert (await sent.as_response()).status_code == 413


@pytest.mark.parametrize("more", [-1000, 1000])
async def test_a_file_may_be_as_long_as_its_bound_and_no_longer(visitor: Visitor, more: int) -> None:
    await add_account("ada")
    await visitor.sign_in("ada")
    file = FileStorage(BytesIO(b"x" * (IMPORT.bytes + more)), "users.csv", "file")
    answer = await visitor.client.post(
        "/administration/users/import",
        form={"csrf_token": await visitor.token("/nowhere")},
        files={"file": file},
        scope_base={"client": ADDRESS},
    )
    # The file is no list of users, which is told of one that was read.
    assert answer.status_code == (422 if more < 0 else 413)
