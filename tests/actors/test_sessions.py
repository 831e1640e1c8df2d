"""Sessions over time: offers and metadata in close order, cancelled and delayed ones, timers, silence, goodbyes."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from engine import sdp
from engine.events import Ended, Resumed
from engine.metadata import Metadata
from engine.sip.message import Request, Response, response_to
from engine.sip.parser import parse
from engine.siprec import write_body
from tests.actors.exchange import METADATA, Exchange, exchanging, offer


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    async with exchanging(tmp_path) as made:
        yield made


def swapped(version: int) -> sdp.SessionDescription:
    return sdp.offer([("2", 40_002), ("1", 40_000)], session_id=1, version=version, address="127.0.0.1")


async def test_streams_keep_their_port_and_side_by_label(exchange: Exchange) -> None:
    first = sdp.parse((await exchange.invite()).body)
    turned = await exchange.ask(exchange.phone.request("INVITE", write_body(swapped(2), METADATA, "b")))
    exchange.acknowledge()
    port_of = {media.label: media.port for media in first.media}
    assert [(media.label, media.port) for media in sdp.parse(turned.body).media] == [
        ("2", port_of["2"]),
        ("1", port_of["1"]),
    ]
    state = exchange.started[0].state
    assert state is not None
    assert {stream.label: stream.side for stream in state.streams} == {"1": "caller", "2": "callee"}


async def test_metadata_right_behind_a_pause_ends_no_pause(exchange: Exchange) -> None:
    await exchange.invite()
    exchange.board.receive(exchange.phone.request("INVITE", write_body(offer(2, "inactive"), None, "b")), exchange.flow)
    exchange.board.receive(exchange.phone.request("UPDATE", write_body(None, METADATA, "b")), exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    assert exchange.started[0].state is not None
    assert exchange.started[0].state.paused
    assert not [event for event in exchange.journal()[0] if isinstance(event, Resumed)]


@pytest.mark.parametrize("header", [("Contact", "<>"), ("Record-Route", "garbage")])
async def test_an_invite_that_makes_no_dialog_leaves_nothing(exchange: Exchange, header: tuple[str, str]) -> None:
    data = exchange.phone.request("INVITE", write_body(offer(), None, "b"), (header,))
    if header[0] == "Contact":
        data = data.replace(b"Contact: <sip:127.0.0.1:5070;transport=tcp>;+sip.src\r\n", b"")
    assert (await exchange.ask(data)).status == 400
    assert not list(exchange.node.spool.live.iterdir())
    assert exchange.node.sweep.calls == 0


async def test_metadata_in_which_everybody_left_changes_neither_parties_nor_sides(exchange: Exchange) -> None:
    """The callee's stream comes first, so that From, To and the order of lines would say the opposite."""
    await exchange.invite(write_body(swapped(1), METADATA, "b"))
    gone = Metadata(sessions=METADATA.sessions, streams=METADATA.streams)
    assert (await exchange.ask(exchange.phone.request("UPDATE", write_body(None, gone, "b")))).status == 200
    state = exchange.started[0].state
    assert state is not None
    assert (state.caller.name, state.callee.name) == ("Ann", "Bob")
    assert {stream.label: stream.side for stream in state.streams} == {"1": "caller", "2": "callee"}
    assert all(presence.left is not None for presence in state.presences)


async def test_a_second_stream_without_metadata_gets_a_side_of_its_own(exchange: Exchange) -> None:
    await exchange.invite(write_body(offer(lines=1), None, "b"))
    assert (await exchange.ask(exchange.phone.request("INVITE", write_body(offer(2), None, "b")))).status == 200
    state = exchange.started[0].state
    assert state is not None
    assert [stream.side for stream in state.streams] == ["caller", "callee"]


async def test_a_cancelled_later_offer_does_not_spoil_the_dialog(exchange: Exchange) -> None:
    await exchange.invite()
    exchange.board.receive(exchange.phone.request("INVITE", write_body(offer(2, "inactive"), None, "b")), exchange.flow)
    cancel = exchange.phone.request("CANCEL", cseq=2).replace(b"2CANCEL", b"2INVITE")
    exchange.board.receive(cancel, exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    exchange.acknowledge()
    back = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(3), None, "b")))
    assert back.status == 200
    assert exchange.started[0].state is not None
    assert not exchange.started[0].state.paused


