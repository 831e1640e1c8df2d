"""The gateway and its client, over real sockets: who is let in, what is answered, what is heard and what never is."""

import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, WebSocketConnection

from actors.node import Stopped
from engine.call import EndCall, Pause, Resume, Why
from engine.events import AnyEvent, Paused
from engine.journal import ROW
from live import gateway as gateway_module
from live import messages, peer
from live.client import Feed, Heard, open_gateway
from live.errors import NoSuchCall, Refused, Unanswered, Unreachable
from live.gateway import GatewayConfig
from live.line import NodeAddress, connect, open_websocket
from live.messages import Dropped, Status
from live.token import make_token
from tests.actors.workshop import journal_of, read_journal
from tests.live.station import KEY, NODE, Station, open_station, until

NOBODY = UUID(int=99)
WORD = b"word" * 40


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with open_station(tmp_path) as made:
        yield made


def packets_of(heard: Heard) -> list[bytes]:
    found = []
    for visit in heard.visits:
        lengths = np.frombuffer(visit.headers, ROW)["length"]
        assert len(lengths) == visit.rows
        ends = np.cumsum(lengths)
        found += [visit.packets[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return found


async def collect(feed: Feed, packets: list[bytes], order: list[str]) -> None:
    """Everything that a feed gives, until its call ends."""
    async for what in feed:
        if isinstance(what, Heard):
            packets += packets_of(what)
        elif isinstance(what, Status):
            order.append(what.recording)
        else:
            order.append(f"dropped {what.packets}")


@asynccontextmanager
async def plain_portal(station: Station) -> AsyncIterator[WebSocketConnection]:
    """A portal that reads only when the test does, and holds little until then."""
    stream = await connect(station.address)
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        async with trio.open_nursery() as nursery:
            yield await open_websocket(station.address, KEY, nursery, stream)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def until_closed(portal: WebSocketConnection) -> None:
    """Until the gateway closes; it says nothing but what time it is."""
    try:
        while True:
            assert isinstance(messages.decode_reply(await portal.get_message()), messages.Clock)
    except ConnectionClosed:
        pass


async def knock(station: Station, path: str, token: str | None) -> int:
    """The status that a websocket's opening request gets."""
    authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
    port = int(station.gateway.url.rpartition(":")[2])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: recorder\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n".encode()
        )
        with trio.fail_after(5):
            return int((await stream.receive_some()).split()[1])


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (None, 401),
        ("garbage", 401),
        ("a.b.c", 401),
        (make_token(b"another key" * 3, NODE, time.time()), 401),
        (make_token(KEY, "another-node", time.time()), 401),
        (make_token(KEY, NODE, time.time() - 3600), 401),
        (make_token(KEY, NODE, time.time() + 3600), 401),
    ],
    # Workers collect at different moments, and must find the same names.
    ids=["none", "garbage", "three parts", "another key", "another node", "of the past", "of the future"],
)
async def test_without_a_valid_token_no_websocket_opens(station: Station, token: str | None, status: int) -> None:
    assert await knock(station, "/live", token) == status
    async with station.connect() as gateway:  # and others are served as before
        assert await gateway.calls() == ()


async def test_there_is_nothing_else_at_the_port(station: Station) -> None:
    assert await knock(station, "/live", make_token(KEY, NODE, time.time())) == 101
    assert await knock(station, "/", make_token(KEY, NODE, time.time())) == 404


async def test_a_portal_with_another_key_is_told_why(station: Station) -> None:
    with pytest.raises(Unreachable, match=r"refused this portal \(401\).*another master key"):
        async with station.connect(b"x" * 32):
            pass


@pytest.mark.parametrize("noise", [b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 70_000])
async def test_noise_ends_its_own_connection_only(
    station: Station, noise: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "HANDSHAKE_S", 0.2)
    port = int(station.gateway.url.rpartition(":")[2])
    async with station.connect() as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.fail_after(5):
                try:
                    await stream.send_all(noise)
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        assert await gateway.calls() == ()


async def test_a_request_that_makes_no_sense_ends_its_own_connection_only(station: Station) -> None:
    async with station.connect() as gateway:
        for nonsense in ("[", '{"op":"explode","id":1}', b"\0\1"):
            async with plain_portal(station) as portal:
                await portal.send_message(nonsense)
                with trio.fail_after(5):
                    await until_closed(portal)
        assert await gateway.calls() == ()


