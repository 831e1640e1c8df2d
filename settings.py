"""The settings: one table, read from the environment (EARSHOT_*) and from earshot.toml.

The environment wins over the file. `docs/settings.md` shows the same table; a test holds the two together.

What must not be here: what a setting does. The houses (engine, actors, archive ...) never import this module; the
`earshot` command hands each process a configuration value of its own. Nothing is read when this module is imported.
"""

import difflib
import ipaddress
import math
import os
import re
import socket
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SecretBytes,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from engine.keys import KeyRefused, decode_key

PREFIX: Final = "EARSHOT_"
CONFIG_VARIABLE: Final = "EARSHOT_CONFIG"
CONFIG_FILE: Final = "earshot.toml"

# Linux gives out ports from 32768 on to whoever asks for none in particular: a media port there may be taken already.
FIRST_EPHEMERAL_PORT: Final = 32768
# Below these the system's own services live, and binding needs privileges.
FIRST_FREE_PORT: Final = 1024
# Settings whose value is never shown.
SECRETS: Final = frozenset({"master_key", "database_url"})
# A call has two streams, and each stream two ports (RTP and RTCP).
PORTS_PER_CALL: Final = 4

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """The settings are wrong. Its text is for the user: a sentence for each wrong one, a line each."""


def _bind(given: object) -> tuple[str, int]:
    """`address:port` or `[address]:port` as the pair that sockets take."""
    found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):(\d{1,5})", given.strip() if isinstance(given, str) else "")
    if found is None or int(found[3]) > 65535:
        raise ValueError("must be an address and a port, such as 0.0.0.0:5060 or [::]:5060")
    try:
        host = ipaddress.IPv6Address(found[1]) if found[2] is None else ipaddress.IPv4Address(found[2])
    except ValueError as error:
        raise ValueError(
            "must begin with an IP address of this machine (IPv6 in brackets), such as 0.0.0.0:5060 or [::]:5060"
        ) from error
    return str(host), int(found[3])


def _any_networks(given: object) -> tuple[Network, ...]:
    """Addresses and networks from a comma-separated text, or from a list of texts; none at all are fine."""
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a list of addresses and networks, such as 192.0.2.10, 10.0.0.0/8")
    networks: list[Network] = []
    for text in (text.strip() for text in texts):
        if not text:
            continue
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"must hold addresses and networks, such as 192.0.2.10 or 10.0.0.0/8; {error}") from error
    return tuple(networks)


def _networks(given: object) -> tuple[Network, ...]:
    """The same, but at least one."""
    networks = _any_networks(given)
    if not networks:
        raise ValueError("must name at least one address or network: with none, every call would be refused")
    return networks


def _media_address(given: object) -> str:
    """An address that a phone system can send to, or the empty text."""
    text = given.strip() if isinstance(given, str) else None
    if text == "":
        return ""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError as error:
        raise ValueError("must be an IP address, such as 192.0.2.20, or empty") from error
    if address.is_unspecified or address.is_multicast:
        raise ValueError(
            "must be an address that phone systems can send to (0.0.0.0 would tell them to hold), or empty"
        )
    return str(address)


def _ports(given: object) -> range:
    """`first-last` as a range of ports that begins with an even one and holds whole pairs."""
    found = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", given if isinstance(given, str) else "")
    if found is None:
        raise ValueError("must be the first and the last port, such as 10000-29999")
    ports = range(int(found[1]), int(found[2]) + 1)
    if ports.start < FIRST_FREE_PORT or ports.stop > FIRST_EPHEMERAL_PORT:
        raise ValueError(f"must lie between {FIRST_FREE_PORT} and {FIRST_EPHEMERAL_PORT - 1}, such as 10000-29999")
    if ports.start % 2 or len(ports) % 2 or len(ports) < PORTS_PER_CALL:
        raise ValueError(
            f"must begin with an even port, end with an odd one, and hold {PORTS_PER_CALL} or more, such as 10000-29999"
        )
    return ports


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _url(given: object, schemes: tuple[str, ...], example: str) -> str:
    """A URL of a host, and perhaps a port; the empty text stays empty."""
    text = given.strip().rstrip("/") if isinstance(given, str) else None
    if text == "":
        return ""
    try:
        parts = urlsplit(text or "")
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if text is None or not fits or parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(f"must be an address such as {example}, or empty")
    return text


