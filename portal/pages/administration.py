"""The index of the administration: everything that the one who asks may see of it, with a search box.

Not here: what there is (`menus.py`), and the pages that it leads to.
"""

from typing import Final

from quart import Blueprint, render_template

from portal import menus
from portal.errors import forbidden

blueprint: Final = Blueprint("administration", __name__)


@blueprint.get("/administration")
async def index() -> str:
    """The page. Errors: `Problem` (403) for whom there is nothing on it."""
    sections = menus.administration()
    if not sections:
        raise forbidden()
    return await render_template("administration/index.html", sections=sections)
