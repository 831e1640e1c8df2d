"""The catalogues of translations, brought up to date with what the portal says: `python -m portal.catalogues`.

A translation stays as long as its text does; a new text comes in with an empty one, for a translator to fill in, and
what is said no more goes. Entries are sorted and bear neither places nor dates, so that a change of ten texts is a
change of ten entries.

Not here: reading them while the portal runs (`language.py`), and which functions mark a text (gettext's own).
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from portal.language import CATALOGUE, DEFAULT_LANGUAGE, LANGUAGES, TRANSLATIONS

SOURCES: Final = Path(__file__).parent
METHODS: Final = [("**.py", "python"), ("templates/**.html", "jinja2")]
# jinja2 takes texts only.
OPTIONS: Final = {"templates/**.html": {"newstyle_gettext": "true"}}
TRANSLATED: Final = tuple(code for code in LANGUAGES if code != DEFAULT_LANGUAGE)


def extract(sources: Path = SOURCES) -> Catalog:
    """Every text that is marked, without translations."""
    catalogue = Catalog()
    found = extract_from_dir(str(sources), METHODS, OPTIONS)
    for _, _, message, _, context in found:
        catalogue.add(message, context=context)
    return catalogue


def read(language: str, folder: Path = TRANSLATIONS) -> Catalog:
    """A language's catalogue; an empty one where there is none yet."""
    path = folder / language / CATALOGUE
    return read_po(BytesIO(path.read_bytes() if path.exists() else b""), locale=language)


def updated(catalogue: Catalog, texts: Catalog) -> bytes:
    """The file of a catalogue with exactly these texts, and its translations of those that it had."""
    catalogue.update(texts, no_fuzzy_matching=True)
    body = BytesIO()
    write_po(body, catalogue, width=120, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True)
    return _header(catalogue).encode() + body.getvalue()


def waiting(catalogue: Catalog) -> list[Message]:
    """The texts that have no translation, or not in each plural form."""
    return [message for message in catalogue if message.id and not _is_translated(message)]


def main() -> int:
    """What `python -m portal.catalogues` does. Returns the exit status."""
    texts = extract()
    for language in TRANSLATED:
        path = TRANSLATIONS / language / CATALOGUE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(updated(read(language), texts))
        print(f"{LANGUAGES[language]}: {len(waiting(read(language))) or 'no'} texts wait for a translation.")
    return 0


def _is_translated(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, tuple | list) else bool(message.string)


def _header(catalogue: Catalog) -> str:
    locale = catalogue.locale
    named = locale.english_name if isinstance(locale, Locale) else ""
    fields = (
        "Content-Type: text/plain; charset=utf-8",
        f"Language: {catalogue.locale_identifier}",
        f"Plural-Forms: {catalogue.plural_forms}",
    )
    lines = "".join(f'"{field}\\n"\n' for field in fields)
    return f'# Earshot in {named}.\nmsgid ""\nmsgstr ""\n{lines}\n'


if __name__ == "__main__":
    sys.exit(main())
