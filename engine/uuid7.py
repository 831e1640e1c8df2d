"""UUID version 7 (RFC 9562 section 5.7): ids that sort by the time they were made. Python 3.11 has none."""

from uuid import UUID


def uuid7(realtime_ns: int, randomness: bytes) -> UUID:
    """An id for this moment. `randomness`: 10 bytes, of which 74 bits are used."""
    milliseconds = realtime_ns // 1_000_000 & (1 << 48) - 1
    value = milliseconds << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
