"""The gateway: the engine's port for portals. A portal shows a token first; without one no websocket opens.

What goes wrong on a connection stays there: a peer's fault or a mistake of ours ends that connection alone.

Not here: what is said on a connection (`peer.py`, `messages.py`), browsers.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from actors.call import Call
from actors.node import Stopped
from live.messages import MOST_REQUEST_BYTES, PATH
from live.peer import Peer
from live.token import TokenRefused, check_token

log = structlog.get_logger()

BACKLOG: Final = 64
ACCEPT_AGAIN_S: Final = 0.1
# TLS, the HTTP request and the token; a portal is there in milliseconds.
HANDSHAKE_S: Final = 5.0
# Portals. Two connections each at most, while one changes from one to the next.
MOST_CONNECTIONS: Final = 64
# Whoever found the port and has shown no token. Where more come, the one that has been at it the longest goes: portals
# are through in milliseconds.
MOST_STRANGERS: Final = 32
# What the kernel may hold for a portal that does not read: so much is sent late once it reads again. A second of 50
# calls; what waits beyond is in our hands, and dropped when it is old (`peer.py`).
SEND_BUFFER_BYTES: Final = 512 * 1024
# A portal whose machine vanished is noticed after some 20 s of silence, even if nobody listens.
KEEP_ALIVE: Final = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 2}


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where to listen, and the key under which tokens are made. With `tls_cert` and `tls_key` (PEM) it speaks TLS."""

    bind: tuple[str, int]
    node: str
    key: bytes
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Gateway:
    """Listens once it is made; `run` may be started again after a failure."""

    def __init__(self, config: GatewayConfig) -> None:
        """Errors: `Stopped`, when the port or the certificate cannot be used."""
        self._config = config
        self._portals = 0
        self._strangers: dict[trio.CancelScope, None] = {}  # the oldest first
        self._tls = _tls(config)
        host, port = config.bind
        try:
            self._sock = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
            )
        except OSError as error:
            raise Stopped(
                f"The live gateway's port {port} on {host} cannot be opened ({error.strerror}). "
                "Stop what uses it, or set EARSHOT_GATEWAY_BIND to another address or port."
            ) from error
        self._sock.setblocking(False)

    @property
    def url(self) -> str:
        """Where portals on this machine reach it."""
        host, port = self._sock.getsockname()[:2]
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://[{address}]:{port}" if address.version == 6 else f"{scheme}://{address}:{port}"

    async def run(self, calls: Mapping[UUID, Call]) -> None:
        """Answer portals until cancelled."""
        self._portals = 0
        self._strangers = {}
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                try:
                    sock, address = self._sock.accept()
                except BlockingIOError:
                    continue
                except OSError as error:  # reset before it was accepted, or no descriptors are left
                    log.warning("connection not accepted", reason=str(error))
                    await trio.sleep(ACCEPT_AGAIN_S)
                    continue
                nursery.start_soon(self._serve, sock, address[0], calls, self._admit())

    def close(self) -> None:
        """Close the port."""
        self._sock.close()

    def _admit(self) -> trio.CancelScope:
        """Patience with one more stranger."""
        if len(self._strangers) >= MOST_STRANGERS:
            oldest = next(iter(self._strangers))
            oldest.cancel()
            del self._strangers[oldest]
            log.warning("connection cut off", reason=f"{MOST_STRANGERS} others have shown no token either")
        patience = trio.CancelScope(deadline=trio.current_time() + HANDSHAKE_S)
        self._strangers[patience] = None
        return patience

    async def _serve(
        self, sock: socket.socket, peer: str, calls: Mapping[UUID, Call], patience: trio.CancelScope
    ) -> None:
        """One connection, from its first byte to its last."""
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] | None = None
        try:
            sock.setblocking(False)
            _patient_with(sock)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
            if self._tls is not None:
                stream = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
            await self._serve_stream(stream, peer, calls, patience)
        except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError, OSError) as gone:
            log.info("portal gone", peer=peer, reason=repr(gone.exceptions[0]))
        except* trio.TooSlowError:
            log.warning("a portal does not read, and is cut off", peer=peer)
        except* Exception:
            log.exception("connection failed", peer=peer)
        finally:
            self._strangers.pop(patience, None)
            if stream is None:
                sock.close()
            else:
                await trio.aclose_forcefully(stream)

    async def _serve_stream(
        self,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        peer: str,
        calls: Mapping[UUID, Call],
        patience: trio.CancelScope,
    ) -> None:
        async with trio.open_nursery() as nursery:
            with patience:
                request = await wrap_server_stream(nursery, stream, max_message_size=MOST_REQUEST_BYTES)
                refusal = self._refusal(request)
                if refusal is None:
                    connection = await request.accept()
                else:
                    log.warning("portal refused", peer=peer, reason=refusal[1])
                    await request.reject(refusal[0], body=refusal[1].encode())
            if not patience.cancelled_caught and refusal is None:
                log.info("portal connected", peer=peer)
                self._strangers.pop(patience, None)
                self._portals += 1
                try:
                    await Peer(connection, calls).run()
                finally:
                    self._portals -= 1
            nursery.cancel_scope.cancel()

    def _refusal(self, request: WebSocketRequest) -> tuple[int, str] | None:
        """Status and reason for a request that is not let in."""
        if request.path != PATH:
            return 404, "There is nothing here."
        scheme, _, token = _header(request, b"authorization").partition(" ")
        if scheme.lower() != "bearer":
            return 401, "A token is missing."
        try:
            check_token(self._config.key, self._config.node, token.strip(), time.time())
        except TokenRefused as error:
            return 401, f"The token was refused: {error}."
        if self._portals >= MOST_CONNECTIONS:
            return 503, f"{MOST_CONNECTIONS} portals are connected already."
        return None


def _header(request: WebSocketRequest, name: bytes) -> str:
    found = (value for key, value in request.headers if key.lower() == name)
    return next(found, b"").decode("ascii", "replace")


def _patient_with(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _tls(config: GatewayConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise Stopped(
            f"The live gateway's certificate {config.tls_cert} and key {config.tls_key} cannot be used ({error}). "
            "EARSHOT_GATEWAY_TLS_CERT and EARSHOT_GATEWAY_TLS_KEY name a PEM file each, which belong together."
        ) from error
    return context