def _gateway_url(given: object) -> str:
    return _url(given, ("ws", "wss"), "wss://recorder-1.example.com:5065")


def _public_url(given: object) -> str:
    return _url(given, ("http", "https"), "https://calls.example.com")


def _database_url(given: object) -> SecretStr:
    """A database's URL: a secret, since it may hold a password."""
    text = given.strip() if isinstance(given, str) else None
    if text is None or not re.fullmatch(r"|sqlite:///.+|postgres(ql)?://[^/]+/[^/]+", text) or not _is_url(text):
        raise ValueError(
            "must be sqlite:///path/to/file or postgresql://user:password@host:5432/name, or empty "
            "(sqlite:////var/lib/... names a path from the root)"
        )
    return SecretStr(text)


def _is_url(text: str) -> bool:
    """Whether it is text, and its port, where it has one, is a port."""
    try:
        return text.isprintable() and urlsplit(text).port != 0
    except ValueError:
        return False


def _master_key(given: object) -> SecretBytes:
    try:
        return SecretBytes(decode_key(str(given)))
    except KeyRefused as error:
        raise ValueError("must be 32 bytes in base64, such as `openssl rand -base64 32` prints") from error


def _path(given: object) -> Path:
    if isinstance(given, Path):
        return given
    if not isinstance(given, str) or not given.strip():
        raise ValueError("must be the path of a file or folder in quotes, such as '/var/lib/earshot'")
    return Path(given)


def _number(given: object) -> object:
    """A number, or a text that may be one; truth values are none, though Python counts them as such."""
    try:
        if not isinstance(given, bool) and not (isinstance(given, float | str) and math.isnan(float(given))):
            return given
    except ValueError:  # a text that is no number: what kind is wanted, its field says
        return given
    raise ValueError("must be a number, such as 10")


Whole = Annotated[int, BeforeValidator(_number)]
Seconds = Annotated[float, BeforeValidator(_number)]


def _lower(given: object) -> object:
    return given.strip().lower() if isinstance(given, str) else given


def _node(given: object) -> str:
    """A node's name; the empty text stands for the host's."""
    name = given or socket.gethostname()
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise ValueError("must be up to 63 letters, digits, dots, dashes and underscores, such as recorder-1")
    return name


def _setting(default: str | float | None, meaning: str, *, ge: int | None = None, le: int | None = None) -> Any:
    """A setting whose default is given as a user would write it, and is checked like anything a user writes."""
    return Field(default, description=meaning, ge=ge, le=le)


