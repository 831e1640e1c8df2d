"""The step between `npm ci` and the portal: what the pages load is copied, and what is missing is said."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from portal import assets

DRAWING = """<!--
tags: [made, up]
-->
<svg
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
>
  <path stroke="none" d="M0 0h24v24H0z" fill="none" />
  <path d="M5 12l5 5l10 -10" />
</svg>
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules"
    icons = [f"@tabler/icons/icons/{name if '/' in name else f'outline/{name}'}.svg" for name in assets.ICONS]
    for name in [*assets.FILES, *icons]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(DRAWING if name in icons else f"/* {name} */")
    return folder


def test_files_are_copied_and_icons_become_one_sprite(packages: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "of-an-older-version.js").touch()
    assets.copy(packages, vendor)
    assert {path.name for path in vendor.iterdir()} == {*assets.FILES.values(), assets.SPRITE}
    sprite = ElementTree.fromstring((vendor / assets.SPRITE).read_text(encoding="utf-8"))  # noqa: S314 (our own)
    ids = [symbol.get("id") for symbol in sprite]
    assert ids == [name.rpartition("/")[2] for name in assets.ICONS]
    assert len(set(ids)) == len(ids)
    check = sprite[0]
    assert (check.get("viewBox"), check.get("stroke"), check.get("width")) == ("0 0 24 24", "currentColor", None)
    assert [path.get("d") for path in check] == ["M5 12l5 5l10 -10"]


def test_what_is_missing_is_said_and_nothing_is_touched(packages: Path, tmp_path: Path) -> None:
    (packages / "wavesurfer.js/dist/wavesurfer.esm.js").unlink()
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "kept.js").touch()
    with pytest.raises(assets.PackagesMissing, match=r"has no wavesurfer\.js/dist/wavesurfer\.esm\.js.*npm ci"):
        assets.copy(packages, vendor)
    assert [path.name for path in vendor.iterdir()] == ["kept.js"]


def test_the_lock_names_no_registry() -> None:
    lock = (assets.ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
