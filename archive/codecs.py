"""What the payloads of a stream are: a registry of decoders by encoding name, and the formats in force.

A further codec is one class with the three members of `Decoder` and one line in CODECS. All there are so far decode to
8,000 samples a second; the first that does not brings a resampler into `track.py`, in front of the mix.

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

G711_RATE_HZ: Final = 8000
# What an offer may say is the peer's business; a clock beyond this is none.
MAX_RATE_HZ: Final = 192_000


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
    rate_hz: int = G711_RATE_HZ

    def ticks(self, data: NDArray[np.uint8], starts: Int64s, lengths: Int64s) -> Int64s:
        return lengths

    def decode(self, payloads: NDArray[np.uint8]) -> NDArray[np.int16]:
        return self.table(payloads)


CODECS: Final[dict[str, Callable[[Codec], Decoder | None]]] = {
    "PCMU": lambda codec: G711(g711.decode_ulaw) if _is_telephony(codec) else None,
    "PCMA": lambda codec: G711(g711.decode_alaw) if _is_telephony(codec) else None,
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
    if not 0 < codec.rate_hz <= MAX_RATE_HZ:
        return Format(codec, "unknown")
    if name == COMFORT_NOISE:
        return Format(codec, "noise")
    if name == TELEPHONE_EVENT:
        return Format(codec, "event")
    decoder = CODECS[name](codec) if name in CODECS else None
    return Format(codec, "unknown" if decoder is None else "audio", decoder)


def _is_telephony(codec: Codec) -> bool:
    return codec.rate_hz == G711_RATE_HZ and codec.channels == 1