class Settings(BaseSettings):
    """All settings, checked. Each field's description is its line in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, validate_default=True
    )

    data_dir: Annotated[Path, PlainValidator(_path)] = _setting(
        "data", "Everything Earshot writes lies below this folder."
    )
    sip_bind: Annotated[tuple[str, int], NoDecode, PlainValidator(_bind)] = _setting(
        "0.0.0.0:5060", "Address and port on which phone systems reach Earshot by SIP, over UDP and TCP."
    )
    sip_allow: Annotated[tuple[Network, ...], NoDecode, PlainValidator(_networks)] = _setting(
        "127.0.0.0/8, ::1",
        "Addresses and networks that may send calls, separated by commas; all others get a 403.",
    )
    media_address: Annotated[str, PlainValidator(_media_address)] = _setting(
        "",
        "Address that phone systems are told to send audio to. Empty: the one of this machine from which "
        "they are reached. Set it behind NAT.",
    )
    rtp_ports: Annotated[range, NoDecode, PlainValidator(_ports)] = _setting(
        "10000-29999", "UDP ports for audio, first to last; four for each call. All below 32768."
    )
    gateway_bind: Annotated[tuple[str, int], NoDecode, PlainValidator(_bind)] = _setting(
        "127.0.0.1:5065",
        "Address and port of the engine's live gateway, which portals alone talk to. Off loopback it needs "
        "`gateway_tls_cert` and `gateway_tls_key`.",
    )
    gateway_url: Annotated[str, PlainValidator(_gateway_url)] = _setting(
        "",
        "Where portals on other machines reach this engine's gateway, such as `wss://recorder-1.example.com:5065`. "
        "Empty: at `gateway_bind`.",
    )
    gateway_tls_cert: Annotated[Path, PlainValidator(_path)] | None = _setting(
        None, "Certificate of the gateway (PEM, with its chain). Portals trust it as it is, or by its authority."
    )
    gateway_tls_key: Annotated[Path, PlainValidator(_path)] | None = _setting(
        None, "Private key of the gateway's certificate (PEM)."
    )
    database_url: Annotated[SecretStr, PlainValidator(_database_url)] = _setting(
        "",
        "The database: `sqlite:///path/to/file` or `postgresql://user:password@host:5432/name`. Empty: "
        "`earshot.sqlite` below `data_dir`.",
    )
    portal_bind: Annotated[tuple[str, int], NoDecode, PlainValidator(_bind)] = _setting(
        "127.0.0.1:8080", "Address and port of the web portal and its API."
    )
    tls_cert: Annotated[Path, PlainValidator(_path)] | None = _setting(
        None,
        "Certificate of the portal (PEM, with its chain); with `tls_key` it speaks HTTPS. Browsers play live calls "
        "over HTTPS or from localhost only.",
    )
    tls_key: Annotated[Path, PlainValidator(_path)] | None = _setting(
        None, "Private key of the portal's certificate (PEM)."
    )
    public_url: Annotated[str, PlainValidator(_public_url)] = _setting(
        "",
        "Where people reach the portal, such as `https://calls.example.com`, where a web proxy stands in front of it. "
        "Empty: at `portal_bind`.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, PlainValidator(_any_networks)] = _setting(
        "127.0.0.0/8, ::1",
        "Addresses and networks of web proxies in front of the portal, separated by commas: only from them does "
        "`X-Forwarded-For` say who a browser is.",
    )
    master_key_file: Annotated[Path, PlainValidator(_path)] = _setting(
        "",
        "File of the master key, for which the keys of journals are sealed: without it nobody can read them. "
        "Its mode must be 0600; keep a copy elsewhere. Empty: `keys/master.key` below `data_dir`.",
    )
    master_key: Annotated[SecretBytes, PlainValidator(_master_key)] | None = _setting(
        None,
        "The master key itself, 32 bytes in base64, instead of the file. From the environment only.",
    )
    engine_grace_s: Seconds = _setting(
        10,
        "Seconds that running calls may go on after the engine was asked to stop; then they are sealed.",
        ge=0,
        le=86_400,
    )
    lost_after_s: Seconds = _setting(
        300,
        "Seconds without audio or a request after which a phone system is asked whether it still lives. "
        "A call of one that does not answer ends as lost.",
        ge=10,
        le=86_400,
    )
    archive_grace_s: Seconds = _setting(
        20,
        "Seconds that the archive may go on with the recording in hand after it was asked to stop. What it "
        "leaves is made at the next start.",
        ge=0,
        le=86_400,
    )
    max_calls: Whole = _setting(
        0, "Calls recorded at a time; further ones get a 503. 0: as many as descriptors and ports allow.", ge=0
    )
    min_free_mb: Whole = _setting(
        512, "Megabytes free on the disk of `data_dir` below which new calls get a 503; running ones go on.", ge=0
    )
    audio_format: Annotated[Literal["opus", "wav", "flac", "mp3"], BeforeValidator(_lower)] = _setting(
        "opus", "Format of finished recordings: `opus`, `wav`, `flac` or `mp3`."
    )
    opus_bitrate_kbit: Whole = _setting(24, "Bit rate of Opus, in kbit/s for both sides together.", ge=6, le=256)
    opus_complexity: Whole = _setting(5, "Effort of the Opus encoder: 0 is the fastest, 10 sounds best.", ge=0, le=10)
    pause_policy: Annotated[Literal["silence", "tone", "skip"], BeforeValidator(_lower)] = _setting(
        "silence", "What a recording plays while it was paused: `silence`, a `tone`, or nothing (`skip`)."
    )
    finisher_threads: Whole = _setting(1, "Recordings finished at the same time, one thread each.", ge=1, le=64)
    node: Annotated[str, PlainValidator(_node)] = _setting(
        "",
        "Name of this engine in calls and logs. It must be unique among those that share a database: two of one "
        "name would mark each other's calls as lost. Empty: the host's name.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = _setting(
        "info", "Least weight of what is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: Annotated[Literal["auto", "json", "text"], BeforeValidator(_lower)] = _setting(
        "auto", "`json` (a line each), `text` (for people), or `auto`: text on a terminal, JSON elsewhere."
    )

    @field_validator("master_key_file", mode="before")
    @classmethod
    def _below_the_data(cls, given: object, others: ValidationInfo) -> object:
        return Path(others.data.get("data_dir", "data"), "keys", "master.key") if given == "" else given

    @field_validator("master_key_file")
    @classmethod
    def _readable_by_its_owner_only(cls, path: Path) -> Path:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return path  # who needs the key says so, or makes one
        except OSError as error:
            raise ValueError(f"must be a file that can be read; {path}: {error.strerror}") from error
        if stat.S_ISREG(found.st_mode) and (mode := stat.S_IMODE(found.st_mode)) & 0o077:
            raise ValueError(
                f"must be a file that nobody but its owner may read; its mode is {mode:04o}: run `chmod 600 {path}`"
            )
        return path

    @field_validator("database_url")
    @classmethod
    def _embedded_below_the_data(cls, given: SecretStr, others: ValidationInfo) -> SecretStr:
        if given.get_secret_value():
            return given
        return SecretStr(f"sqlite:///{Path(others.data.get('data_dir', 'data'), 'earshot.sqlite')}")

    @field_validator("tls_key", "gateway_tls_key")
    @classmethod
    def _a_pair(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        name = str(others.field_name).replace("key", "cert")
        certificate = others.data.get(name)
        if key is None and certificate is not None:
            raise ValueError(f"must be set, since `{name}` is: a certificate is of no use without its key")
        if key is not None and certificate is None:
            raise ValueError(f"must go with a certificate: `{name}` is not set")
        for path in (certificate, key):
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"must be set to files that can be read; {path} cannot")
        bind = others.data.get("gateway_bind")
        if others.field_name == "gateway_tls_key" and key is None and bind is not None and not _is_loopback(bind[0]):
            raise ValueError(
                f"must be set, and `{name}` too, where `gateway_bind` is not loopback: live audio leaves this machine "
                f"at {bind[0]}"
            )
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())


def config_file() -> Path:
    """The settings file: what EARSHOT_CONFIG names, else `earshot.toml` in the working directory."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE)


