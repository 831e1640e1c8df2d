"""The house: its packages are ours, each says what it is, and no module grows past one job."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["importlinter"]["root_packages"]
MODULES = ["earshot", "settings"]
MOST_LINES = 500
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))

SOURCES = sorted(path for top in [*PACKAGES, "bench", "demo", "tests"] for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("name", [*PACKAGES, *MODULES])
def test_each_name_is_ours(name: str) -> None:
    """The names are generic, and the package index has a `schema` of its own: an installed one must not win."""
    found = importlib.import_module(name).__file__
    assert found is not None
    assert Path(found).resolve().is_relative_to(ROOT)
    assert ".venv" not in Path(found).parts


def test_every_house_is_packaged_and_checked() -> None:
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert sorted(shipped) == sorted([*PACKAGES, *(f"{name}.py" for name in MODULES), "Procfile"])
    assert set(PROJECT["tool"]["mypy"]["files"]) >= {*PACKAGES, *(f"{name}.py" for name in MODULES)}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "tests" not in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_house_says_what_must_not_be_in_it(package: str) -> None:
    assert "must not be here" in (importlib.import_module(package).__doc__ or "")


def test_no_module_has_two_jobs() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in DOCUMENTS)])
def test_what_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    linked = {target for target in re.findall(r"\]\(([^)#:]+)\)", text)}
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [path for path in linked if not (ROOT / document).parent.joinpath(path).exists()] == []