async def test_who_says_nothing_keeps_no_portal_out(station: Station) -> None:
    port = int(station.gateway.url.rpartition(":")[2])
    async with AsyncExitStack() as silent:
        for _ in range(2 * gateway_module.MOST_STRANGERS):
            await silent.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        async with station.connect() as first, station.connect() as second:
            assert await first.calls() == await second.calls() == ()
            assert len(station.gateway._strangers) <= gateway_module.MOST_STRANGERS


async def test_more_portals_than_there_can_be_are_told(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "MOST_CONNECTIONS", 1)
    async with station.connect() as gateway:
        with pytest.raises(Unreachable, match="1 portals are connected already"):
            async with station.connect():
                pass
        assert await gateway.calls() == ()
    await until(lambda: not station.gateway._portals, "the portal to be gone")
    async with station.connect() as gateway:
        assert await gateway.calls() == ()


@pytest.mark.parametrize("paused", [False, True])
async def test_what_comes_up_too_late_is_not_done(station: Station, paused: bool) -> None:
    phones = await station.call()
    if paused:
        await phones.ask(Pause("person"))
    async with station.connect() as gateway:
        act = gateway.resume if paused else gateway.pause
        gateway._ahead_ns -= 3 * 10**9  # as if it had been asked three seconds ago
        with pytest.raises(Unanswered, match="too late"):
            await act(phones.call.id, who="anna", sign="portal")
        assert phones.call.state is not None
        assert phones.call.state.paused is paused
        gateway._ahead_ns += 3 * 10**9
        assert (await act(phones.call.id, who="anna", sign="portal")).state == ("recording" if paused else "paused")


async def test_the_engines_clock_is_known_to_whoever_is_connected(station: Station) -> None:
    async with station.connect() as gateway:
        assert -1e9 < gateway._ahead_ns <= 0  # both are this machine's


