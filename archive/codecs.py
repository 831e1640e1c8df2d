"""What the payloads of a stream are: a registry of decoders by encoding name, and the formats in force.

A further codec is one class with the three members of `Decoder` and one line in CODECS.

Not here: packets' places in time, concealment, mixing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine import g711
from engine.events import Codec, StreamsAgreed

Int64s = NDArray[np.int64]


class Decoder(Protocol):
    """One stream's decoder for one format. It is given packets in the order in which they are heard."""

    @property
    def rate_hz(self) -> int:
        """Samples a second of what `decode` returns (which may differ from the RTP clock's rate)."""

    def ticks(self, data: NDArray[np.uint8], starts: Int64s, lengths: Int64s) -> Int64s:
        """Durations (n,) on the RTP clock of the payloads at `starts` in `data`, without decoding them."""

    def decode(self, payloads: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Samples (packets, samples) of payloads (packets, bytes) of one length."""


@dataclass(frozen=True, slots=True)
class G711:
    """Mu-law or A-law: a byte is a sample (RFC 3551 section 4.5.14)."""

    table: Callable[[NDArray[np.uint8]], NDArray[np.int16]]
    rate_hz: int

    def ticks(self, data: NDArray[np.uint8], starts: Int64s, lengths: Int64s) -> Int64s:
        return lengths

    def decode(self, payloads: NDArray[np.uint8]) -> NDArray[np.int16]:
        return self.table(payloads)


CODECS: Final[dict[str, Callable[[Codec], Decoder]]] = {
    "PCMU": lambda codec: G711(g711.decode_ulaw, codec.rate_hz),
    "PCMA": lambda codec: G711(g711.decode_alaw, codec.rate_hz),
}
# What a payload type means where nobody says otherwise (RFC 3551 table 4): some phone systems send what was not agreed.
STATIC: Final = (Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000), Codec(13, "CN", 8000))
COMFORT_NOISE: Final = "CN"
TELEPHONE_EVENT: Final = "TELEPHONE-EVENT"


@dataclass(frozen=True, slots=True)
class Format:
    """What one payload type of a stream stands for. `decoder` is there for audio that we can decode."""

    codec: Codec
    kind: Literal["audio", "noise", "event", "unknown"]
    decoder: Decoder | None = None


class Formats:
    """The formats in force on each stream, as the agreements in the journal change them.

    A type that a later agreement no longer names keeps its meaning: packets under way still carry it.
    """

    __slots__ = ("_static", "_streams")

    def __init__(self) -> None:
        self._static = {codec.payload_type: codec for codec in STATIC}
        self._streams: dict[int, dict[int, Format]] = {}

    def agree(self, event: StreamsAgreed) -> None:
        """Takes an agreement into account."""
        for stream in event.streams:
            known = self._streams.setdefault(stream.index, {})
            for codec in stream.codecs:
                if codec.payload_type not in known or known[codec.payload_type].codec != codec:
                    known[codec.payload_type] = _format(codec)

    def get(self, stream: int, payload_type: int) -> Format | None:
        """The format of a payload type on a stream; None where nobody knows it."""
        known = self._streams.setdefault(stream, {})
        if payload_type not in known and payload_type in self._static:
            known[payload_type] = _format(self._static[payload_type])
        return known.get(payload_type)


def _format(codec: Codec) -> Format:
    name = codec.name.upper()
    if name == COMFORT_NOISE:
        return Format(codec, "noise")
    if name == TELEPHONE_EVENT:
        return Format(codec, "event")
    if name in CODECS and codec.channels == 1 and codec.rate_hz > 0:
        return Format(codec, "audio", CODECS[name](codec))
    return Format(codec, "unknown")
