"""A small recorder for the dialer's tests: it answers by the book, keeps all that it gets, and errs when it is told to.

SIP goes through the engine's own server transactions, over real sockets of the loopback; ports are the system's.
"""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from engine import rtp, sdp
from engine.metadata import Metadata, read
from engine.multipart import media_type, split
from engine.sip.dialog import Dialog, new_branch
from engine.sip.framer import Framer, Ping
from engine.sip.message import Request, Response, Via, response_to
from engine.sip.parser import parse
from engine.sip.transactions import ClientTransactions, Final, Send, ServerTransactions, Verdict

HOST = "127.0.0.1"


def parts_of(message: Request) -> dict[str, bytes]:
    """The body's parts by media type."""
    content_type = message.content_type or ""
    if media_type(content_type).startswith("multipart/"):
        return {media_type(part.content_type): part.body for part in split(content_type, message.body)}
    return {media_type(content_type): message.body} if message.body else {}


def description_of(message: Request) -> sdp.SessionDescription:
    return sdp.parse(parts_of(message)["application/sdp"])


def metadata_of(message: Request) -> Metadata:
    documents = [body for kind, body in parts_of(message).items() if "rs-metadata" in kind]
    assert len(documents) == 1
    return read(documents[0])


@dataclass
class Recorder:
    """`requests` holds what came, without repetitions. `status_of` may refuse; `is_deaf` loses what comes."""

    transport: str
    sip: Any = None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    acks: int = 0
    datagrams: int = 0
    is_deaf: Callable[[bytes], bool] = lambda data: False
    status_of: Callable[[Request], int] = lambda request: 200
    change_answer: Callable[[bytes], bytes] = lambda body: body
    media: list[socket.socket] = field(default_factory=list)
    control: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        reliable = self.transport == "tcp"
        self.servers = ServerTransactions(lambda _: reliable)
        self.clients = ClientTransactions(lambda _: reliable)
        self.dialogs: dict[str, Dialog] = {}
        self.flows: dict[str, Any] = {}
        self.arrived = trio.Condition()

    @property
    def target(self) -> str:
        return f"sip:{HOST}:{self.port}"

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def last(self, method: str) -> Request:
        return [request for request in self.requests if request.method == method][-1]

    def open_media(self, streams: int) -> None:
        """Port pairs that lie side by side, as the dialer sends RTCP to the port behind RTP's."""
        while len(self.media) < streams:
            rtp_socket, rtcp_socket = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            rtp_socket.bind((HOST, 0))
            try:
                rtcp_socket.bind((HOST, rtp_socket.getsockname()[1] + 1))
            except (OSError, OverflowError):
                rtp_socket.close()
                rtcp_socket.close()
                continue
            for each, kept in ((rtp_socket, self.media), (rtcp_socket, self.control)):
                each.setblocking(False)
                kept.append(each)

    def packets(self, stream: int) -> list[rtp.Packet]:
        """The RTP that waits for a stream."""
        return [rtp.parse(data) for data in drain(self.media[stream])]

    def send(self, data: bytes, to: Any) -> None:
        if self.transport == "udp":
            self.sip.sendto(data, to)
        else:
            os.write(to.socket.fileno(), data)  # small messages on an idle loopback connection fit at once

    async def take(self, data: bytes, source: Any) -> None:
        if self.is_deaf(data):
            return
        self.datagrams += 1
        message = parse(data)
        if isinstance(message, Response):
            reception = self.clients.receive(message, trio.current_time())
            if isinstance(reception.event, Final):
                self.responses.append(message)
        else:
            delivery = self.servers.receive(message, source, trio.current_time())
            for send in delivery.sends:
                self.send(send.data, send.to)
            self.acks += message.method == "ACK"
            if delivery.verdict is Verdict.NEW:
                self.requests.append(message)
                self.flows[message.call_id] = source
                self.answer(message, delivery.transaction)
        async with self.arrived:
            self.arrived.notify_all()

    def answer(self, request: Request, transaction: Any) -> None:
        status = self.status_of(request)
        if status == 0:
            return
        dialog = self.dialogs.get(request.call_id)
        if dialog is None and request.method == "INVITE" and status < 300:
            contact = f"<{self.target}>;+sip.srs"
            dialog = self.dialogs[request.call_id] = Dialog.from_invite(request, local_tag="srs", contact=contact)
        elif dialog is not None:
            dialog.receive(request)
        body = b""
        if status < 300 and "application/sdp" in parts_of(request):
            offer = description_of(request)
            self.open_media(len(offer.media))
            ports = {index: sock.getsockname()[1] for index, sock in enumerate(self.media)}
            answer = sdp.answer(offer, session_id=1, version=1, address=HOST, ports=ports)
            body = self.change_answer(answer.serialize())
        content_type = "application/sdp" if body else None
        if dialog is not None:
            response = dialog.respond(request, status, body=body, content_type=content_type)
        else:
            response = response_to(request, status)
        for send in self.servers.respond(transaction, response, trio.current_time()):
            self.send(send.data, send.to)

    def request(self, call_id: str, method: str, headers: Any = (), body: bytes = b"", kind: str | None = None) -> None:
        """Sends a request inside a call; its final response comes to `responses`."""
        via = Via(self.transport.upper(), HOST, self.port, (("branch", new_branch()),))
        request = self.dialogs[call_id].request(method, headers, body, kind).with_via(via)
        for send in self.clients.request(request, self.flows[call_id], trio.current_time()):
            self.send(send.data, send.to)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for something to be so after what comes."""
        async with self.arrived:
            while not holds():
                await self.arrived.wait()

    async def serve_udp(self) -> None:
        with self.sip:
            while True:
                await trio.lowlevel.wait_readable(self.sip)
                with suppress(BlockingIOError):
                    data, source = self.sip.recvfrom(65536)
                    await self.take(data, source)

    async def serve_stream(self, stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.ClosedResourceError):  # a test closed it
                await self.read_stream(stream)

    async def read_stream(self, stream: trio.SocketStream) -> None:
        framer = Framer()
        while data := await stream.receive_some():
            for item in framer.feed(data):
                assert not isinstance(item, Ping)
                await self.take(item, stream)

    async def watch_deadlines(self) -> None:
        """Repeats what the dialer has not acknowledged. (Only tests with a jumping clock wait for it.)"""
        while True:
            await trio.sleep(0.25)
            for each in self.servers.on_time(trio.current_time()):
                if isinstance(each, Send):
                    self.send(each.data, each.to)


def drain(sock: socket.socket) -> list[bytes]:
    waiting = []
    while True:
        try:
            waiting.append(sock.recv(2048))
        except BlockingIOError:
            return waiting


@asynccontextmanager
async def open_recorder(transport: str = "udp") -> AsyncIterator[Recorder]:
    recorder = Recorder(transport)
    async with trio.open_nursery() as nursery:
        if transport == "udp":
            recorder.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            recorder.sip.setblocking(False)
            recorder.sip.bind((HOST, 0))
            recorder.port = recorder.sip.getsockname()[1]
            nursery.start_soon(recorder.serve_udp)
        else:
            listeners = await nursery.start(trio.serve_tcp, recorder.serve_stream, 0)
            recorder.sip = listeners[0].socket
            recorder.port = recorder.sip.getsockname()[1]
        nursery.start_soon(recorder.watch_deadlines)
        try:
            yield recorder
        finally:
            nursery.cancel_scope.cancel()
            for sock in (*recorder.media, *recorder.control):
                sock.close()
