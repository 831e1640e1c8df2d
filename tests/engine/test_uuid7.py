"""Ids that sort by time."""

from engine.uuid7 import uuid7


def test_version_variant_and_time() -> None:
    made = uuid7(1_700_000_000_123_456_789, b"\xff" * 10)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_700_000_000_123


def test_later_ids_are_greater() -> None:
    assert uuid7(2_000_000, b"\xff" * 10) < uuid7(3_000_000, b"\x00" * 10)
