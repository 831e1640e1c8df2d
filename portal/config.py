"""What a portal must know, and what its pages reach for while they answer: `portal()`.

Not here: where the values come from (the `earshot` command), and what is done with them.
"""

from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quart import current_app

if TYPE_CHECKING:
    from portal.gateways import Gateways
    from portal.limits import Attempts
    from portal.memory import Memory
    from portal.passwords import Passwords

EXTENSION: Final = "earshot"
VERSION: Final = version("earshot")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalConfig:
    """What a portal is told. `public_url` is where people reach it through a proxy, empty where there is none; from
    `trusted_proxies` it is believed whom they speak for.

    `database_key`, `session_key` and `gateway_key` are 32 bytes each, made from the master key. `sip_bind` is where
    phone systems reach the engine: the empty list of calls tells it.
    """

    bind: tuple[str, int]
    database_url: str
    data_dir: Path
    database_key: bytes
    session_key: bytes
    gateway_key: bytes
    sip_bind: tuple[str, int] = ("0.0.0.0", 5060)  # noqa: S104 (a text to show, nothing is bound to it)
    public_url: str = ""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def encrypted(self) -> bool:
        """Whether browsers reach this portal by HTTPS."""
        return self.tls_cert is not None or self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True)
class Portal:
    """What lives as long as the portal's process: `portal()` gives it to whoever answers a request."""

    config: PortalConfig
    gateways: "Gateways"
    passwords: "Passwords"
    attempts: "Attempts"
    memory: "Memory"


def portal() -> Portal:
    """The portal that answers the current request."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Portal)  # noqa: S101 (for the type checker: `create_app` puts it there)
    return found
