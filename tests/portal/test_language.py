"""In which language and zone a page comes, and how dates, numbers and sizes are written there."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from quart import g
from quart_babel import format_decimal, gettext
from quart_trio import QuartTrio

from portal import language
from portal.app import create_app
from portal.config import PortalConfig
from portal.pages import presentation
from schema.profiles import Doorway
from schema.roles import Role
from schema.values import Account

NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def app(config: PortalConfig) -> QuartTrio:
    """No test here needs a database."""
    return create_app(config, None)


def account(**values: str) -> Account:
    known = {"id": UUID(int=1), "tenant_id": UUID(int=2), "tenant": "Default", "login": "anna", "name": "Anna"}
    return Account(**{**known, "role": Role.USER, "may_sign_in": True, **values})


def write_catalogue(folder: Path, locale: str, **texts: str) -> None:
    catalogue = Catalog(locale=locale)
    for text, translation in texts.items():
        catalogue.add(text.replace("_", " "), translation)
    path = folder / locale / language.CATALOGUE
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_po(file, catalogue)


# Languages


async def test_a_catalogue_is_all_that_a_translation_needs(app: QuartTrio, tmp_path: Path) -> None:
    write_catalogue(tmp_path, "de", Sign_in="Anmelden")
    async with app.app_context():
        language.catalogues().known = language.load(tmp_path)
    async with app.test_request_context("/", headers={"Accept-Language": "it, de-AT;q=0.8"}):
        assert language.html_language() == "de"
        assert gettext("Sign in") == "Anmelden"
        assert gettext("Password") == "Password"  # what is not translated yet stays as it is
    async with app.test_request_context("/", headers={"Accept-Language": "it"}):
        assert language.html_language() == "en"
        assert gettext("Sign in") == "Sign in"


def test_every_language_of_the_portal_has_a_catalogue() -> None:
    assert language.load().keys() == language.LANGUAGES.keys()


@pytest.mark.parametrize(
    ("accepts", "spoken"),
    [
        ("fr", "fr"),
        ("fr-CA,en;q=0.5", "fr"),
        ("pt", "pt_BR"),
        ("pt-PT", "pt_BR"),
        ("es-419", "es"),
        ("de, ru;q=0.3", "ru"),
        ("de", "en"),
        ("*", "en"),
        ("", "en"),
        ("en-GB, fr", "en"),
    ],
)
async def test_strangers_are_answered_in_the_best_of_their_languages(app: QuartTrio, accepts: str, spoken: str) -> None:
    async with app.test_request_context("/", headers={"Accept-Language": accepts}):
        assert language.language() == spoken


async def test_the_accounts_language_comes_first(app: QuartTrio) -> None:
    async with app.test_request_context("/", headers={"Accept-Language": "es"}):
        g.account = account(language="fr")
        assert language.language() == "fr"
        g.account = account(language="nonsense")
        assert language.language() == "es"
        g.account = account(language="pt_BR")
        assert language.html_language() == "pt-BR"


async def test_a_stranger_sees_the_language_of_the_tenant_whose_host_he_asked(app: QuartTrio) -> None:
    async with app.test_request_context("/", headers={"Accept-Language": "es"}):
        g.doorway = Doorway(None, "", "", False, "ru", "", ())
        assert language.language() == "ru"
        g.doorway = Doorway(None, "", "", False, "", "", ())
        assert language.language() == "es"


async def test_a_mail_is_in_its_readers_language_and_zone_whoever_asks(app: QuartTrio) -> None:
    async with app.test_request_context("/", headers={"Accept-Language": "es"}):
        assert "12:00" in language.clock(NOON)
        with language.speaking("fr", "Europe/Berlin"):
            assert gettext("Password") == "Mot de passe"
            assert "14:00:00" in language.clock(NOON)
        assert gettext("Password") == "Contraseña"
    async with app.app_context():
        with language.speaking("ru"):
            assert gettext("Password") == "Пароль"
            assert "12:00:00" in language.clock(NOON)


async def test_texts_outside_of_a_request_stay_as_they_are() -> None:
    assert gettext("Sign in") == "Sign in"


@pytest.mark.parametrize(
    ("code", "forms"),
    [
        ("ru", {1: 0, 21: 0, 2: 1, 34: 1, 5: 2, 11: 2, 112: 2}),
        ("fr", {0: 0, 1: 0, 2: 1}),
        ("pt_BR", {0: 0, 1: 0, 2: 1}),
        ("es", {0: 1, 1: 0, 2: 1}),
    ],
)
def test_a_number_has_the_plural_form_of_its_language(code: str, forms: dict[int, int]) -> None:
    plural = language.load()[code].plural
    assert {number: plural(number) for number in forms} == forms


# Zones


@pytest.mark.parametrize(
    ("of_account", "of_browser", "shown"),
    [
        ("", "", "12:00"),
        ("", "Europe/Berlin", "2:00"),
        ("America/New_York", "Europe/Berlin", "8:00"),
        ("Mars/Olympus", "Europe/Berlin", "2:00"),
        ("", "../../etc/passwd", "12:00"),
    ],
)
async def test_times_are_in_the_viewers_zone(app: QuartTrio, of_account: str, of_browser: str, shown: str) -> None:
    async with app.test_request_context("/", headers={"Cookie": f"earshot_zone={of_browser}"}):
        g.account = account(time_zone=of_account)
        for filtered in (language.clock(NOON), language.moment(NOON)):
            assert f"{shown}:00" in filtered
            assert 'title="2026-07-01T12:00:00.250Z"' in filtered


async def test_a_date_is_the_viewers(app: QuartTrio) -> None:
    late = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    async with app.test_request_context("/", headers={"Cookie": "earshot_zone=Europe/Berlin"}):
        assert "Jul 2, 2026" in language.day(late)


@pytest.mark.parametrize(("spoken", "city"), [("en", "Kolkata"), ("ru", "Калькутта"), ("fr", "Calcutta")])
async def test_a_zone_goes_by_its_city(app: QuartTrio, spoken: str, city: str) -> None:
    async with app.app_context():
        with language.speaking(spoken):
            assert language.zone_name("Asia/Kolkata") == f"{city} (UTC+05:30)"
            assert language.zone_name("America/Argentina/Buenos_Aires").endswith(" (UTC-03:00)")
            assert "/" not in language.zone_name("America/Argentina/Buenos_Aires")
            assert language.zone_name("UTC") == "UTC"
            assert language.zone_name("America/St_Johns").endswith(("(UTC-03:30)", "(UTC-02:30)"))


async def test_a_menu_of_zones_goes_from_west_to_east_and_names_each_place_once(app: QuartTrio) -> None:
    async with app.app_context():
        with language.speaking("fr"):
            offered = language.zones()
    names = [name for name, _ in offered]
    assert names.index("Pacific/Honolulu") < names.index("America/New_York") < names.index("Europe/Paris")
    assert len(set(names)) == len(names)
    assert set(names) <= language.ZONES


# Numbers


@pytest.mark.parametrize(
    ("count", "english", "french"),
    [
        (0, "0 bytes", "0 octet"),
        (999, "999 bytes", "999 octets"),
        (182_733, "182.7 kB", "182,7 ko"),
        (5e9, "5 GB", "5 Go"),
    ],
)
async def test_sizes_are_in_the_unit_that_people_read(app: QuartTrio, count: float, english: str, french: str) -> None:
    async with app.app_context():
        with language.speaking("en"):
            assert language.size(count) == english
        with language.speaking("fr"):
            assert language.size(count).replace("\xa0", " ").replace("\u202f", " ") == french


async def test_numbers_are_written_as_the_language_writes_them(app: QuartTrio) -> None:
    async with app.app_context():
        with language.speaking("es"):
            assert format_decimal(1234567.5) == "1.234.567,5"


def test_the_length_of_a_call_is_written_alike_everywhere() -> None:
    assert presentation.duration(3661) == "1:01:01"
