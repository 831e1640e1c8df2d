"""The switchboard through a flow without a network: what each method is answered, and what becomes of the call."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from actors import call as call_module
from engine import sdp
from engine.events import Ended, Identified, ParticipantJoined, ParticipantLeft, Paused, Resumed, StreamsAgreed
from engine.metadata import Metadata, NameId, Participant, ParticipantStream
from engine.sip.message import Request
from engine.siprec import write_body
from tests.actors.exchange import METADATA, Exchange, Phone, exchanging, offer
from tests.actors.test_call import failing


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    async with exchanging(tmp_path) as made:
        yield made


async def test_an_invite_is_answered_as_a_recorder_does(exchange: Exchange) -> None:
    answer = await exchange.invite()
    assert answer.status == 200
    assert answer.contact is not None
    assert answer.contact.has_feature("+sip.srs")
    described = sdp.parse(answer.body)
    assert [(media.label, media.direction) for media in described.media] == [("1", "recvonly"), ("2", "recvonly")]
    assert described.media[1].port == described.media[0].port + 2
    assert "+sip.srs" in answer.serialize().decode()
    events, _ = exchange.journal()
    identified = [event for event in events if isinstance(event, Identified)]
    assert [(event.caller.number, event.callee.name, event.identity.group_id) for event in identified] == [
        ("100", "Bob", "g1")
    ]
    agreed = [event for event in events if isinstance(event, StreamsAgreed)]
    assert [(stream.label, stream.side) for stream in agreed[0].streams] == [("1", "caller"), ("2", "callee")]


async def test_a_bye_ends_the_call_and_a_second_one_finds_none(exchange: Exchange) -> None:
    await exchange.invite()
    assert (await exchange.ask(exchange.phone.request("BYE"))).status == 200
    assert (await exchange.ask(exchange.phone.request("BYE"))).status == 481
    events, _ = exchange.journal()
    assert isinstance(events[-1], Ended)
    assert events[-1].end == "normal"
    assert (exchange.node.spool.finished / str(exchange.started[0].id)).exists()


@pytest.mark.parametrize("suspended", ["inactive", "zero-address", "inactive+zero-address"])
async def test_a_suspending_offer_pauses_and_the_next_one_resumes(
    exchange: Exchange, suspended: sdp.Suspension
) -> None:
    await exchange.invite()
    held = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(2, suspended), None, "b")))
    exchange.acknowledge()
    assert exchange.started[0].state is not None
    assert exchange.started[0].state.paused
    expected = "recvonly" if suspended == "zero-address" else "inactive"
    assert {media.direction for media in sdp.parse(held.body).media} == {expected}
    back = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(3), None, "b")))
    exchange.acknowledge()
    assert {media.direction for media in sdp.parse(back.body).media} == {"recvonly"}
    assert [m.port for m in sdp.parse(back.body).media] == [m.port for m in sdp.parse(held.body).media]
    events, _ = exchange.journal()
    assert [event.sign for event in events if isinstance(event, Paused)] == [suspended]
    assert len([event for event in events if isinstance(event, Resumed)]) == 1


async def test_one_stream_on_hold_pauses_nothing(exchange: Exchange) -> None:
    await exchange.invite()
    body = offer(2).serialize().replace(b"a=sendonly", b"a=inactive", 1)
    answer = await exchange.ask(exchange.phone.request("INVITE", (("application/sdp"), body)))
    exchange.acknowledge()
    assert [media.direction for media in sdp.parse(answer.body).media] == ["inactive", "recvonly"]
    assert exchange.started[0].state is not None
    assert not exchange.started[0].state.paused


async def test_an_update_with_metadata_alone_changes_who_is_there(exchange: Exchange) -> None:
    await exchange.invite()
    third = Participant("p3", (NameId("sip:300@x", "Cy"),))
    update = Metadata(
        sessions=METADATA.sessions,
        participants=(METADATA.participants[0], third),
        streams=METADATA.streams,
        participant_streams=(METADATA.participant_streams[0], ParticipantStream("p3", ("st2",), ("st1",))),
    )
    assert (await exchange.ask(exchange.phone.request("UPDATE", write_body(None, update, "b")))).status == 200
    events, _ = exchange.journal()
    assert [event.id for event in events if isinstance(event, ParticipantLeft)] == ["p2"]
    assert [event.participant.name for event in events if isinstance(event, ParticipantJoined)] == ["Ann", "Bob", "Cy"]
    state = exchange.started[0].state
    assert state is not None
    assert (state.caller.name, state.callee.name) == ("Ann", "Bob")
    assert [stream.side for stream in state.streams] == ["caller", "callee"]


async def test_broken_metadata_is_recorded_with_a_warning(exchange: Exchange) -> None:
    content_type, body = write_body(offer(), METADATA, "b")
    answer = await exchange.invite((content_type, body.replace(b"</recording>", b"</rec")))
    assert answer.status == 200
    state = exchange.started[0].state
    assert state is not None
    assert any("Metadata could not be read" in warning for warning in state.warnings)
    assert state.caller.number == "100"


async def test_after_a_refused_offer_a_good_one_is_answered(exchange: Exchange) -> None:
    await exchange.invite()
    for body in (("application/sdp", b"rubbish"), ("text/plain", b"hello")):
        assert (await exchange.ask(exchange.phone.request("INVITE", body))).status in (400, 415)
        exchange.acknowledge()
    assert (await exchange.ask(exchange.phone.request("INVITE", write_body(offer(2), None, "b")))).status == 200
    assert len(exchange.board.calls) == 1


async def test_a_new_stream_in_a_later_offer_gets_ports_of_its_own(exchange: Exchange) -> None:
    first = sdp.parse((await exchange.invite(write_body(offer(lines=1), None, "b"))).body)
    later = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(2), None, "b")))
    exchange.acknowledge()
    second = sdp.parse(later.body)
    assert second.media[0].port == first.media[0].port
    assert second.media[1].port not in (0, first.media[0].port)
    assert second.origin.session_id == first.origin.session_id
    assert int(second.origin.version) == int(first.origin.version) + 1
    body = offer(3).serialize().replace(b"m=audio 40002", b"m=audio 0")
    removed = await exchange.ask(exchange.phone.request("INVITE", ("application/sdp", body)))
    assert [media.port for media in sdp.parse(removed.body).media] == [first.media[0].port, 0]


async def test_a_refresh_without_an_offer_is_answered_with_ours(exchange: Exchange) -> None:
    first = await exchange.invite()
    again = await exchange.ask(
        exchange.phone.request("INVITE", extra=(("Session-Expires", "1800"), ("Supported", "timer")))
    )
    assert again.status == 200
    assert again.body == first.body
    assert again.headers.get("Session-Expires") == "1800;refresher=uac"


@pytest.mark.parametrize(
    ("method", "inside", "status"),
    [
        ("OPTIONS", False, 200),
        ("OPTIONS", True, 200),
        ("INFO", True, 200),
        ("INFO", False, 481),
        ("UPDATE", False, 481),
        ("BYE", False, 481),
        ("MESSAGE", True, 405),
        ("SUBSCRIBE", False, 405),
        ("CANCEL", False, 481),
    ],
)
async def test_the_other_methods(exchange: Exchange, method: str, inside: bool, status: int) -> None:
    if inside:
        await exchange.invite()
    answer = await exchange.ask(exchange.phone.request(method))
    assert answer.status == status
    if status in (200, 405) and method != "INFO":
        assert "INVITE" in (answer.headers.get("Allow") or "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (("application/sdp", b"rubbish"), 400),
        (("text/plain", b"hello"), 415),
        (("application/sdp", offer().serialize().replace(b"PCM", b"XYZ").replace(b" 0 8 ", b" 96 97 ")), 488),
        (None, 488),
    ],
)
async def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(
    exchange: Exchange, body: tuple[str, bytes] | None, status: int
) -> None:
    answer = await exchange.ask(exchange.phone.request("INVITE", body))
    assert answer.status == status
    assert "399 earshot" in (answer.headers.get("Warning") or "")
    assert not exchange.board.calls
    assert not list(exchange.node.spool.live.iterdir())
    assert exchange.node.sweep.calls == 0


async def test_an_unknown_requirement_is_named(exchange: Exchange) -> None:
    answer = await exchange.ask(
        exchange.phone.request("INVITE", write_body(offer(), None, "b"), (("Require", "siprec, telepathy"),))
    )
    assert answer.status == 420
    assert answer.headers.get("Unsupported") == "telepathy"


async def test_a_stranger_gets_403(exchange: Exchange) -> None:
    exchange.flow.peer = ("198.51.100.1", 5060)
    assert (await exchange.ask(exchange.phone.request("OPTIONS"))).status == 403
    assert exchange.admission.refused == 1


async def test_a_full_node_says_when_to_come_again(tmp_path: Path) -> None:
    async with exchanging(tmp_path, most_calls=1) as exchange:
        await exchange.invite()
        exchange.phone = Phone(exchange.flow, "second@phone")
        answer = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(), None, "b")))
        assert answer.status == 503
        assert answer.headers.get("Retry-After") == "10"
        assert len(exchange.board.calls) == 1


async def test_without_ports_a_call_is_refused_with_503(tmp_path: Path) -> None:
    async with exchanging(tmp_path, ports=2) as exchange:
        answer = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(), None, "b")))
        assert answer.status == 503
        assert "EARSHOT_RTP_PORTS" in (answer.headers.get("Warning") or "")
        assert not list(exchange.node.spool.live.iterdir())


async def test_a_retransmitted_invite_makes_no_second_call(exchange: Exchange) -> None:
    data = exchange.phone.request("INVITE", write_body(offer(), METADATA, "b"))
    exchange.board.receive(data, exchange.flow)
    exchange.board.receive(data, exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    exchange.board.receive(data, exchange.flow)
    assert len(exchange.board.calls) == 1


async def test_a_cancel_before_the_answer_ends_the_call(exchange: Exchange) -> None:
    exchange.board.receive(exchange.phone.request("INVITE", write_body(offer(), METADATA, "b")), exchange.flow)
    cancel = exchange.phone.request("CANCEL", cseq=1).replace(b"1CANCEL", b"1INVITE")
    exchange.board.receive(cancel, exchange.flow)
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(response.status for response in exchange.flow.finals()) == [200, 487]
    assert not exchange.board.calls


async def test_rubbish_is_counted_and_answered_where_it_can_be(exchange: Exchange) -> None:
    exchange.board.receive(b"\x00\x01\x02 rubbish", exchange.flow)
    assert exchange.flow.sent == []
    broken = exchange.phone.request("INVITE").replace(b"Max-Forwards: 70", b"Max-Forwards 70")
    assert (await exchange.ask(broken)).status == 400
    assert exchange.board.malformed == 2


async def test_a_failed_call_answers_500_and_its_dialog_is_answered_on(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    from engine.call import AgreeStreams

    await exchange.invite()
    monkeypatch.setattr(call_module, "decide", failing(4, AgreeStreams))
    for version in range(2, 6):
        exchange.board.receive(exchange.phone.request("INVITE", write_body(offer(version), None, "b")), exchange.flow)
        await trio.sleep(10)  # past the pause before the restart
        assert exchange.flow.finals()[-1].status == 500
        exchange.acknowledge()
    assert not exchange.board.calls
    events, _ = exchange.journal()
    assert isinstance(events[-1], Ended)
    assert events[-1].end == "incomplete"
    quiet = await exchange.ask(exchange.phone.request("INVITE", write_body(offer(9), None, "b")))
    exchange.acknowledge()
    assert quiet.status == 200
    assert (await exchange.ask(exchange.phone.request("BYE"))).status == 200


async def test_a_stopping_node_says_goodbye(exchange: Exchange) -> None:
    await exchange.invite()
    exchange.board.end_all("interrupted", "The recorder was stopped.")
    await trio.testing.wait_all_tasks_blocked()
    byes = [each for each in exchange.flow.sent if isinstance(each, Request)]
    assert [(bye.method, bye.to_tag, bye.call_id) for bye in byes] == [("BYE", "theirs", "call@phone")]
    events, _ = exchange.journal()
    assert isinstance(events[-1], Ended)
    assert events[-1].end == "interrupted"


async def test_without_an_ack_and_without_audio_the_call_is_lost(
    exchange: Exchange, autojump_clock: trio.testing.MockClock
) -> None:
    exchange.nursery.start_soon(exchange.board.run_timers)
    exchange.board.receive(exchange.phone.request("INVITE", write_body(offer(), METADATA, "b")), exchange.flow)
    await trio.sleep(40)
    assert len([each for each in exchange.flow.finals() if each.status == 200]) > 5
    assert [each.method for each in exchange.flow.sent if isinstance(each, Request)] == ["BYE"]
    events, _ = exchange.journal()
    assert isinstance(events[-1], Ended)
    assert events[-1].end == "lost"
