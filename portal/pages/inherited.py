"""What holds where somebody, a group or a tenant has no language or time zone of its own, in words.

Not here: where it comes from (the database resolves user > group > tenant > platform).
"""

from quart_babel import gettext

from portal import language
from schema.profiles import Inherited


def told_language(found: Inherited) -> str:
    """`Inherited from the group Support: Français`."""
    if found.source == "default":
        return gettext("Not set: the language of each browser holds")
    return _told(found, language.LANGUAGES.get(found.value, found.value))


def told_zone(found: Inherited) -> str:
    """`Inherited from the tenant Flexus: Berlin (UTC+01:00)`."""
    if found.source == "default":
        return gettext("Not set: the time zone of each browser holds")
    return _told(found, language.zone_name(found.value))


def own_language(own: str, found: Inherited) -> str:
    """The language that is set, else what is inherited."""
    return language.LANGUAGES.get(own) or told_language(found)


def own_zone(own: str, found: Inherited) -> str:
    """The time zone that is set, else what is inherited."""
    return language.zone_name(own) if own else told_zone(found)


def language_options() -> list[tuple[str, str]]:
    """What a select of languages offers: to inherit, and each language by its own name."""
    return [("", gettext("Inherited")), *language.LANGUAGES.items()]


def zone_options() -> list[tuple[str, str]]:
    """What a select of time zones offers: to inherit, and each zone from west to east."""
    return [("", gettext("Inherited")), *language.zones()]


def _told(found: Inherited, value: str) -> str:
    if found.source == "group":
        return gettext("Inherited from the group %(name)s: %(value)s", name=found.name, value=value)
    if found.source == "tenant":
        return gettext("Inherited from the tenant %(name)s: %(value)s", name=found.name, value=value)
    return gettext("Inherited from the platform: %(value)s", value=value)
