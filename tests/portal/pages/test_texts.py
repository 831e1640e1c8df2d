"""Scripts and pages agree: each text that a script says is handed over, each icon shown is in the sprite."""

import re
from pathlib import Path

import pytest
from quart import Quart
from quart_babel import Babel

from portal import assets
from portal.pages import texts

PORTAL = Path(texts.__file__).parents[1]
SCRIPTS = PORTAL / "static" / "js"
TEXT = re.compile(r"""\btext\(\s*((?:[^()"]|"[\w]+")*)""")
# What a text is chosen by is none.
NAMES = re.compile(r'(?<!=== )"(\w+)"')
# What the page of a call loads beside the module that the template names.
OF_CALL = ["call.js", "live.js", "listener.js", "player.js"]


def said_by(*names: str) -> set[str]:
    found = set()
    for name in names:
        source = (SCRIPTS / name).read_text(encoding="utf-8")
        found |= {key for call in TEXT.findall(source) for key in NAMES.findall(call.partition(",")[0])}
        found |= set(re.findall(r'"(listen_\w+)"', source))
    return found


@pytest.fixture
async def of_call() -> dict[str, str]:
    app = Quart("texts")
    Babel(app)
    async with app.test_request_context("/"):
        return texts.of_call()


async def test_every_text_of_a_script_is_handed_over_and_none_besides(of_call: dict[str, str]) -> None:
    requests = said_by("requests.js")
    assert requests
    assert said_by(*OF_CALL) | requests == of_call.keys()


async def test_a_script_fills_in_the_words_that_a_text_has(of_call: dict[str, str]) -> None:
    sources = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in [*OF_CALL, "requests.js"])
    for name, sentence in of_call.items():
        words = re.findall(r"\{(\w+)\}", sentence)
        given = re.search(rf'"{name}", \{{([^}}]*\(?[^}}]*)\}}', sources)
        assert all(given and re.search(rf"\b{word}\b", given[1]) for word in words), name


def test_every_icon_that_a_page_shows_is_in_the_sprite_and_no_other() -> None:
    known = {name.rpartition("/")[2] for name in assets.ICONS}
    paths = [*(PORTAL / "templates").rglob("*.html"), *PORTAL.rglob("*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths if path.name != "assets.py")
    named = set(re.findall(r"""\b(?:icon|draw)[(=]["']([\w-]+)["']""", sources))
    assert named <= known
    assert known <= set(re.findall(r"""["']([\w-]+)["']""", sources))