def environment_name(setting: str) -> str:
    return PREFIX + setting.upper()


def load() -> Settings:
    """Reads the settings from the environment and the settings file.

    Errors: SettingsError, with a sentence for each wrong setting: which, what was given, what would be right.
    """
    path = config_file()
    in_file = _read(path)
    complaints = [_unknown(key, path) for key in in_file if key not in Settings.model_fields]
    if "master_key" in in_file:
        complaints.append(
            f"master_key stands in {path}: it may only come from the environment ({environment_name('master_key')}); "
            "a settings file is no place for a secret. Take the line out, or use master_key_file."
        )
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if str(detail["loc"][0]) in Settings.model_fields]
        complaints += [_complaint(detail, path, in_file) for detail in wrong]
    if complaints:
        raise SettingsError("\n".join(complaints))
    return settings


def misspelt() -> dict[str, str]:
    """Variables of the environment that begin as a setting's does and are none, each with the closest one's name."""
    known = [*map(environment_name, Settings.model_fields), CONFIG_VARIABLE]
    strangers = [name for name in sorted(os.environ) if name.upper().startswith(PREFIX) and name.upper() not in known]
    return {name: difflib.get_close_matches(name.upper(), known, 1, cutoff=0)[0] for name in strangers}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get(CONFIG_VARIABLE):
            raise SettingsError(f"{CONFIG_VARIABLE} names {path}, but there is no such file.") from None
        return {}
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error


def _unknown(key: str, path: Path) -> str:
    return f"{path} sets {key}, but there is no such setting. There are: {', '.join(Settings.model_fields)}."


def _complaint(detail: ErrorDetails, path: Path, in_file: dict[str, Any]) -> str:
    """A sentence about one wrong value. A secret's value is never shown."""
    name = str(detail["loc"][0])
    variable = environment_name(name)
    if os.environ.get(variable):
        source = f"from {variable}"
    else:
        source = f"in {path}" if name in in_file else f"the default; {variable} sets another"
        source = f"{variable} sets it" if detail["input"] is None else source
    value = detail["input"]
    given = "wrong" if name in SECRETS else "not set" if value is None else repr(str(value))
    if detail["type"] == "value_error":
        rule = str(detail["ctx"]["error"])
    else:
        rule = detail["msg"].replace("Input should", "must").replace("Input is not", "must be").split(", unable")[0]
    return f"{name} is {given} ({source}): it {rule}."
