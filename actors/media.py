"""The sockets of media streams: pairs of RTP and RTCP ports, opened as the sweep wants them.

Not here: who visits them (`sweeper.py`, `rtcp.py`).
"""

import errno
import socket
import time
from dataclasses import dataclass
from typing import Final

from engine.ports import PortPool
from engine.sweep import MediaSocket
from engine.sweep.slab import SO_RXQ_OVFL, SO_TIMESTAMPNS

# Ports of the range that somebody else holds are skipped. So many in a row mean that the range is not ours, and trying
# more of them would stop the sweep: a try takes some 20 us.
MOST_TAKEN: Final = 500


class NoPorts(Exception):
    """No RTP ports are free: the node is full, or its range is in use by others."""


@dataclass(frozen=True, slots=True)
class MediaPair:
    """One stream's sockets. `port` is the RTP port, RTCP is on the next one."""

    port: int
    media: MediaSocket
    rtcp: socket.socket


class MediaPorts:
    """Opens and closes pairs on one address, of one range."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self._host = host
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._pool = PortPool(first, last)

    @property
    def pairs(self) -> int:
        """How many streams the range holds."""
        return self._pool.pairs

    def open(self, indexes: range) -> list[MediaPair]:
        """Open a pair for each stream index, on neighbouring ports. Errors: `NoPorts`."""
        for _ in range(MOST_TAKEN):
            first = self._pool.take(len(indexes), time.monotonic())
            if first is None:
                raise NoPorts("All RTP ports are in use. Widen EARSHOT_RTP_PORTS, or add a node.")
            opened: list[MediaPair] = []
            try:
                for place, index in enumerate(indexes):
                    opened.append(self._open_pair(first + 2 * place, index))
                return opened
            except OSError as error:
                for pair in opened:
                    pair.media.sock.close()
                    pair.rtcp.close()
                for place in range(len(indexes)):
                    self._pool.give_back(first + 2 * place, time.monotonic())
                if error.errno != errno.EADDRINUSE:
                    raise NoPorts(f"An RTP port could not be opened: {error}") from error
        raise NoPorts("The RTP ports are in use by other programs. Give EARSHOT_RTP_PORTS a range of its own.")

    def close(self, pair: MediaPair) -> None:
        """Close a pair and let its ports rest."""
        pair.media.sock.close()
        pair.rtcp.close()
        self._pool.give_back(pair.port, time.monotonic())

    def _open_pair(self, port: int, index: int) -> MediaPair:
        rtp = self._open(port)
        try:
            rtcp = self._open(port + 1)
        except OSError:
            rtp.close()
            raise
        return MediaPair(port, MediaSocket(rtp, index), rtcp)

    def _open(self, port: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            sock.bind((self._host, port))
        except OSError:
            sock.close()
            raise
        return sock
