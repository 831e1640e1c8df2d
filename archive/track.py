"""One stream on its way to be heard: packets wait in a track until their time has come, and leave it as samples.

They are decoded in the order in which they are heard. Gaps: a sample or two (clock skew) repeat the last one; a gap in
the sequence numbers is loss and is concealed; a gap in the timestamps alone is silence that was not sent.

Not here: other streams, pauses, where packets belong (`engine/timeline.py`).
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from archive.callfile import StreamPackets
from archive.codecs import Decoder
from archive.conceal import HISTORY_S, conceal
from engine.timeline import SECOND_NS, Timeline

# Between two packets that follow one another: what clock skew and the rounding of positions can open.
SLIP_SAMPLES: Final = 4
# A sequence number that is further ahead than this is a new beginning (RFC 3550 appendix A.1: MAX_DROPOUT).
MAX_LOST: Final = 3000
SILENT: Final = -1  # in place of a decoder's number: comfort noise, telephone-events, unknown payloads

Int64s = NDArray[np.int64]
Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Packets (n,): position of the first sample, and where the payload lies in the track's data."""

    position: Int64s
    sequence: NDArray[np.uint16]
    ssrc: NDArray[np.uint32]
    decoder: Int64s
    start: Int64s
    length: Int64s

    def take(self, chosen: Int64s | NDArray[np.bool_] | slice) -> "_Waiting":
        return _Waiting(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def join(self, later: "_Waiting") -> "_Waiting":
        return _Waiting(*(np.concatenate((getattr(self, f.name), getattr(later, f.name))) for f in fields(self)))


def _nothing() -> _Waiting:
    none = np.zeros(0, np.int64)
    return _Waiting(none, none.astype(np.uint16), none.astype(np.uint32), none, none, none)


class Track:
    """The packets of one stream. `late` counts those that came after their time."""

    __slots__ = ("_data", "_decoders", "_heard", "_heard_from", "_history", "_rate_hz", "_timeline", "_waiting", "late")

    def __init__(self, timeline: Timeline, rate_hz: int) -> None:
        self._timeline = timeline
        self._rate_hz = rate_hz
        self._decoders: list[Decoder] = []
        self._waiting = _nothing()
        self._data = np.zeros(0, np.uint8)
        self._history = round(HISTORY_S * rate_hz)
        # Samples from position `_heard_from` on: the history, and what packets reached beyond what was put out.
        self._heard = np.zeros(0, np.int16)
        self._heard_from = 0
        self.late = 0

    def take(self, packets: StreamPackets, data: NDArray[np.uint8]) -> None:
        """Takes in the stream's packets of one batch, whose payloads lie in `data`."""
        places = self._timeline.place(packets.packets)
        decoder = np.full(len(places), SILENT, np.int64)
        for payload_type, known in packets.formats.items():
            if known is not None and known.decoder is not None:
                if known.decoder not in self._decoders:
                    self._decoders.append(known.decoder)
                of = (packets.payload_type == payload_type) & (packets.payload_bytes > 0)
                decoder[of] = self._decoders.index(known.decoder)
        placed = ~np.isnan(places)
        length = np.where(placed & (decoder != SILENT), packets.payload_bytes, 0)
        new = _Waiting(
            np.rint(np.where(placed, places, 0) * self._rate_hz / SECOND_NS).astype(np.int64),
            packets.packets.sequence,
            packets.packets.ssrc,
            decoder,
            len(self._data) + np.cumsum(length) - length,
            length,
        )
        self._waiting = self._waiting.join(new.take(placed))
        self._data = np.concatenate((self._data, _gather(data, packets.payload_start, length)))

    def put_out(self, begin: int, end: int) -> Samples | None:
        """The samples from position `begin` up to `end`, which goes on where the last one ended; None for silence."""
        waiting = self._waiting
        if (np.diff(waiting.position) < 0).any():
            waiting = waiting.take(np.argsort(waiting.position, kind="stable"))
        count = int(np.searchsorted(waiting.position, end))
        base = begin - self._history
        heard = self._heard[max(0, base - self._heard_from) :]
        if count == 0 and len(heard) <= self._history:
            self._waiting = waiting
            return None
        due = waiting.take(slice(0, min(count + 1, len(waiting.position))))
        pcm, samples = self._decode(due, count)
        buffer = np.zeros(
            int(max(end - base, len(heard), (due.position[:count] + samples).max(initial=0) - base)), np.int16
        )
        buffer[: len(heard)] = heard
        self._write(buffer, base, due, pcm, samples)
        if begin > 0:
            self.late += int(np.count_nonzero((due.position[:count] + samples <= begin) & (samples > 0)))
        self._heard, self._heard_from = buffer[end - base - self._history :].copy(), end - self._history
        self._keep(waiting.take(slice(count, None)))
        return buffer[begin - base : end - base]

    def _keep(self, waiting: _Waiting) -> None:
        """Forgets the payloads of all other packets."""
        used = int(waiting.start.min(initial=len(self._data)))
        self._data = self._data[used:]
        self._waiting = replace(waiting, start=waiting.start - used)

    def _decode(self, due: _Waiting, count: int) -> tuple[Samples, Int64s]:
        """Samples of the first `count` packets end to end, and how many each has (count,)."""
        samples = np.zeros(count, np.int64)
        decoded: list[tuple[Int64s, Samples]] = []
        kinds = due.decoder[:count] << 32 | due.length[:count]
        for kind in np.unique(kinds[due.decoder[:count] != SILENT]).tolist():
            of = np.flatnonzero(kinds == kind)
            payloads = np.lib.stride_tricks.sliding_window_view(self._data, kind & 0xFFFFFFFF)[due.start[of]]
            pcm = self._decoders[kind >> 32].decode(payloads)
            samples[of] = pcm.shape[1]
            decoded.append((of, pcm))
        if len(decoded) == 1:
            return decoded[0][1].reshape(-1), samples
        flat = np.zeros(int(samples.sum()), np.int16)
        offsets = np.cumsum(samples) - samples
        for of, pcm in decoded:
            flat[offsets[of][:, None] + np.arange(pcm.shape[1])] = pcm
        return flat, samples

    def _write(self, buffer: Samples, base: int, due: _Waiting, pcm: Samples, samples: Int64s) -> None:
        """Writes the packets to `buffer`, which begins at position `base`; `due` may have one more that follows."""
        audio = np.flatnonzero(samples)
        if len(audio) == 0:
            return
        begins, ends = due.position[audio], due.position[audio] + samples[audio]
        offsets = np.concatenate(([0], np.cumsum(samples[audio])))
        follower = np.minimum(audio + 1, len(due.position) - 1)
        gaps = due.position[follower] - ends  # negative where nothing follows
        ahead = (due.sequence[follower] - due.sequence[audio]).astype(np.int64)
        lost = (ahead > 1) & (ahead < MAX_LOST) & (due.ssrc[follower] == due.ssrc[audio])
        gaps[due.decoder[follower] == SILENT] = 0
        cuts = np.flatnonzero(begins[1:] != ends[:-1]) + 1
        for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(audio)], strict=True):
            at = int(begins[first]) - base
            run = pcm[offsets[first] + max(0, -at) : offsets[last]]
            buffer[max(0, at) : max(0, at) + len(run)] = run
            reached, gap = int(ends[last - 1]) - base, int(gaps[last - 1])
            if gap <= 0 or reached < self._history:
                continue
            if gap <= SLIP_SAMPLES:
                buffer[reached : reached + gap] = buffer[reached - 1]
            elif lost[last - 1]:
                room = buffer[reached : reached + gap]
                room[:] = conceal(buffer[reached - self._history : reached], len(room), self._rate_hz)


def _gather(data: NDArray[np.uint8], starts: Int64s, lengths: Int64s) -> NDArray[np.uint8]:
    """The pieces of `data` end to end."""
    if len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all():
        return np.lib.stride_tricks.sliding_window_view(data, int(lengths[0]))[starts].reshape(-1)
    before = np.cumsum(lengths) - lengths
    return data[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))]
