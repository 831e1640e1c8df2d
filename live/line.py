"""The line to a gateway: TCP, TLS and the websocket's opening.

A gateway's certificate is trusted as it is: the engine tells it through the spool and the database. So it needs no
authority and may name any host.

Not here: what is said on the line (`client.py`).
"""

import ssl
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from live.errors import Unreachable
from live.messages import MOST_BATCH_BYTES, PATH
from live.token import make_token

# For each step: TCP, TLS, and the websocket's opening.
CONNECT_S: Final = 5.0
READ_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where an engine's gateway is. `certificate_pem`: trusted as it is; empty: by the authorities of the system."""

    name: str
    url: str
    certificate_pem: str = ""


async def connect(node: NodeAddress) -> trio.abc.Stream:
    """A stream to the gateway, with TLS where its URL says so. Errors: `Unreachable`."""
    parts = urlsplit(node.url)
    if parts.hostname is None:
        raise Unreachable(f"It is not known where the recorder {node.name} can be reached.")
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(parts.hostname, parts.port or (443 if parts.scheme == "wss" else 80))
    except (OSError, trio.TooSlowError) as error:
        raise Unreachable(f"The recorder {node.name} cannot be reached at {node.url}: {_reason(error)}.") from error
    if parts.scheme != "wss":
        return stream
    try:
        secured = trio.SSLStream(stream, _trust(node), server_hostname=parts.hostname, https_compatible=True)
        with trio.fail_after(CONNECT_S):
            await secured.do_handshake()
    except (OSError, ValueError, trio.BrokenResourceError, trio.TooSlowError) as error:
        await trio.aclose_forcefully(stream)
        raise Unreachable(
            f"The recorder {node.name} cannot be trusted at {node.url}: {_reason(error.__cause__ or error)}."
        ) from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


async def open_websocket(
    node: NodeAddress, key: bytes, nursery: trio.Nursery, stream: trio.abc.Stream
) -> WebSocketConnection:
    """The websocket on that stream, for this token; its reader lives in `nursery`.

    Errors: `Unreachable`. A gateway that refuses the token ends the nursery with `ConnectionRejected`.
    """
    token = make_token(key, node.name, time.time())
    try:
        with trio.fail_after(CONNECT_S):
            return await wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type]  # any stream will do; theirs names two kinds
                urlsplit(node.url).netloc,
                PATH,
                extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
                message_queue_size=1,
                max_message_size=MOST_BATCH_BYTES,
                receive_buffer_size=READ_BYTES,
            )
    except trio.TooSlowError as error:
        raise Unreachable(f"The recorder {node.name} takes connections at {node.url}, and says nothing.") from error


def _trust(node: NodeAddress) -> ssl.SSLContext:
    """Exactly the certificate that the engine told through the database; without one, what the system trusts."""
    if not node.certificate_pem:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is what we know it by
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    end = "-----END CERTIFICATE-----"
    context.load_verify_locations(cadata=node.certificate_pem.partition(end)[0] + end + "\n")
    return context


def _reason(error: BaseException) -> str:
    if isinstance(error, trio.TooSlowError):
        return "it does not answer"
    if isinstance(error, BaseExceptionGroup):
        return _reason(error.exceptions[0])
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")