async def test_a_resumption_by_delayed_offer(exchange: Exchange) -> None:
    await exchange.invite()
    await exchange.ask(exchange.phone.request("INVITE", write_body(offer(2, "inactive"), None, "b")))
    exchange.acknowledge()
    ours = sdp.parse((await exchange.ask(exchange.phone.request("INVITE"))).body)
    assert {media.direction for media in ours.media} == {"recvonly"}
    exchange.board.receive(exchange.phone.request("ACK", write_body(offer(3), None, "b")), exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    assert exchange.started[0].state is not None
    assert not exchange.started[0].state.paused


async def test_all_streams_switched_off_end_no_call(exchange: Exchange) -> None:
    await exchange.invite()
    body = offer(2).serialize().replace(b"m=audio 40000", b"m=audio 0").replace(b"m=audio 40002", b"m=audio 0")
    answer = await exchange.ask(exchange.phone.request("INVITE", ("application/sdp", body)))
    assert (answer.status, [media.port for media in sdp.parse(answer.body).media]) == (200, [0, 0])
    assert len(exchange.board.calls) == 1


async def test_a_bye_is_taken_however_much_waits(exchange: Exchange) -> None:
    await exchange.invite()
    for _ in range(80):
        exchange.board.receive(exchange.phone.request("UPDATE", write_body(None, METADATA, "b")), exchange.flow)
    exchange.board.receive(exchange.phone.request("BYE"), exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    assert not exchange.board.calls
    assert {response.status for response in exchange.flow.finals()} == {200, 500}


TIMER = (("Session-Expires", "90"), ("Supported", "timer"))


async def test_a_session_that_is_not_refreshed_is_lost(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    exchange.nursery.start_soon(exchange.board.run_watch, 1e9)
    exchange.nursery.start_soon(exchange.board.run_timers)
    answer = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(), METADATA, "b"), TIMER))
    exchange.phone.to_tag = answer.to_tag or ""
    exchange.acknowledge()
    await trio.sleep(80)
    exchange.board.receive(exchange.phone.request("UPDATE", extra=TIMER), exchange.flow)
    await trio.sleep(80)
    assert len(exchange.board.calls) == 1
    await trio.sleep(12)
    assert not exchange.board.calls
    events, _ = exchange.journal()
    assert isinstance(events[-1], Ended)
    assert (events[-1].end, "refresh" in events[-1].by) == ("lost", True)
    assert [each.method for each in exchange.flow.sent if isinstance(each, Request)] == ["BYE"]


async def test_too_short_a_session_timer_is_refused_with_the_shortest(exchange: Exchange) -> None:
    short = (("Session-Expires", "30"), ("Supported", "timer"))
    answer = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(), None, "b"), short))
    assert (answer.status, answer.headers.get("Min-SE")) == (422, "90")
    assert not list(exchange.node.spool.live.iterdir())


@pytest.mark.parametrize("status", [None, 200, 481])
async def test_a_silent_phone_system_is_asked_before_it_is_lost(
    exchange: Exchange, autojump_clock: trio.testing.MockClock, status: int | None
) -> None:
    exchange.nursery.start_soon(exchange.board.run_watch, 0.5)
    exchange.nursery.start_soon(exchange.board.run_timers)
    await exchange.invite()
    # Audio is told by the realtime clock, which no test can jump: none of it ever came.
    for pair in exchange.started[0]._pairs.values():
        exchange.node.sweep._counters._arrival_s[pair.media.slot] = 0
    await trio.sleep(2)
    asked = [each for each in exchange.flow.sent if isinstance(each, Request)]
    assert asked[0].method == "OPTIONS"
    if status is not None:
        exchange.board.receive(response_to(asked[0], status).serialize(), exchange.flow)
    await trio.sleep(0.5 if status else 40)
    assert len(exchange.board.calls) == (1 if status == 200 else 0)
    if status != 200:
        events, _ = exchange.journal()
        assert isinstance(events[-1], Ended)
        assert (events[-1].end, "no longer answers" in events[-1].by) == ("lost", True)


async def test_our_bye_goes_to_the_port_that_the_contact_names(exchange: Exchange) -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    listening.settimeout(2)
    port = listening.getsockname()[1]
    exchange.flow.reliable, exchange.flow.transport = False, "UDP"
    exchange.flow.peer = ("127.0.0.1", port)
    data = exchange.phone.request("INVITE", write_body(offer(), None, "b")).replace(
        b"127.0.0.1:5070", b"127.0.0.1:%d" % port
    )
    exchange.board.receive(data, exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    exchange.flow.peer = ("127.0.0.1", 9)
    exchange.board.end_all("interrupted", "The recorder was stopped.")
    await trio.testing.wait_all_tasks_blocked()
    got = [parse(listening.recv(65_535)) for _ in range(3)]
    assert [each.status if isinstance(each, Response) else each.method for each in got] == [100, 200, "BYE"]
    listening.close()
