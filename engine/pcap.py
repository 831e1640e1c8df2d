"""Captures of UDP packets in the pcap format, as Wireshark, tshark and sipp read it: bytes out, nothing in.

    file   = FILE_HEADER | record*
    record = seconds (u32) | nanoseconds (u32) | length (u32) | length (u32) | Ethernet | IPv4 or IPv6 | UDP | payload

Sources: pcap's file format (draft-ietf-opsawg-pcap), RFC 791, RFC 8200, RFC 768, RFC 1071 (the checksum).

Not here: files, reading captures, and where the packets come from.
"""

import functools
import ipaddress
import struct
from typing import Final

from engine.errors import LocalProtocolError

# The magic that says: times in nanoseconds. The limit on a record's length is the largest that Wireshark accepts.
_MAGIC: Final = 0xA1B23C4D
_MAX_RECORD_BYTES: Final = 262_144
# Ethernet, though the frames' MAC addresses are zero: sipp plays no capture of bare IP packets.
_LINK_ETHERNET: Final = 1
FILE_HEADER: Final = struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _MAX_RECORD_BYTES, _LINK_ETHERNET)

_NS_PER_S: Final = 1_000_000_000
_HOPS: Final = 64
_PROTOCOL_UDP: Final = 17
_UDP_HEADER_BYTES: Final = 8
# What an IPv4 packet of 65,535 bytes leaves.
MAX_PAYLOAD_BYTES: Final = 65_507

_RECORD = struct.Struct("<IIII")
_UDP = struct.Struct("!HHHH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_ETHERNET_IPV4: Final = bytes(12) + b"\x08\x00"
_ETHERNET_IPV6: Final = bytes(12) + b"\x86\xdd"

Address = tuple[str, int]


def record(realtime_ns: int, source: Address, destination: Address, payload: bytes) -> bytes:
    """One UDP packet as a record that follows FILE_HEADER or another record.

    `realtime_ns` counts from 1970 (UTC); addresses are (IP address, port), both of one family.
    Raises `LocalProtocolError` for a payload above MAX_PAYLOAD_BYTES, for an address that is none, and for two of
    different families.
    """
    from_ip, to_ip = _packed(source[0]), _packed(destination[0])
    if len(from_ip) != len(to_ip):
        raise LocalProtocolError(f"A packet cannot go from {source[0]} to {destination[0]}: the families differ.")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(f"A payload of {len(payload)} bytes is more than UDP carries ({MAX_PAYLOAD_BYTES}).")
    length = _UDP_HEADER_BYTES + len(payload)
    pseudo = from_ip + to_ip + struct.pack("!II", length, _PROTOCOL_UDP)
    bare = _UDP.pack(source[1], destination[1], length, 0)
    # A sum of zero is sent as all ones: zero means that there is none (RFC 768).
    udp = _UDP.pack(source[1], destination[1], length, checksum(pseudo + bare + payload) or 0xFFFF)
    frame = (_ipv4 if len(from_ip) == 4 else _ipv6)(from_ip, to_ip, length) + udp + payload
    seconds, nanoseconds = divmod(realtime_ns, _NS_PER_S)
    return _RECORD.pack(seconds, nanoseconds, len(frame), len(frame)) + frame


def checksum(data: bytes) -> int:
    """The Internet checksum of `data`: the complement of its 16-bit ones' complement sum (RFC 1071)."""
    total = int.from_bytes(data + bytes(len(data) % 2), "big")
    # The sum of 16-bit digits with end-around carry is the remainder by 0xFFFF, and never zero unless all of it is.
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def _ipv4(source: bytes, destination: bytes, length: int) -> bytes:
    fields = (0x45, 0, _IPV4.size + length, 0, 0, _HOPS, _PROTOCOL_UDP)
    bare = _IPV4.pack(*fields, 0, source, destination)
    return _ETHERNET_IPV4 + _IPV4.pack(*fields, checksum(bare), source, destination)


def _ipv6(source: bytes, destination: bytes, length: int) -> bytes:
    return _ETHERNET_IPV6 + _IPV6.pack(6 << 28, length, _PROTOCOL_UDP, _HOPS, source, destination)


@functools.lru_cache(maxsize=1024)
def _packed(address: str) -> bytes:
    try:
        return ipaddress.ip_address(address).packed
    except ValueError as error:
        raise LocalProtocolError(f"{address!r} is no IP address.") from error
