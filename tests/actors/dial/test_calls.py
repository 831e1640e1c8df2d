"""Calls of the dialer, against a small recorder over the loopback.

Ports are the system's; where something has to time out the clock jumps; every test has a limit.
"""

from datetime import datetime

import pytest
import trio

from actors.dial import DialError, Ended, NoAnswer, Party, Refused, Session, WrongUsage, open_dialer
from engine import sdp
from engine.sip.message import Headers, Request, Response
from tests.actors.dial.recorder import HOST, description_of, metadata_of, open_recorder, parts_of

LIMIT_S = 60.0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_is_offered_answered_acknowledged_and_ended(transport: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder(transport) as recorder, open_dialer(recorder.target, transport) as dialer:  # type: ignore[arg-type]  # parametrized
            session = await dialer.call("1001", "1002")
            await recorder.until(lambda: recorder.acks == 1)
            assert session.status == "active"
            assert session.remote_ports == tuple(sock.getsockname()[1] for sock in recorder.media)
            assert session.remote == tuple((HOST, port) for port in session.remote_ports)
            await session.bye()
            assert (session.status, session.ending) == ("ended", "bye")
            assert dialer.sessions == ()
            assert recorder.methods() == ["INVITE", "BYE"]

            invite = recorder.last("INVITE")
            assert invite.headers.all("Require", split=True) == ["siprec"]
            assert invite.contact is not None
            assert invite.contact.has_feature("+sip.src")
            assert "UPDATE" in invite.headers.all("Allow", split=True)
            assert "application/sdp" in invite.headers.all("Accept", split=True)
            assert list(parts_of(invite)) == ["application/sdp", "application/rs-metadata"]
            offer = description_of(invite)
            assert [media.label for media in offer.media] == ["1", "2"]
            assert [media.direction for media in offer.media] == ["sendonly", "sendonly"]
            assert all(media.port % 2 == 0 for media in offer.media)


@pytest.mark.parametrize("generation", ["rfc7865", "draft"])
async def test_the_metadata_names_who_speaks_in_which_stream(generation: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            caller, callee = Party("+4930123456", 'Ann "<&>" Müller'), Party("bob@example.org")
            await dialer.call(caller, callee, metadata=generation, media=None)  # type: ignore[arg-type]  # parametrized
    known = metadata_of(recorder.last("INVITE"))
    assert (known.generation, known.data_mode) == (generation, "complete")
    assert [(each.number, each.name) for each in known.participants] == [("+4930123456", caller.name), ("bob", "")]
    assert [each.aor for each in known.participants] == [caller.aor, "sip:bob@example.org"]
    ann, bob = (each.id for each in known.participants)
    one, two = (each.id for each in known.streams)
    assert [each.label for each in known.streams] == ["1", "2"]
    assert {each.participant_id: (each.send, each.recv) for each in known.participant_streams} == {
        ann: ((one,), (two,)),
        bob: ((two,), (one,)),
    }
    assert known.session is not None
    assert known.group_id == known.session.group_id == known.groups[0].id
    assert {each.participant_id for each in known.participant_sessions} == {ann, bob}
    for each in known.participant_sessions:
        assert each.session_id == known.session.id
        assert each.associated is not None
        assert isinstance(each.associated.at, datetime)


async def test_a_mixed_call_has_one_stream_that_both_send() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            await dialer.call(streams=1, metadata="draft", media=None)
    known = metadata_of(recorder.last("INVITE"))
    assert [(each.label, each.mode) for each in known.streams] == [("1", "mixed")]
    assert [(each.send, each.recv) for each in known.participant_streams] == [((known.streams[0].id,), ())] * 2


async def test_a_plain_call_has_its_parties_in_from_and_to() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call(Party("1001", "Ann"), "#31", metadata=None, media=None, ports=(4000,))
            with pytest.raises(DialError, match="without metadata"):
                await session.transfer(Party("1003"))
    invite = recorder.last("INVITE")
    assert "Require" not in invite.headers
    assert invite.contact is not None
    assert not invite.contact.has_feature("+sip.src")
    assert (invite.from_addr.display, invite.from_addr.uri) == ("Ann", "sip:1001@pbx.example")
    assert invite.to_addr.uri == "sip:%2331@pbx.example"
    assert list(parts_of(invite)) == ["application/sdp"]
    assert [media.port for media in description_of(invite).media] == [4000, 9]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_pause_hold_and_resume_are_offers_of_sdp_alone(transport: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder(transport) as recorder, open_dialer(recorder.target, transport) as dialer:  # type: ignore[arg-type]  # parametrized
            session = await dialer.call()
            expected: list[tuple[str, str | None]] = [
                ("pause", "zero-address"),
                ("resume", None),
                ("hold", "inactive"),
                ("resume", None),
            ]
            versions = [int(description_of(recorder.last("INVITE")).origin.version)]
            for count, (step, form) in enumerate(expected, 2):
                await getattr(session, step)()
                assert session.suspended == form
                assert session.status == ("suspended" if form else "active")
                invite = recorder.last("INVITE")
                assert invite.content_type == "application/sdp"
                offer = sdp.parse(invite.body)
                assert [sdp.suspension(media) for media in offer.media] == [form, form]
                assert [media.label for media in offer.media] == ["1", "2"]
                if form == "zero-address":
                    assert not any(name in sdp_attributes(offer) for name in ("inactive", "sendonly", "sendrecv"))
                versions.append(int(offer.origin.version))
                await recorder.until(lambda count=count: recorder.acks == count)  # type: ignore[misc]  # a default
            assert versions == sorted(set(versions))


def sdp_attributes(description: sdp.SessionDescription) -> set[str]:
    return {name for media in description.media for name, _ in media.attributes}


async def test_a_suspension_may_carry_metadata() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call(media=None)
            await session.suspend("inactive+zero-address", with_metadata=True)
    invite = recorder.last("INVITE")
    assert [sdp.suspension(media) for media in description_of(invite).media] == ["inactive+zero-address"] * 2
    assert metadata_of(invite).data_mode == "complete"


@pytest.mark.parametrize("generation", ["rfc7865", "draft"])
@pytest.mark.parametrize(
    ("options", "method", "kinds"),
    [
        ({}, "UPDATE", 1),
        ({"complete": True}, "UPDATE", 1),
        ({"with_sdp": True}, "UPDATE", 2),
        ({"method": "INVITE", "complete": True}, "INVITE", 2),
    ],
)
async def test_a_transfer_puts_somebody_in_the_place_of_a_party(
    generation: str, options: dict[str, object], method: str, kinds: int
) -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call("1001", "1002", metadata=generation, media=None)  # type: ignore[arg-type]  # parametrized
            before = metadata_of(recorder.last("INVITE"))
            await session.transfer(Party("1003", "Cleo"), **options)  # type: ignore[arg-type]  # parametrized
    request = recorder.last(method)
    assert len(parts_of(request)) == kinds
    update = metadata_of(request)
    ann, bob = (each.id for each in before.participants)
    cleo = update.participants[-1]
    assert (cleo.number, cleo.name) == ("1003", "Cleo")
    sends = {each.participant_id: each.send for each in update.participant_streams if each.disassociated is None}
    assert sends[cleo.id] == (before.streams[1].id,)
    gone = {each.participant_id for each in update.participant_sessions if each.disassociated is not None}
    if options.get("complete"):
        assert update.data_mode == "complete"
        assert [each.id for each in update.participants] == [ann, cleo.id]
        assert not gone
    else:
        assert update.data_mode == "partial"
        assert gone == {bob}
        assert ann not in {each.id for each in update.participants}


async def test_info_and_options_inside_a_call_and_options_outside() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            await dialer.options()
            session = await dialer.call(media=None)
            await session.options()
            await session.info("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
    assert recorder.methods() == ["OPTIONS", "INVITE", "OPTIONS", "INFO", "BYE"]
    assert recorder.last("INFO").body == b"Signal=5\r\nDuration=160\r\n"
    assert recorder.last("OPTIONS").to_tag == "srs"


async def test_a_refused_call_is_a_sentence_and_acknowledged() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            recorder.status_of = lambda request: 503
            with pytest.raises(Refused, match=r"^The recorder refused the call: 503 Service Unavailable\.$") as caught:
                await dialer.call()
            assert caught.value.status == 503
            await recorder.until(lambda: recorder.acks == 1)
            assert dialer.sessions == ()


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ((("Warning", '399 srs "All \\"ports\\" are in use"'),), '503 Service Unavailable (All "ports" are in use).'),
        ((("Warning", "399 srs none"),), "503 Service Unavailable."),
    ],
)
def test_a_refusal_says_what_the_warning_says(headers: tuple[tuple[str, str], ...], sentence: str) -> None:
    response = Response(503, "Service Unavailable", Headers(headers))
    assert str(Refused("it", response)) == f"The recorder refused it: {sentence}"


async def test_a_refused_pause_leaves_the_call_as_it_was() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call()
            recorder.status_of = lambda request: 488 if request.method == "INVITE" else 200
            with pytest.raises(Refused, match="488"):
                await session.pause()
            assert session.suspended is None
            recorder.status_of = lambda request: 200
            await session.pause()
            assert session.status == "suspended"


async def test_a_call_that_the_recorder_does_not_know_is_over() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call()
            recorder.status_of = lambda request: 481
            with pytest.raises(Refused, match="481"):
                await session.pause()
            assert session.ending == "lost"
            with pytest.raises(Ended, match="The recorder does not know the call"):
                await session.resume()
            with pytest.raises(Ended, match="no keys"):
                await session.dtmf("1")


async def test_a_goodbye_to_a_recorder_that_knows_the_call_no_more_ends_it_all_the_same() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call()
            recorder.status_of = lambda request: 481
            with pytest.raises(Ended, match=r"^The recorder no longer knew the call: 481 "):
                await session.bye()
            assert (session.status, session.ending, dialer.sessions) == ("ended", "bye", ())


async def test_nobody_at_the_port_is_told_at_once() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder:
            target = recorder.target
        async with open_dialer(target) as dialer:
            before = trio.current_time()
            with pytest.raises(NoAnswer, match=r"Nothing listens at 127\.0\.0\.1:\d+ \(UDP\)"):
                await dialer.call()
            assert trio.current_time() - before < 20  # and not the 32 s of a time-out
        with pytest.raises(DialError, match=r"There is no connection to 127\.0\.0\.1:\d+ \(TCP\): Connection refused"):
            async with open_dialer(target, "tcp"):
                raise AssertionError("connected")


@pytest.mark.parametrize("target", ["127.0.0.1", "sips:127.0.0.1", "tel:1", "sip:a b", "sip:1;transport=tls"])
async def test_a_target_that_cannot_be_dialled_is_a_sentence(target: str) -> None:
    with pytest.raises(WrongUsage, match=r"no SIP URI|cannot be dialled"):
        async with open_dialer(target):
            raise AssertionError("opened")


async def test_a_connection_that_ends_ends_what_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder("tcp") as recorder, open_dialer(f"{recorder.target};transport=tcp") as dialer:
        session = await dialer.call()
        recorder.status_of = lambda request: 0
        async with trio.open_nursery() as nursery:

            async def close() -> None:
                await recorder.until(lambda: recorder.methods()[-1] == "INFO")
                await recorder.flows[session.call_id].aclose()

            nursery.start_soon(close)
            with pytest.raises(NoAnswer, match="closed the connection"):
                await session.info("text/plain", b"x")
        assert session.ending == "lost"
        with pytest.raises(NoAnswer, match="closed the connection"):
            await dialer.call()


async def test_silence_of_the_recorder_is_a_time_out(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        recorder.is_deaf = lambda data: True
        before = trio.current_time()
        with pytest.raises(NoAnswer, match=r"within 32 s|in time"):
            await dialer.call()
        assert 31.9 < trio.current_time() - before < 32.1
        with pytest.raises(NoAnswer, match="within 3 s"):
            await dialer.call(answer_s=3)


async def test_lost_requests_are_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        seen: list[bytes] = []

        def first_two(data: bytes) -> bool:
            seen.append(data)
            return len(seen) <= 2

        recorder.is_deaf = first_two
        await dialer.call(media=None)
        assert seen[0] == seen[1] == seen[2]
        assert recorder.methods() == ["INVITE"]


async def test_each_repetition_of_the_answer_is_acknowledged(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        lost: list[bytes] = []

        def two_acks(data: bytes) -> bool:
            if data.startswith(b"ACK") and len(lost) < 2:
                lost.append(data)
                return True
            return False

        recorder.is_deaf = two_acks
        session = await dialer.call(media=None)
        await recorder.until(lambda: recorder.acks == 1)
        assert len(lost) == 2
        assert session.status == "active"


async def test_a_call_given_up_is_cancelled_and_ended_when_it_is_answered_after_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        recorder.status_of = lambda request: 0 if request.method == "INVITE" else 200
        with pytest.raises(NoAnswer):
            await dialer.call(answer_s=1)
        recorder.status_of = lambda request: 200
        invite = recorder.last("INVITE")
        transaction = next(iter(recorder.servers._open.values()))
        recorder.answer(invite, transaction)
        await recorder.until(lambda: "BYE" in recorder.methods())
        assert recorder.acks == 1
        assert dialer.sessions == ()


async def test_the_recorder_may_end_a_call_and_ask_in_it() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call()
            for method in ("OPTIONS", "INFO", "UPDATE", "MESSAGE"):
                recorder.request(session.call_id, method)
            await recorder.until(lambda: len(recorder.responses) == 4)
            assert [response.status for response in recorder.responses] == [200, 200, 200, 405]
            assert "INVITE" in recorder.responses[0].headers.all("Allow", split=True)
            recorder.request(session.call_id, "BYE", (("Reason", 'SIP;cause=503;text="shutting down"'),))
            await session.ended.wait()
            assert session.ending == "recorder"
            assert "shutting down" in session.reason
            await recorder.until(lambda: len(recorder.responses) == 5)
            assert recorder.responses[-1].status == 200
            with pytest.raises(Ended, match="shutting down"):
                await session.hold()
            recorder.request(session.call_id, "INFO")
            await recorder.until(lambda: len(recorder.responses) == 6)
            assert recorder.responses[-1].status == 481
    assert recorder.methods() == ["INVITE"]


async def test_an_offer_of_the_recorder_is_not_acceptable() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            session = await dialer.call(media=None)
            recorder.request(session.call_id, "INVITE", body=b"v=0\r\n", kind="application/sdp")
            await recorder.until(lambda: len(recorder.responses) == 1)
            assert recorder.responses[0].status == 488
            assert session.status == "active"


async def test_an_abandoned_call_says_no_more(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call()
        session.abandon()
        recorder.request(session.call_id, "OPTIONS")
        await trio.sleep(40)
        assert recorder.responses == []
    assert recorder.methods() == ["INVITE"]
    assert session.ending == "abandoned"


async def test_leaving_the_dialer_ends_the_calls_and_keeps_the_exception() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder:

            async def fail() -> None:
                async with open_dialer(recorder.target) as dialer:
                    sessions.extend([await dialer.call(), await dialer.call()])
                    raise KeyError("mine")

            sessions: list[Session] = []
            with pytest.raises(KeyError, match="mine"):
                await fail()
            await recorder.until(lambda: recorder.methods().count("BYE") == 2)
            assert [session.status for session in sessions] == ["ended", "ended"]
            async with open_dialer(recorder.target) as dialer:
                await dialer.call()
            assert recorder.methods()[-2:] == ["INVITE", "BYE"]


async def test_an_answer_with_other_streams_ends_the_call() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            recorder.change_answer = lambda body: body.partition(b"m=")[0]
            with pytest.raises(DialError, match="0 m-lines, and 2 were offered"):
                await dialer.call()
            await recorder.until(lambda: recorder.methods() == ["INVITE", "BYE"])


async def test_an_offer_that_crossed_another_is_made_again(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
        session = await dialer.call(media=None)
        tries: list[Request] = []

        def glare(request: Request) -> int:
            tries.append(request)
            return 491 if len(tries) == 1 else 200

        recorder.status_of = glare
        before = trio.current_time()
        await session.pause()
        assert len(tries) == 2
        assert 2.1 <= trio.current_time() - before <= 4.1
        assert tries[0].body == tries[1].body


async def test_many_calls_share_one_socket() -> None:
    with trio.fail_after(LIMIT_S):
        async with open_recorder() as recorder, open_dialer(recorder.target) as dialer:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(lambda number=number: dialer.call(str(number), media=None))  # type: ignore[misc]  # a default
            assert len(dialer.sessions) == 20
        assert len(set(recorder.flows.values())) == 1
        assert recorder.methods().count("BYE") == 20
