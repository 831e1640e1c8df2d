"""The settings: the documented table is the model's, and a wrong value is answered with a sentence."""

import base64
import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import settings
from settings import Settings, SettingsError, environment_name

DOCUMENT = Path(settings.__file__).parent / "docs" / "settings.md"
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaints() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value).splitlines()


def table() -> str:
    lines = ["| setting | in the environment | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", None) else f"`{field.default}`"
        lines.append(f"| `{name}` | `{environment_name(name)}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_documented_table_is_the_one_in_force() -> None:
    found = re.search(r"^\|.*?(?=\n\n|\Z)", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    assert found[0].strip() == table()


def test_defaults_need_no_file_and_no_environment() -> None:
    found = settings.load()
    assert found.sip_bind == ("0.0.0.0", 5060)
    assert found.sip_allow == (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert found.rtp_ports == range(10000, 30000)
    assert found.master_key_file == Path("data/keys/master.key")
    assert found.master_key is None
    assert found.node


def test_the_environment_wins_over_the_file(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / "earshot.toml").write_text(
        'sip_bind = "[::]:5070"\nsip_allow = ["192.0.2.10", "2001:db8::/32"]\nmax_calls = 7\n'
    )
    monkeypatch.setenv("EARSHOT_MAX_CALLS", "9")
    found = settings.load()
    assert found.sip_bind == ("::", 5070)
    assert found.sip_allow == (ip_network("192.0.2.10"), ip_network("2001:db8::/32"))
    assert found.max_calls == 9


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_SIP_ALLOW", "192.0.2.0/24,198.51.100.7 , 2001:db8::1")
    expected = (ip_network("192.0.2.0/24"), ip_network("198.51.100.7"), ip_network("2001:db8::1"))
    assert settings.load().sip_allow == expected


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_SIP_BIND", "")
    assert settings.load().sip_bind == ("0.0.0.0", 5060)


def test_another_file_can_be_named(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / "earshot.toml").write_text("max_calls = 1\n")
    (working_directory / "other.toml").write_text("max_calls = 2\n")
    monkeypatch.setenv("EARSHOT_CONFIG", str(working_directory / "other.toml"))
    assert settings.load().max_calls == 2


def test_a_named_file_that_is_missing_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_CONFIG", "nowhere.toml")
    assert complaints() == ["EARSHOT_CONFIG names nowhere.toml, but there is no such file."]


def test_an_unknown_key_in_the_file_is_named_with_those_that_exist(working_directory: Path) -> None:
    (working_directory / "earshot.toml").write_text('sip_binds = "0.0.0.0:5060"\n')
    (complaint,) = complaints()
    assert complaint.startswith("earshot.toml sets sip_binds, but there is no such setting.")
    assert " sip_bind, " in complaint


def test_a_broken_file_is_named_with_its_line(working_directory: Path) -> None:
    (working_directory / "earshot.toml").write_text('node = "a"\nmax_calls 7\n')
    (complaint,) = complaints()
    assert complaint.startswith("The settings file earshot.toml is not valid TOML: ")
    assert "line 2" in complaint


def test_all_wrong_values_are_listed_at_once(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / "earshot.toml").write_text('audio_format = "ogg"\nnonsense = 1\n')
    monkeypatch.setenv("EARSHOT_MAX_CALLS", "many")
    assert [line.split(" ")[0] for line in complaints()] == ["earshot.toml", "max_calls", "audio_format"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("sip_bind", "5060", "must be an address and a port, such as 0.0.0.0:5060"),
        ("sip_bind", "0.0.0.0:99999", "must be an address and a port"),
        ("sip_bind", "localhost:5060", "must begin with an IP address of this machine"),
        ("sip_bind", "[127.0.0.1]:5060", "must begin with an IP address of this machine"),
        ("sip_allow", "example.org", "must hold addresses and networks"),
        ("sip_allow", "10.1.2.3/8", "10.1.2.3/8 has host bits set"),
        ("sip_allow", " , ", "must name at least one address or network"),
        ("media_address", "recorder.example.org", "must be an IP address, such as 192.0.2.20"),
        ("media_address", "0.0.0.0", "must be an address that phone systems can send to"),
        ("rtp_ports", "10000", "must be the first and the last port, such as 10000-29999"),
        ("rtp_ports", "30000-40000", "must lie between 1024 and 32767"),
        ("rtp_ports", "10001-20000", "must begin with an even port"),
        ("rtp_ports", "10000-10001", "must begin with an even port, end with an odd one, and hold 4 or more"),
        ("gateway_bind", "here", "must be an address and a port"),
        ("engine_grace_s", "-1", "must be greater than or equal to 0"),
        ("engine_grace_s", "nan", "must be a number, such as 10."),
        ("engine_grace_s", "inf", "must be less than or equal to 86400"),
        ("archive_grace_s", "soon", "must be a valid number"),
        ("max_calls", "-1", "must be greater than or equal to 0"),
        ("min_free_mb", "1.5", "must be a valid integer"),
        ("audio_format", "ogg", "must be 'opus', 'wav', 'flac' or 'mp3'"),
        ("opus_bitrate_kbit", "1000", "must be less than or equal to 256"),
        ("opus_complexity", "11", "must be less than or equal to 10"),
        ("pause_policy", "beep", "must be 'silence', 'tone' or 'skip'"),
        ("finisher_threads", "0", "must be greater than or equal to 1"),
        ("node", "a b", "must be up to 63 letters, digits"),
        ("log_level", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "must be 'auto', 'json' or 'text'"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment_name(name), value)
    (complaint,) = complaints()
    assert complaint.startswith(f"{name} is {value!r} (from {environment_name(name)}): it must ")
    assert sentence in complaint


def test_a_wrong_value_in_the_file_names_the_file(working_directory: Path) -> None:
    (working_directory / "earshot.toml").write_text("rtp_ports = 10000\n")
    assert complaints() == [
        "rtp_ports is '10000' (in earshot.toml): it must be the first and the last port, such as 10000-29999."
    ]


@pytest.mark.parametrize(
    ("line", "given", "rule"),
    [
        ("max_calls = true", "True", "a number, such as 10"),
        ("engine_grace_s = false", "False", "a number, such as 10"),
        ("engine_grace_s = nan", "nan", "a number, such as 10"),
        ("data_dir = 7", "7", "the path of a file or folder in quotes, such as '/var/lib/earshot'"),
        ('data_dir = ""', "", "the path of a file or folder in quotes, such as '/var/lib/earshot'"),
        ("master_key_file = 7", "7", "the path of a file or folder in quotes, such as '/var/lib/earshot'"),
    ],
)
def test_a_value_of_another_kind_is_answered_in_plain_words(
    line: str, given: str, rule: str, working_directory: Path
) -> None:
    (working_directory / "earshot.toml").write_text(line)
    assert complaints() == [f"{line.split()[0]} is {given!r} (in earshot.toml): it must be {rule}."]


def test_variables_that_are_no_setting_are_named_with_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_CONFIG", "")
    monkeypatch.setenv("EARSHOT_MAX_CALLS", "7")
    monkeypatch.setenv("earshot_sip_bind", "0.0.0.0:5060")  # case does not matter
    assert settings.misspelt() == {}
    monkeypatch.setenv("EARSHOT_MASTERKEY_FILE", "key")
    monkeypatch.setenv("EARSHOT_DATA", "")
    monkeypatch.setenv("EARSHOT_XYZZY", "1")
    found = settings.misspelt()
    assert found.keys() == {"EARSHOT_MASTERKEY_FILE", "EARSHOT_DATA", "EARSHOT_XYZZY"}
    assert found["EARSHOT_MASTERKEY_FILE"] == "EARSHOT_MASTER_KEY_FILE"
    assert found["EARSHOT_DATA"] == "EARSHOT_DATA_DIR"


def test_the_master_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_MASTER_KEY", base64.b64encode(KEY).decode())
    found = settings.load()
    assert found.master_key is not None
    assert found.master_key.get_secret_value() == KEY
    assert base64.b64encode(KEY).decode() not in repr(found)


def test_a_wrong_master_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_MASTER_KEY", "c2VjcmV0")
    (complaint,) = complaints()
    assert "c2VjcmV0" not in complaint
    assert "master_key is wrong (from EARSHOT_MASTER_KEY): it must be 32 bytes in base64" in complaint


def test_the_file_is_no_place_for_the_master_key(working_directory: Path) -> None:
    (working_directory / "earshot.toml").write_text(f'master_key = "{base64.b64encode(KEY).decode()}"\n')
    (complaint,) = complaints()
    assert complaint.startswith("master_key stands in earshot.toml: it may only come from the environment")


def test_the_master_key_lies_below_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_DATA_DIR", "/srv/earshot")
    assert settings.load().master_key_file == Path("/srv/earshot/keys/master.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_master_key_that_others_may_read_stops_the_start(
    mode: int, working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = working_directory / "master.key"
    file.write_bytes(KEY)
    file.chmod(mode)
    monkeypatch.setenv("EARSHOT_MASTER_KEY_FILE", str(file))
    (complaint,) = complaints()
    assert f"its mode is {mode:04o}: run `chmod 600 {file}`" in complaint
    file.chmod(0o600)
    assert settings.load().master_key_file == file


def test_a_master_key_that_nobody_can_get_at_stops_the_start(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = working_directory / ("k" * 300)
    monkeypatch.setenv("EARSHOT_MASTER_KEY_FILE", str(path))
    (complaint,) = complaints()
    assert complaint.endswith(f"it must be a file that can be read; {path}: File name too long.")


@pytest.mark.parametrize(
    ("given", "wrong", "also"),
    [
        ({"gateway_bind": "192.0.2.1:5065"}, "gateway_tls_key is not set", "gateway_tls_cert"),
        ({"gateway_tls_cert": "c.pem"}, "gateway_tls_key is not set", "gateway_tls_cert"),
        ({"gateway_tls_key": "k.pem"}, "gateway_tls_key is 'k.pem'", "gateway_tls_cert"),
        ({"tls_cert": "c.pem"}, "tls_key is not set (EARSHOT_TLS_KEY sets it)", "tls_cert"),
        ({"tls_key": "k.pem"}, "tls_key is 'k.pem'", "tls_cert"),
    ],
)
def test_half_a_certificate_is_told_with_both_halves(
    given: dict[str, str], wrong: str, also: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(environment_name(name), value)
    (complaint,) = complaints()
    assert complaint.startswith(wrong)
    assert f"`{also}`" in complaint
    assert "None" not in complaint


def test_no_proxy_may_be_trusted(working_directory: Path) -> None:
    assert settings.load().trusted_proxies == (ip_network("127.0.0.0/8"), ip_network("::1"))
    (working_directory / "earshot.toml").write_text("trusted_proxies = []\n")
    assert settings.load().trusted_proxies == ()


@given(st.text())
def test_any_text_is_a_value_or_a_sentence(value: str) -> None:
    readers = (
        settings._bind,
        settings._networks,
        settings._media_address,
        settings._ports,
        settings._node,
        settings._path,
        settings._number,
    )
    for read in readers:
        try:
            read(value)
            sentence = "must "
        except ValueError as error:
            sentence = str(error)
        assert sentence.startswith("must ")
