"""What people set for themselves: the blueprint of password, language and security.

Not here: the pages; each has a module of its own.
"""

from typing import Final

from quart import Blueprint

blueprint: Final = Blueprint("own", __name__)
