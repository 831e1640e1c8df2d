"""Keys: the same archive key from one master key, data keys bound to their call, clear words for wrong ones."""

import pytest

from engine.keys import KeyRefused, archive_private_key, decode_key, encode_key, gateway_key, public_bytes, unwrap, wrap

MASTER = bytes(range(32))


def test_a_data_key_is_wrapped_for_one_call() -> None:
    private = archive_private_key(MASTER)
    wrapped = wrap(b"d" * 32, public_bytes(private), b"call 1")
    assert unwrap(wrapped, archive_private_key(MASTER), b"call 1") == b"d" * 32
    with pytest.raises(KeyRefused):
        unwrap(wrapped, private, b"call 2")
    with pytest.raises(KeyRefused):
        unwrap(wrapped, archive_private_key(b"x" * 32), b"call 1")
    with pytest.raises(KeyRefused):
        unwrap(b"short", private, b"call 1")


def test_the_gateways_key_is_its_own() -> None:
    assert gateway_key(MASTER) == gateway_key(MASTER)
    assert (
        len({MASTER, gateway_key(MASTER), gateway_key(b"x" * 32), archive_private_key(MASTER).private_bytes_raw()}) == 4
    )


def test_a_key_is_one_line_of_text() -> None:
    assert decode_key(encode_key(MASTER) + "\n") == MASTER
    with pytest.raises(KeyRefused, match="not base64"):
        decode_key("no key!")
    with pytest.raises(KeyRefused, match="has 3 bytes"):
        decode_key("AAAA")
