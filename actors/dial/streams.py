"""The streams of a dialled call together: what is offered for them, where the recorder wants them, whether they flow.

Nothing here sends SIP, or knows who the parties are.
"""

import secrets
from collections.abc import Sequence
from typing import Final

from actors.dial.errors import DialError
from actors.dial.media import MediaConfig, MediaStream, Pacer
from actors.dial.sources import Mix, Source
from actors.dial.wire import Address
from engine import sdp
from engine.errors import RemoteProtocolError
from engine.sip.dialog import offers_sdp
from engine.sip.message import Response

# Where there is no audio to send: the discard port, which is valid in an offer and reaches nobody.
NO_PORT: Final = 9


class Streams:
    """Labelled streams, one m-line each. Without media they are only offered, on the ports that the caller names.

    `remote` is where the recorder takes each of them, None for one that it rejected.
    """

    def __init__(self, config: MediaConfig, labels: Sequence[str], host: str, ports: Sequence[int] | None) -> None:
        """With `ports` nothing is sent, and those are offered. Errors: `DialError` where no sockets can be opened."""
        self._config = config
        self._labels = labels
        self._host = host
        self._id = secrets.randbits(31)
        self._version = 0
        self._pacer: Pacer | None = None
        self._streams: list[MediaStream] = []
        self.remote: tuple[Address | None, ...] = ()
        if ports is None:
            self._open()
        given = [stream.port for stream in self._streams] if ports is None else [*ports]
        self._ports = (given + [NO_PORT] * len(labels))[: len(labels)]

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, index: int) -> MediaStream:
        return self._streams[index]

    @property
    def sent(self) -> int:
        """RTP packets that went out."""
        return sum(stream.sent for stream in self._streams)

    @property
    def lost(self) -> int:
        """RTP packets that were lost, on purpose or because the system took none."""
        return sum(stream.lost for stream in self._streams)

    def offer(self, form: sdp.Suspension | None) -> sdp.SessionDescription:
        """The next version of the offer, suspended in a form or live."""
        self._version += 1
        return sdp.offer(
            tuple(zip(self._labels, self._ports, strict=True)),
            session_id=self._id,
            version=self._version,
            address=self._host,
            suspended=form,
            codecs=self._config.codecs,
            ptime_ms=self._config.ptime_ms,
        )

    def take_answer(self, response: Response) -> None:
        """Sends the media where an answer wants it.

        Errors: RemoteProtocolError where it is none, or has other m-lines than the offer (RFC 3264 section 6).
        """
        if not offers_sdp(response):
            raise RemoteProtocolError("It has no SDP.")
        description = sdp.parse(response.body)
        if len(description.media) != len(self._labels):
            raise RemoteProtocolError(f"It has {len(description.media)} m-lines, and {len(self._labels)} were offered.")
        self.remote = tuple(
            (media.address, media.port) if media.port and media.address else None for media in description.media
        )
        audio = self._config.codecs[0].payload_type
        for stream, place, media in zip(self._streams, self.remote, description.media, strict=False):
            events = [codec.payload_type for codec in media.codecs if codec.encoding == "telephone-event"]
            stream.connect(place if audio in media.formats else None, events[0] if events else None)

    def suspend(self, suspended: bool) -> None:
        """Stops the flow, or lets it go on. (The clock of the audio runs in any case.)"""
        for stream in self._streams:
            stream.suspended = suspended

    def play(self, pacer: Pacer) -> None:
        """Sends until `stop`."""
        self._pacer = pacer
        for stream in self._streams:
            pacer.add(stream)

    def stop(self) -> None:
        """Sends no more, whether `play` was called or not."""
        for stream in self._streams:
            if self._pacer is not None:
                self._pacer.drop(stream)
            stream.close()

    def _open(self) -> None:
        config = self._config
        one, other = config.caller, config.callee
        sources: tuple[Source, ...] = (one, other) if len(self._labels) == 2 else (Mix(one, other),)
        try:
            for index, source in enumerate(sources):
                self._streams.append(MediaStream(config, source, config.skew_ppm[index], index, self._host))
        except DialError:
            self.stop()
            raise
