"""The front-end packages' files that the portal serves: copied from `node_modules` to `portal/static/vendor`.

Run after `npm ci`, as `python -m portal.assets`. The icons that the pages use become one sprite, so that a page fetches
one file instead of thirty. A copy, no bundle: browsers load ES modules as they are.

Not here: serving (Quart's static route), our own scripts and styles (`portal/static/js`, `portal/static/css`).
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ROOT / "node_modules"
VENDOR: Final = Path(__file__).parent / "static" / "vendor"

# From where in node_modules, and as what.
FILES: Final = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "@tabler/core/dist/js/tabler.esm.min.js": "tabler.esm.min.js",
    "wavesurfer.js/dist/wavesurfer.esm.js": "wavesurfer.js",
    "wavesurfer.js/dist/plugins/hover.esm.js": "wavesurfer-hover.js",
    "wavesurfer.js/dist/plugins/regions.esm.js": "wavesurfer-regions.js",
    "wavesurfer.js/dist/plugins/timeline.esm.js": "wavesurfer-timeline.js",
    "@tabler/icons/LICENSE": "LICENSE-tabler-icons.txt",
    "wavesurfer.js/LICENSE": "LICENSE-wavesurfer.txt",
}
SPRITE: Final = "icons.svg"
# Names as in Tabler's catalogue; `filled/` ones have no outline. A test holds this and the pages together.
ICONS: Final = (
    "alert-triangle",
    "arrow-left",
    "arrows-left-right",
    "ban",
    "building",
    "check",
    "chevron-left",
    "chevron-right",
    "clock",
    "copy",
    "device-laptop",
    "device-mobile",
    "download",
    "edit",
    "headphones",
    "history",
    "info-circle",
    "key",
    "language",
    "list",
    "lock",
    "login",
    "logout",
    "mail",
    "moon",
    "palette",
    "phone",
    "phone-call",
    "phone-incoming",
    "phone-outgoing",
    "plug-connected-x",
    "plus",
    "refresh",
    "rewind-backward-5",
    "rewind-forward-5",
    "search",
    "server",
    "settings",
    "shield-check",
    "shield-lock",
    "sun",
    "trash",
    "upload",
    "user",
    "users",
    "users-group",
    "filled/player-pause",
    "filled/player-play",
    "filled/player-record",
    "filled/player-stop",
)
# The invisible square under each of Tabler's drawings, and white space between their elements.
_BLANK: Final = re.compile(r'<path stroke="none" d="M0 0h24v24H0z" fill="none" ?/>|\s*\n\s*')


class PackagesMissing(Exception):
    """`npm ci` has not run, or not for this version. The text is for the user."""


def missing() -> list[str]:
    """The files that pages will ask for and the portal does not have; none after `copy`."""
    return [name for name in [*FILES.values(), SPRITE] if not (VENDOR / name).is_file()]


def copy(packages: Path = PACKAGES, to: Path = VENDOR) -> None:
    """Fills `to` anew. Errors: PackagesMissing."""
    absent = [name for name in [*FILES, *map(_icon_file, ICONS)] if not (packages / name).is_file()]
    if absent:
        raise PackagesMissing(f"{packages} has no {absent[0]}. Run `npm ci` first, then this again.")
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for source, name in FILES.items():
        shutil.copyfile(packages / source, to / name)
    (to / SPRITE).write_text(
        _sprite({name: (packages / _icon_file(name)).read_text("utf-8") for name in ICONS}), "utf-8"
    )


def _icon_file(name: str) -> str:
    return f"@tabler/icons/icons/{name if '/' in name else f'outline/{name}'}.svg"


def _sprite(icons: dict[str, str]) -> str:
    """One SVG with a symbol an icon, whose id is the icon's name without its folder."""
    symbols = []
    for name, drawing in icons.items():
        found = re.search(r"<svg([^>]*)>(.*)</svg>", drawing, re.DOTALL)
        if found is None:
            raise PackagesMissing(f"The icon {name} is no SVG drawing. Run `npm ci` again.")
        look = " ".join(re.findall(r'(?:viewBox|fill|stroke(?:-[a-z]+)?)="[^"]*"', found[1]))
        symbols.append(f'<symbol id="{name.rpartition("/")[2]}" {look}>{re.sub(_BLANK, "", found[2])}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n'


def main() -> int:
    """What `python -m portal.assets` does. Returns the exit status."""
    try:
        copy()
    except PackagesMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