async def test_who_takes_over_harms_nobody(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway:
        async with gateway.listen(phones.call.id) as first:
            async with gateway.listen(phones.call.id) as second:
                assert isinstance(await anext(second), Status)
            with pytest.raises(Unreachable, match="took over"):
                async for _ in first:
                    pass
        assert await gateway.calls()


async def test_a_call_whose_ear_failed_can_be_listened_to_again(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("made to fail")

    phones = await station.call()
    async with station.connect() as gateway:
        async with gateway.listen(phones.call.id):
            with monkeypatch.context() as patch:
                patch.setattr(peer.Ear, "take", fail)
                phones.say(WORD, WORD)
                await until(lambda: not phones.call._taps, "the ear to be cut off")
            async with gateway.listen(phones.call.id) as feed:
                assert len(phones.call._taps) == 1
                phones.say(b"heard", b"heard")
                with trio.fail_after(5):
                    async for what in feed:
                        if isinstance(what, Heard) and what.visits:
                            break
        assert await gateway.calls()


def cut_s(events: Sequence[AnyEvent]) -> float:
    """Where the last event of a journal lies."""
    return round((events[-1].at.monotonic_ns - events[0].at.monotonic_ns) / 1e9, 6)


async def test_an_answer_comes_after_the_journal(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway:
        paused = await gateway.pause(phones.call.id, who="anna", sign="api")
        events, _, _ = read_journal(journal_of(station.node, phones.call.id))
        assert isinstance(events[-1], Paused)
        assert (events[-1].holder, events[-1].who, events[-1].sign) == ("person", "anna", "api")
        assert paused.state == "paused"
        assert paused.position_s == cut_s(events)
        again = await gateway.pause(phones.call.id, who="bob", sign="portal")
        assert (again.state, again.position_s) == ("paused", paused.position_s)
        (line,) = await gateway.calls()
        assert (line.call, line.recording) == (phones.call.id, "paused")
        resumed = await gateway.resume(phones.call.id, who="anna", sign="portal")
        assert resumed.state == "recording"
        assert resumed.position_s == cut_s(read_journal(journal_of(station.node, phones.call.id))[0])
        assert resumed.position_s > paused.position_s
        started = await gateway.start(phones.call.id, who="anna", sign="portal")
        assert (started.state, started.position_s) == ("recording", resumed.position_s)


async def test_a_call_that_was_never_paused_is_recording_since_its_start(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway:
        assert (await gateway.resume(phones.call.id, who="anna", sign="api")).position_s == 0


async def test_what_the_state_forbids_is_refused_with_the_reason(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway:
        with pytest.raises(Refused, match="can be paused, not stopped") as refusal:
            await gateway.stop(phones.call.id, who="anna", sign="portal")
        assert refusal.value.why == Why.NEVER_STOPPED
        await phones.ask(Pause("phone-system", "inactive"))
        with pytest.raises(Refused, match="resumes when the phone system does") as refusal:
            await gateway.resume(phones.call.id, who="anna", sign="portal")
        assert refusal.value.why == Why.HELD_BY_PHONE_SYSTEM
        with pytest.raises(NoSuchCall):
            await gateway.pause(NOBODY, who="anna", sign="portal")
        with pytest.raises(NoSuchCall):
            async with gateway.listen(NOBODY):
                pass


async def test_a_listener_hears_what_is_kept_and_nothing_of_a_pause(station: Station) -> None:
    before, secret, after = (word * 40 for word in (b"befo", b"secr", b"afte"))
    phones = await station.call()
    packets: list[bytes] = []
    order: list[str] = []
    async with station.connect() as gateway, gateway.listen(phones.call.id) as feed, trio.open_nursery() as nursery:
        nursery.start_soon(collect, feed, packets, order)
        await phones.talk(before, before, packets=10)
        await gateway.pause(phones.call.id, who="anna", sign="portal")
        await phones.talk(secret, secret, packets=10)
        await gateway.resume(phones.call.id, who="anna", sign="portal")
        await phones.talk(after, after, packets=10)
        await phones.ask(EndCall("normal"))
    assert [sum(word in packet for packet in packets) for word in (before, secret, after)] == [20, 0, 20]
    assert packets == station.journal(phones)
    assert order == ["recording", "paused", "recording", "off"]


async def test_who_comes_late_is_told_how_the_call_is(station: Station) -> None:
    phones = await station.call()
    await phones.ask(Pause("person", who="anna"))
    async with station.connect() as gateway, gateway.listen(phones.call.id) as feed:
        status = await anext(feed)
        assert isinstance(status, Status)
        assert (status.recording, status.by, status.end) == ("paused", "anna", "")
        assert [stream.side for stream in status.streams] == ["caller", "callee"]
        assert [codec.name for codec in status.streams[0].codecs] == ["PCMU"]
        await phones.ask(Resume("person"), EndCall("interrupted", "test"))
        told = [each async for each in feed if isinstance(each, Status)]
    assert [(status.recording, status.end) for status in told] == [("recording", ""), ("off", "interrupted")]


async def test_time_goes_on_while_nothing_comes(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway, gateway.listen(phones.call.id) as feed:
        with trio.fail_after(5):
            heard = [each async for each in _first(feed, 3) if isinstance(each, Heard)]
    assert all(each.visits == () for each in heard)
    assert heard[0].now_ns < heard[1].now_ns <= time.monotonic_ns()


async def _first(feed: Feed, count: int) -> AsyncIterator[object]:
    for _ in range(count):
        yield await anext(feed)


async def test_the_sweep_rests_once_nobody_listens(station: Station) -> None:
    phones = await station.call()
    at_rest = station.node.sweep.ticks_per_round
    async with station.connect() as gateway:
        async with gateway.listen(phones.call.id):
            assert station.node.sweep.ticks_per_round > at_rest
        await gateway.calls()  # answered in order: the engine has read that nobody listens
        assert station.node.sweep.ticks_per_round == at_rest
        async with gateway.listen(phones.call.id):
            assert station.node.sweep.ticks_per_round > at_rest
    await until(lambda: station.node.sweep.ticks_per_round == at_rest, "the connection's end to be noticed")


async def test_a_slow_portal_loses_packets_is_told_and_harms_nobody(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One portal stops reading: what waits for it is bounded, the other and the recording miss nothing."""
    monkeypatch.setattr(peer, "MOST_WAITING_BYTES", 20_000)
    monkeypatch.setattr(gateway_module, "SEND_BUFFER_BYTES", 4096)
    slow, quick = await station.call(1), await station.call(2)
    packets: list[bytes] = []
    order: list[str] = []
    async with (
        station.connect() as gateway,
        gateway.listen(quick.call.id) as feed,
        plain_portal(station) as portal,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(collect, feed, packets, order)
        await portal.send_message(messages.encode(messages.Listen(id=1, call=slow.call.id)))
        with trio.fail_after(5):
            await until(lambda: len(station.node.sweep._watched) == 2, "both to be listened to")
        flood = b"x" * 1400
        for _ in range(400):  # 1.1 MB
            slow.say(flood, flood)
            quick.say(WORD, WORD)
            await trio.sleep(0.001)
        dropped, received = 0, 0
        await slow.ask(EndCall("normal"))
        await quick.ask(EndCall("normal"))
        while True:  # and now it reads on
            with trio.fail_after(5):
                message = await portal.get_message()
            if isinstance(message, bytes):
                _, visits = messages.unpack_batch(message)
                received += sum(visit.rows for _, visit in visits)
                continue
            reply = messages.decode_reply(message)
            if isinstance(reply, Dropped):
                dropped += reply.packets
            elif isinstance(reply, Status) and reply.end:
                break
        assert dropped > 0
        assert dropped + received == 800
    assert len(station.journal(slow)) == len(station.journal(quick)) == 800
    assert packets == station.journal(quick)
    assert order == ["recording", "off"]


async def test_a_portal_that_never_reads_is_cut_off(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SEND_S", 0.3)
    monkeypatch.setattr(gateway_module, "SEND_BUFFER_BYTES", 4096)
    phones = await station.call()
    async with plain_portal(station) as portal:
        await portal.send_message(messages.encode(messages.Listen(id=1, call=phones.call.id)))
        await until(lambda: station.node.sweep._watched, "it to listen")
        flood = b"x" * 1400
        with trio.fail_after(10):
            while station.node.sweep._watched:
                phones.say(flood, flood)
                await trio.sleep(0.001)
    async with station.connect() as gateway:
        assert len(await gateway.calls()) == 1


async def test_an_engine_that_is_gone_is_told_to_listeners_and_to_who_waits(station: Station) -> None:
    phones = await station.call()
    async with station.connect() as gateway, gateway.listen(phones.call.id) as feed:
        station.cut()
        with trio.fail_after(5), pytest.raises(Unreachable, match="test"):
            async for _ in feed:
                pass
        assert gateway.lost
        with pytest.raises(Unreachable):
            await gateway.pause(phones.call.id, who="anna", sign="portal")


async def test_a_port_in_use_is_a_sentence(station: Station) -> None:
    port = int(station.gateway.url.rpartition(":")[2])
    with pytest.raises(Stopped, match="EARSHOT_GATEWAY_BIND"):
        gateway_module.Gateway(GatewayConfig(("127.0.0.1", port), NODE, KEY))


async def test_nobody_there_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        url = f"ws://127.0.0.1:{once.getsockname()[1]}"
    with pytest.raises(Unreachable, match=f"test cannot be reached at {url}"):
        async with open_gateway(NodeAddress(NODE, url), KEY):
            pass


async def test_who_takes_the_connection_and_says_nothing_is_given_up(autojump_clock: MockClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="says nothing"):
            async with open_gateway(NodeAddress(NODE, url), KEY):
                pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key, of no authority and for another name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "recorder-1.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = (
        builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file


async def test_a_gateway_is_known_by_its_certificate(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    async with open_station(tmp_path, tls=certificate) as station:
        assert station.gateway.url.startswith("wss://")
        phones = await station.call()
        async with station.connect(certificate_pem=certificate[0].read_text()) as gateway:
            assert (await gateway.pause(phones.call.id, who="anna", sign="portal")).state == "paused"
        with pytest.raises(Unreachable, match=r"cannot be trusted.*certificate"):
            async with station.connect():
                pass


async def test_a_certificate_without_its_key_is_a_sentence(certificate: tuple[Path, Path]) -> None:
    with pytest.raises(Stopped, match="EARSHOT_GATEWAY_TLS_CERT"):
        gateway_module.Gateway(GatewayConfig(("127.0.0.1", 0), NODE, KEY, certificate[0], certificate[0]))
