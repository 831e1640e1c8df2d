"""The portal's process: its listening socket, its signals, and the server that Quart runs on.

    portal
     |- hypercorn    serves the application, inside the database's scope
     |- stopping     waits for SIGTERM or SIGINT

Clients that stop reading: hypercorn's sends cannot be cancelled, so a paused player would hold its handler for ever.
The kernel ends a connection whose peer takes nothing for STALLED_S; a browser that plays on asks for the rest then.

Shutdown: nothing is accepted any more; requests in hand may end within GRACE_S, then every connection is cut.

Not here: what is served (`app.py`), settings (they come as a `PortalConfig`).
"""

import errno
import ipaddress
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio import serve

from portal.app import create_app
from portal.config import VERSION, PortalConfig
from portal.gateways import open_gateways
from schema.calls import nodes
from schema.database import open_database

log = structlog.get_logger()

STALLED_S: Final = 30.0
# What the kernel may hold for a client beyond what is under way to it: a listener who stops hears nothing that is long
# past when he goes on, and is told what he missed.
UNSENT_BYTES: Final = 64 * 1024
GRACE_S: Final = 1.0
CUT_EVERY_S: Final = 0.05
BACKLOG: Final = 256
# Longer than the pause between two looks of a page at its news.
KEEP_ALIVE_S: Final = 20
# Proxies close what is silent for a minute.
PING_S: Final = 20.0
# Browsers send commands, no audio.
MOST_MESSAGE_BYTES: Final = 64 * 1024
# The database's thread gets the GIL after this; the default of 5 ms would be a quarter of a live frame.
SWITCH_INTERVAL_S: Final = 0.001


class Stopped(Exception):
    """The portal cannot start. The text says why, and what to do."""


def run(config: PortalConfig) -> None:
    """Run a portal until it is told to stop, by SIGTERM or SIGINT.

    Errors: `Stopped`, before anything was answered.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    listening = listen(config.bind)
    serving = _serving(config)
    _check_certificate(serving, config)
    trio.run(_main, config, serving, listening)


def listen(bind: tuple[str, int]) -> socket.socket:
    """The portal's listening socket. Errors: `Stopped`, with a sentence."""
    family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit all of them.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_S * 1000))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listening.bind(bind)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise Stopped(_cannot_listen(bind, error)) from error
    return listening


async def _main(config: PortalConfig, serving: Config, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    serving.bind = [f"fd://{listening.detach()}"]
    stop = trio.Event()
    async with (
        open_database(config.database_url, key=config.database_key, migrate=True),
        open_gateways(config.gateway_key, nodes) as gateways,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(_until_stopped, stop)
        app = create_app(replace(config, bind=(config.bind[0], port)), gateways)
        server = partial(serve, app, serving, shutdown_trigger=stop.wait)
        await nursery.start(_served, server, nursery.cancel_scope)
        url = f"{'https' if config.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        log.info("portal ready", url=url, public_url=config.public_url or None, version=VERSION)
        if not config.encrypted and not ipaddress.ip_address(host).is_loopback:
            log.warning(
                "portal without TLS",
                advice="Passwords and voices cross the network in the clear, and browsers play no live calls. Set "
                "EARSHOT_TLS_CERT and EARSHOT_TLS_KEY, or EARSHOT_PUBLIC_URL where a web proxy does it.",
            )
        await stop.wait()
        await trio.sleep(GRACE_S)
        while True:
            for connection in _connections((host, port)):
                with connection:
                    _cut(connection)
            await trio.sleep(CUT_EVERY_S)
    log.info("portal stopped")


async def _served(server: Any, then: trio.CancelScope, task_status: trio.TaskStatus[Any]) -> None:
    await server(task_status=task_status)
    then.cancel()


async def _until_stopped(stop: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


def _connections(bound: tuple[str, int]) -> Iterator[socket.socket]:
    """Every connection to this portal, as a second handle of it: hypercorn keeps its own to itself."""
    for name in os.listdir("/proc/self/fd"):
        try:
            # A second handle of a file, once closed, would take the database's locks away: none is made of files.
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # closed meanwhile, as the descriptor of the listing is
        if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == bound[1]:
            yield found
        else:
            found.close()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # it has ended by itself
            raise


def _serving(config: PortalConfig) -> Config:
    """How hypercorn serves; it is told the listening socket later."""
    serving = Config()
    serving.logger_class = _ToLog
    serving.accesslog = serving.errorlog = None
    serving.include_server_header = False
    serving.graceful_timeout = GRACE_S
    serving.keep_alive_timeout = KEEP_ALIVE_S
    serving.websocket_ping_interval = PING_S
    serving.websocket_max_message_size = MOST_MESSAGE_BYTES
    # Over HTTP/2 a client can stop reading one stream while its connection lives, which the kernel cannot see.
    serving.alpn_protocols = ["http/1.1"]
    if config.tls_cert is not None and config.tls_key is not None:
        serving.certfile, serving.keyfile = str(config.tls_cert), str(config.tls_key)
    return serving


def _check_certificate(serving: Config, config: PortalConfig) -> None:
    """Errors: `Stopped`, where certificate and key cannot be used."""
    try:
        serving.create_ssl_context()
    except OSError as error:  # of which ssl.SSLError is one
        raise Stopped(
            f"The portal's certificate {config.tls_cert} and key {config.tls_key} cannot be used: {error}. "
            "EARSHOT_TLS_CERT must be a PEM file with the certificate and its chain, EARSHOT_TLS_KEY the key of it."
        ) from error


def _cannot_listen(bind: tuple[str, int], error: OSError) -> str:
    host, port = bind
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"Something else answers at {where} already. Stop it, or set EARSHOT_PORTAL_BIND to another port."
    if error.errno == errno.EACCES:
        return f"This user may not listen at {where}. Set EARSHOT_PORTAL_BIND to a port above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Set EARSHOT_PORTAL_BIND to one of its own, such as 127.0.0.1."
    return f"The portal cannot listen at {where}: {error.strerror}. Set EARSHOT_PORTAL_BIND to another address."


class _ToLog(Logger):
    """What hypercorn says goes to the log where it is worth it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._log = structlog.get_logger(server="hypercorn")

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._log.exception(message)

    async def critical(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._log.error(message)

    error = critical

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._log.warning(message)

    async def info(self, message: str, *args: Any, **kwargs: Any) -> None:
        self._log.debug(message)
