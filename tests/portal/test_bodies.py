"""Bodies are bounded by where they go, whether their length is announced or not."""

import pytest
from quart_trio import QuartTrio

from portal.bodies import FORM, IMPORT, LOGO, bound_of
from tests.portal.visitor import Visitor, add_account

SENT = {"Content-Type": "application/x-www-form-urlencoded"}


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


def test_every_path_with_a_long_body_is_one_of_the_portal(app: QuartTrio) -> None:
    """A route that moves must not take its bound with it unnoticed."""
    adapter = app.url_map.bind("localhost")
    for path in ("/administration/users/import", "/administration/customization/appearance"):
        assert adapter.match(path, method="POST")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_long_is_refused(app: QuartTrio, announced: bool) -> None:
    for path, bound in (("/sign-in", FORM), ("/administration/users/import", IMPORT)):
        visitor = Visitor(app)
        if bound is IMPORT:
            await add_account("anna")
            await visitor.sign_in("anna")
        for more, refused in ((-1000, False), (1, True)):
            async with visitor.client.request(
                path, method="POST", headers=headers(bound.bytes + more, announced)
            ) as sent:
                for _ in range(bound.bytes // FORM.bytes):
                    await sent.send(b"x" * FORM.bytes)
                if more > 0:
                    await sent.send(b"x" * more)
                await sent.send_complete()
            answer = await sent.as_response()
            assert (answer.status_code == 413) is refused, (path, more)


def headers(length: int, announced: bool) -> dict[str, str]:
    return SENT | ({"Content-Length": str(length)} if announced else {})
