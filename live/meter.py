"""The level of each side of a call, from what its packets hold: a table's look-up, no decoder.

Only G.711 has such a table. Payloads are put aside as they come, and looked up ten times a second; while a call is
paused none come, and what was put aside before is forgotten.

Not here: who asks (`peer.py`), how levels are shown.
"""

import struct
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from engine import g711
from engine.call import CallState
from engine.errors import RemoteProtocolError
from engine.events import AnyEvent, Codec, Stream
from engine.rtp import HEADER_BYTES, parse

FLOOR_DBFS: Final = -90.0
# A side that sent nothing for so long is silent: what it sent last is no level any more. Longer than a round of the
# sweep, so that a meter does not flicker while its call is visited but once a round.
STALE_NS: Final = 250_000_000
# Payloads put aside for a reader that does not come; ten a second read some tens of packets each.
MOST_WAITING: Final = 500
# What a payload type means where nobody says otherwise (RFC 3551 table 4).
STATIC: Final = {0: "PCMU", 8: "PCMA"}

_ROW: Final = struct.Struct("<IIHHHH")  # as `engine.journal.ROW`
_PLAIN: Final = 0x80  # version 2, no padding, no extension, no contributing sources

Levels = tuple[float | None, float | None]
Channel = Literal[0, 1]


def _squares(table: NDArray[np.int16]) -> NDArray[np.float64]:
    return (table.astype(np.float64) / 32768) ** 2


_ALL_CODES: Final = np.arange(256, dtype=np.uint8)
_SQUARES: Final = {
    "PCMU": _squares(g711.decode_ulaw(_ALL_CODES)),
    "PCMA": _squares(g711.decode_alaw(_ALL_CODES)),
}


class Meter:
    """A tap that measures. `read` gives the levels since it was read last."""

    often = False
    __slots__ = ("_formats", "_heard_ns", "_levels", "_paused", "_sides", "_waiting")

    def __init__(self, state: CallState) -> None:
        self._formats: dict[int, dict[int, str]] = {}
        self._sides: dict[int, tuple[Channel, ...]] = {}
        self._waiting: dict[tuple[Channel, str], list[bytes]] = {}
        self._heard_ns: list[int | None] = [None, None]
        self._levels: list[float | None] = [None, None]
        self._paused = state.paused
        self._agree(state.streams)

    def take(
        self, rows: int, headers: bytes | memoryview, packets: bytes | memoryview, realtime_ns: int, monotonic_ns: int
    ) -> None:
        """Put the payloads of a visit aside."""
        at = 0
        for _, _, stream, length, _, _ in _ROW.iter_unpack(headers):
            packet = bytes(packets[at : at + length])
            at += length
            if length <= HEADER_BYTES:
                continue
            name = self._formats.get(stream, STATIC).get(packet[1] & 0x7F)
            if name is None:
                continue
            payload = packet[HEADER_BYTES:] if packet[0] == _PLAIN else _payload(packet)
            for channel in self._sides.get(stream, ()):
                waiting = self._waiting.setdefault((channel, name), [])
                if len(waiting) < MOST_WAITING:
                    waiting.append(payload)
                self._heard_ns[channel] = monotonic_ns

    def tell(self, event: AnyEvent, state: CallState) -> None:
        """Formats and sides may have changed, or a pause begun."""
        self._paused = state.paused or state.ended is not None
        if self._paused:
            self._forget()
        self._agree(state.streams)

    def close(self) -> None:
        """The call is over."""
        self._paused = True
        self._forget()

    def read(self, now_ns: int) -> Levels | None:
        """dBFS (RMS, -90 to 0) of caller and callee; None while paused, for a side None before its first packet."""
        if self._paused:
            return None
        for channel in (0, 1):
            heard = self._heard_ns[channel]
            parts = [
                _SQUARES[name].take(np.frombuffer(b"".join(waiting), np.uint8))
                for (of, name), waiting in self._waiting.items()
                if of == channel
            ]
            if parts:
                self._levels[channel] = _dbfs(parts)
            elif heard is not None and now_ns - heard > STALE_NS:
                self._levels[channel] = FLOOR_DBFS
        self._waiting = {}
        return self._levels[0], self._levels[1]

    def _forget(self) -> None:
        self._waiting = {}
        self._levels = [None, None]
        self._heard_ns = [None, None]

    def _agree(self, streams: tuple[Stream, ...]) -> None:
        self._sides = {stream.index: _CHANNELS[stream.side] for stream in streams}
        self._formats = {stream.index: _formats(stream.codecs) for stream in streams}


_CHANNELS: Final[dict[str, tuple[Channel, ...]]] = {"caller": (0,), "callee": (1,), "both": (0, 1)}


def _formats(codecs: Iterable[Codec]) -> dict[int, str]:
    """Which payload types are G.711."""
    agreed = {codec.payload_type: codec.name.upper() for codec in codecs}
    return {number: name for number, name in {**STATIC, **agreed}.items() if name in _SQUARES}


def _payload(packet: bytes) -> bytes:
    try:
        return parse(packet).payload
    except RemoteProtocolError:
        return b""


def _dbfs(squares: list[NDArray[np.float64]]) -> float:
    """The level of some samples' squares, relative to full scale."""
    count = sum(map(len, squares))
    power = sum(float(each.sum()) for each in squares) / count if count else 0.0
    return max(FLOOR_DBFS, round(10 * float(np.log10(power)), 1)) if power > 0 else FLOOR_DBFS
