"""How a tenant looks and speaks: the blueprint of Administration > Customization.

Not here: the pages; each has a module of its own.
"""

from typing import Final

from quart import Blueprint

blueprint: Final = Blueprint("customization", __name__)
