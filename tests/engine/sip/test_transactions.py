"""Each rule and each timer of the transactions, one machine alone. Time is a number; the tests pass it in.

`flow` is "udp" or "tcp"; only the first loses packets.
"""

from itertools import product

import pytest

from engine.errors import LocalProtocolError
from engine.sip.message import Headers, Request, Response, response_to
from engine.sip.parser import parse
from engine.sip.rules import GIVE_UP_S, RULES, T1_S, T2_S, T4_S, TIMERS, Input, Kind, State
from engine.sip.transactions import (
    AckMissing,
    ClientTransactions,
    Final,
    Provisional,
    Send,
    ServerTransactions,
    TimedOut,
    Verdict,
)
from tests.engine.sip import samples

FLOWS = ("udp", "tcp")


def servers() -> ServerTransactions:
    return ServerTransactions(lambda flow: flow != "udp")


def clients() -> ClientTransactions:
    return ClientTransactions(lambda flow: flow != "udp")


def fire_times(machines: ServerTransactions | ClientTransactions) -> list[tuple[float, str]]:
    """Runs until nothing is scheduled: (time, what happened) of each deadline that did something."""
    happened: list[tuple[float, str]] = []
    while (at := machines.next_deadline()) is not None:
        happened += [(at, type(what).__name__) for what in machines.on_time(at)]
    return happened


def doubling(cap_s: float, start: float = 0.0, first_s: float = T1_S) -> list[float]:
    """When something is sent again that doubles its interval up to `cap_s`, before 64*T1 are over."""
    times, at, interval = [], start + first_s, first_s
    while at < start + GIVE_UP_S:
        times.append(at)
        interval = min(2 * interval, cap_s)
        at += interval
    return times


def test_the_tables_fit_together() -> None:
    for kind, state in RULES:
        assert state is State.TERMINATED or (kind, state) in TIMERS
    for (kind, state), timers in TIMERS.items():
        row = RULES[kind, state]
        assert Input.RESEND_DUE in row or timers.resend_s == float("inf")
        assert Input.END_DUE in row or timers.lasts_s == float("inf")
        targets = [target for target, _ in row.values() if target not in (None, State.TERMINATED)]
        assert all((kind, target) in TIMERS for target in targets)


def test_the_times_are_those_of_the_standard() -> None:
    assert (T1_S, T2_S, T4_S, GIVE_UP_S) == (0.5, 4.0, 5.0, 32.0)
    assert doubling(T2_S) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert doubling(float("inf")) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


# --- server, INVITE


def test_a_repeated_invite_gets_the_last_response_again() -> None:
    machines = servers()
    invite = samples.request("INVITE")
    first = machines.receive(invite, "udp", 0.0)
    assert first.verdict is Verdict.NEW
    assert first.transaction is not None

    assert machines.receive(invite, "udp", 0.1).sends == ()
    trying = machines.respond(first.transaction, response_to(invite, 100), 0.2)
    again = machines.receive(invite, "udp", 0.3)

    assert (again.verdict, list(again.sends)) == (Verdict.REPEATED, trying)
    assert again.transaction is first.transaction
    assert machines.next_deadline() is None


def test_a_repetition_from_elsewhere_is_answered_there() -> None:
    machines = servers()
    options = samples.request("OPTIONS")
    delivery = machines.receive(options, "udp", 0.0)
    assert delivery.transaction is not None
    machines.respond(delivery.transaction, response_to(options, 200), 0.0)

    assert [send.to for send in machines.receive(options, "udp-2", 0.1).sends] == ["udp-2"]


@pytest.mark.parametrize("flow", FLOWS)
def test_a_2xx_is_repeated_until_its_ack_comes(flow: str) -> None:
    machines = servers()
    invite = samples.request("INVITE")
    delivery = machines.receive(invite, flow, 0.0)
    assert delivery.transaction is not None
    sent = machines.respond(delivery.transaction, response_to(invite, 200, to_tag="ours"), 0.0)

    assert machines.on_time(T1_S - 0.01) == []
    assert machines.on_time(T1_S) == sent
    assert machines.receive(invite, flow, 0.6).sends == ()  # absorbed: RFC 6026 section 7.1
    ack = machines.receive(samples.request("ACK", branch="z9hG4bK-other", to_tag="ours"), flow, 0.7)

    assert (ack.verdict, ack.transaction) == (Verdict.ACKNOWLEDGED, delivery.transaction)
    again = machines.receive(samples.request("ACK", branch="z9hG4bK-third", to_tag="ours"), flow, 0.8)
    assert again.verdict is Verdict.ABSORBED
    assert machines.receive(invite, flow, 0.9).verdict is Verdict.REPEATED
    assert machines.next_deadline() == GIVE_UP_S
    assert machines.on_time(GIVE_UP_S) == []
    assert len(machines) == 0
    assert machines.receive(ack.request, flow, GIVE_UP_S).verdict is Verdict.STRAY


@pytest.mark.parametrize("flow", FLOWS)
def test_a_2xx_without_ack_is_repeated_for_32_s_and_then_reported(flow: str) -> None:
    machines = servers()
    invite = samples.request("INVITE")
    delivery = machines.receive(invite, flow, 0.0)
    assert delivery.transaction is not None
    machines.respond(delivery.transaction, response_to(invite, 200, to_tag="ours"), 0.0)

    happened = fire_times(machines)

    assert [at for at, what in happened if what == "Send"] == doubling(T2_S)
    assert happened[-1] == (GIVE_UP_S, "AckMissing")
    assert len(machines) == 0
    assert machines._answered == {}


@pytest.mark.parametrize(
    "ack",
    [
        samples.request("ACK", branch="z9hG4bK-2", cseq=9, to_tag="ours"),
        samples.request("ACK", branch="z9hG4bK-2", cseq_method="INVITE", to_tag="ours"),
        samples.request("ACK", branch="z9hG4bK-1", to_tag="ours"),
        samples.request("ACK", branch="z9hG4bK-2"),
        samples.request("ACK", branch="old", to_tag="ours"),
    ],
    ids=["wrong number", "wrong method", "branch of the INVITE", "no To tag", "no magic cookie"],
)
@pytest.mark.parametrize("status", [200, 486])
def test_sloppy_acks_count(ack: Request, status: int) -> None:
    machines = servers()
    invite = samples.request("INVITE")
    delivery = machines.receive(invite, "udp", 0.0)
    assert delivery.transaction is not None
    machines.respond(delivery.transaction, response_to(invite, status, to_tag="ours"), 0.0)

    received = machines.receive(ack, "udp", 0.1)

    assert received.verdict is (Verdict.ACKNOWLEDGED if status == 200 else Verdict.ABSORBED)
    assert received.transaction is delivery.transaction
    assert fire_times(machines) == []


def test_an_ack_finds_its_own_invite_among_several() -> None:
    machines = servers()
    transactions = []
    for number in (1, 2):
        invite = samples.request("INVITE", branch=f"z9hG4bK-{number}", cseq=number, to_tag="ours")
        delivery = machines.receive(invite, "udp", 0.0)
        assert delivery.transaction is not None
        machines.respond(delivery.transaction, response_to(invite, 200), 0.0)
        transactions.append(delivery.transaction)

    assert (
        machines.receive(samples.request("ACK", branch="z9hG4bK-a", cseq=1), "udp", 0.1).transaction is transactions[0]
    )
    assert (
        machines.receive(samples.request("ACK", branch="z9hG4bK-b", cseq=7), "udp", 0.1).transaction is transactions[1]
    )


def test_acks_that_belong_to_nothing_are_stray() -> None:
    machines = servers()
    assert machines.receive(samples.request("ACK"), "udp", 0.0).verdict is Verdict.STRAY
    machines.receive(samples.request("INVITE"), "udp", 0.0)

    assert machines.receive(samples.request("ACK"), "udp", 0.1).verdict is Verdict.STRAY
    assert machines.receive(samples.request("ACK", branch="z9hG4bK-2", call_id="other"), "udp", 0.1).transaction is None


@pytest.mark.parametrize("flow", FLOWS)
def test_a_refusal_is_repeated_over_udp_only_until_time_is_up(flow: str) -> None:
    machines = servers()
    invite = samples.request("INVITE")
    delivery = machines.receive(invite, flow, 0.0)
    assert delivery.transaction is not None
    sent = machines.respond(delivery.transaction, response_to(invite, 503), 0.0)
    assert list(machines.receive(invite, flow, 0.0).sends) == sent

    happened = fire_times(machines)

    assert [at for at, _ in happened] == (doubling(T2_S) if flow == "udp" else [])
    assert len(machines) == 0


@pytest.mark.parametrize("flow", FLOWS)
def test_the_ack_of_a_refusal_is_absorbed_for_t4(flow: str) -> None:
    machines = servers()
    invite = samples.request("INVITE")
    delivery = machines.receive(invite, flow, 0.0)
    assert delivery.transaction is not None
    machines.respond(delivery.transaction, response_to(invite, 503), 0.0)

    assert machines.receive(samples.request("ACK"), flow, 1.0).verdict is Verdict.ABSORBED

    if flow == "tcp":
        assert len(machines) == 0
    else:
        assert machines.receive(samples.request("ACK"), flow, 1.1).verdict is Verdict.ABSORBED
        assert machines.receive(invite, flow, 1.2).sends == ()
        assert machines.next_deadline() == 1.0 + T4_S
        assert machines.on_time(1.0 + T4_S) == []
        assert len(machines) == 0


def test_a_second_final_response_is_our_error() -> None:
    machines = servers()
    for number, (first, second) in enumerate([(200, 487), (487, 200), (486, 180), (200, 200)]):
        invite = samples.request("INVITE", branch=f"z9hG4bK-{number}", cseq=number)
        delivery = machines.receive(invite, "udp", 0.0)
        assert delivery.transaction is not None
        assert delivery.transaction.is_open
        machines.respond(delivery.transaction, response_to(invite, first), 0.0)
        assert not delivery.transaction.is_open
        with pytest.raises(LocalProtocolError):
            machines.respond(delivery.transaction, response_to(invite, second), 0.1)


# --- server, CANCEL and others


def test_a_cancel_comes_with_its_invite() -> None:
    machines = servers()
    invite = machines.receive(samples.request("INVITE"), "udp", 0.0)
    cancel = machines.receive(samples.request("CANCEL"), "udp", 0.1)

    assert cancel.verdict is Verdict.NEW
    assert cancel.cancelled is invite.transaction
    assert cancel.transaction is not None
    assert cancel.transaction is not invite.transaction
    assert machines.receive(samples.request("CANCEL", branch="z9hG4bK-2"), "udp", 0.1).cancelled is None


def test_peers_without_the_magic_cookie_are_matched_by_what_stays_the_same() -> None:
    machines = servers()
    invite = samples.request("INVITE", branch="1")
    first = machines.receive(invite, "udp", 0.0)

    assert machines.receive(invite, "udp", 0.1).transaction is first.transaction
    assert machines.receive(samples.request("CANCEL", branch="1"), "udp", 0.1).cancelled is first.transaction
    for other in (
        samples.request("INVITE", branch="1", call_id="call-2"),
        samples.request("INVITE", branch="1", cseq=2),
        samples.request("INVITE", branch="2"),
        samples.request("INVITE", branch="1", from_tag="other"),
    ):
        assert machines.receive(other, "udp", 0.1).verdict is Verdict.NEW


@pytest.mark.parametrize("flow", FLOWS)
def test_other_requests_are_answered_alike_for_32_s_over_udp(flow: str) -> None:
    machines = servers()
    bye = samples.request("BYE", to_tag="ours")
    delivery = machines.receive(bye, flow, 0.0)
    assert delivery.transaction is not None
    assert machines.receive(bye, flow, 0.1).sends == ()

    sent = machines.respond(delivery.transaction, response_to(bye, 200), 1.0)

    if flow == "tcp":
        assert len(machines) == 0
    else:
        assert list(machines.receive(bye, flow, 2.0).sends) == sent
        assert machines.next_deadline() == 1.0 + GIVE_UP_S
        assert fire_times(machines) == []
        assert len(machines) == 0


@pytest.mark.parametrize("provisional", [True, False])
def test_an_answer_after_the_peer_gave_up_is_not_sent(provisional: bool) -> None:
    machines = servers()
    info = samples.request("INFO", to_tag="ours")
    delivery = machines.receive(info, "udp", 0.0)
    assert delivery.transaction is not None
    if provisional:
        sent = machines.respond(delivery.transaction, response_to(info, 183), 1.0)
        assert list(machines.receive(info, "udp", 2.0).sends) == sent

    assert machines.next_deadline() == GIVE_UP_S
    assert machines.on_time(GIVE_UP_S) == []
    assert len(machines) == 0
    assert machines.respond(delivery.transaction, response_to(info, 200), 40.0) == []


# --- client


def send(machines: ClientTransactions, method: str, flow: str) -> tuple[Request, bytes]:
    request = samples.request(method)
    (sent,) = machines.request(request, flow, 0.0)
    assert sent == Send(request.serialize(), flow)
    return request, sent.data


@pytest.mark.parametrize(("method", "flow"), list(product(["INVITE", "BYE"], FLOWS)))
def test_a_request_that_nobody_answers_is_repeated_over_udp_and_times_out(method: str, flow: str) -> None:
    machines = clients()
    send(machines, method, flow)

    happened = fire_times(machines)

    expected = doubling(float("inf") if method == "INVITE" else T2_S)
    assert [at for at, what in happened if what == "Send"] == (expected if flow == "udp" else [])
    assert happened[-1] == (GIVE_UP_S, "TimedOut")
    assert len(machines) == 0


def test_an_invite_that_rings_waits_without_end() -> None:
    machines = clients()
    invite, _ = send(machines, "INVITE", "udp")
    ringing = response_to(invite, 180)

    assert machines.receive(ringing, 0.2).event == Provisional(invite, ringing)
    assert machines.next_deadline() is None
    assert machines.receive(ringing, 100.0).event == Provisional(invite, ringing)


def test_a_bye_that_is_in_progress_is_repeated_every_t2() -> None:
    machines = clients()
    bye, _ = send(machines, "BYE", "udp")
    machines.receive(response_to(bye, 100), 0.2)

    happened = fire_times(machines)

    assert [at for at, what in happened if what == "Send"] == [pytest.approx(0.2 + T2_S * turn) for turn in range(1, 8)]
    assert happened[-1] == (GIVE_UP_S, "TimedOut")


def test_each_2xx_to_an_invite_comes_up() -> None:
    machines = clients()
    invite, _ = send(machines, "INVITE", "udp")
    ok = response_to(invite, 200, to_tag="theirs")

    assert machines.receive(ok, 0.2).event == Final(invite, ok)
    assert machines.receive(ok, 0.7).event == Final(invite, ok, is_repeat=True)
    assert machines.receive(response_to(invite, 180), 0.8).event is None
    assert machines.receive(response_to(invite, 486), 0.8).event is None
    assert machines.next_deadline() == 0.2 + GIVE_UP_S
    assert fire_times(machines) == []
    assert len(machines) == 0
    assert machines.receive(ok, 40.0).event is None


@pytest.mark.parametrize("flow", FLOWS)
def test_a_refused_invite_is_acknowledged_by_the_transaction(flow: str) -> None:
    machines = clients()
    invite = samples.request("INVITE", extra=(("Route", "<sip:p;lr>"),))
    machines.request(invite, flow, 0.0)
    busy = response_to(invite, 486, to_tag="busy")

    received = machines.receive(busy, 0.2)

    assert received.event == Final(invite, busy)
    (sent,) = received.sends
    ack = parse(sent.data)
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.cseq) == ("ACK", invite.uri, (1, "ACK"))
    assert (ack.via, ack.call_id, ack.from_tag, ack.to_tag) == (invite.via, "call-1", "theirs", "busy")
    assert ack.headers.all("Route") == ["<sip:p;lr>"]
    if flow == "tcp":
        assert len(machines) == 0
    else:
        again = machines.receive(busy, 0.7)
        assert (again.event, again.sends) == (None, received.sends)
        assert machines.next_deadline() == 0.2 + GIVE_UP_S
        assert fire_times(machines) == []
        assert len(machines) == 0


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("status", [200, 481])
def test_an_answered_bye_absorbs_repetitions_for_t4(flow: str, status: int) -> None:
    machines = clients()
    bye, _ = send(machines, "BYE", flow)
    answer = response_to(bye, status)

    assert machines.receive(answer, 0.2).event == Final(bye, answer)
    assert machines.receive(answer, 0.3).event is None
    assert machines.next_deadline() == (None if flow == "tcp" else 0.2 + T4_S)
    assert fire_times(machines) == []
    assert len(machines) == 0


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    machines = clients()
    invite = samples.request("INVITE", extra=(("Route", "<sip:p;lr>"),))
    machines.request(invite, "udp", 0.0)

    assert machines.cancel(invite, 0.1) == []
    received = machines.receive(response_to(invite, 100), 0.2)
    assert isinstance(received.event, Provisional)
    (sent,) = received.sends
    cancel = parse(sent.data)
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.uri, cancel.cseq, cancel.via) == ("CANCEL", invite.uri, (1, "CANCEL"), invite.via)
    assert cancel.headers.all("Route") == ["<sip:p;lr>"]
    assert machines.receive(response_to(invite, 180), 0.3).sends == ()
    assert machines.cancel(invite, 0.3) == []

    accepted = machines.receive(response_to(cancel, 200), 0.4)
    assert isinstance(accepted.event, Final)
    assert accepted.event.request.method == "CANCEL"
    ended = machines.receive(response_to(invite, 487), 0.5)
    assert isinstance(ended.event, Final)
    assert len(ended.sends) == 1
    assert machines.cancel(invite, 0.6) == []


def test_a_cancelled_invite_that_is_never_answered_times_out() -> None:
    machines = clients()
    invite, _ = send(machines, "INVITE", "tcp")
    machines.receive(response_to(invite, 180), 1.0)
    assert len(machines.cancel(invite, 2.0)) == 1

    assert fire_times(machines) == [(2.0 + GIVE_UP_S, "TimedOut"), (2.0 + GIVE_UP_S, "TimedOut")]
    assert len(machines) == 0


def test_responses_to_nothing_mean_nothing() -> None:
    machines = clients()
    bye, _ = send(machines, "BYE", "udp")

    for stranger in (samples.request("BYE", branch="z9hG4bK-2"), samples.request("INFO")):
        assert machines.receive(response_to(stranger, 200), 0.1).event is None
    without_branch = Response(200, "OK", response_to(bye, 200).headers.replaced("Via", "SIP/2.0/UDP 192.0.2.10"))
    assert machines.receive(without_branch, 0.1).event is None


def test_requests_that_make_no_transaction_are_our_error() -> None:
    machines = clients()
    send(machines, "BYE", "udp")
    without_via = Request("BYE", "sip:a@b", Headers((("Via", "SIP/2.0/UDP h"),)))

    for request in (samples.request("BYE"), samples.request("ACK"), samples.request("BYE", branch="x"), without_via):
        with pytest.raises(LocalProtocolError):
            machines.request(request, "udp", 0.0)


# --- both


def test_thousands_of_transactions_end_in_the_right_order() -> None:
    machines = servers()
    for number in range(3000):
        invite = samples.request("INVITE", branch=f"z9hG4bK-{number}", call_id=f"call-{number}")
        delivery = machines.receive(invite, "udp", number / 1000)
        assert delivery.transaction is not None
        machines.respond(delivery.transaction, response_to(invite, 200), number / 1000)
    assert len(machines) == 3000

    happened = []
    while (at := machines.next_deadline()) is not None:
        happened += machines.on_time(at)

    missing = [what.transaction.request.call_id for what in happened if isinstance(what, AckMissing)]
    assert missing == [f"call-{number}" for number in range(3000)]
    assert len(machines) == 0


def test_a_late_clock_does_each_thing_once() -> None:
    machines = clients()
    send(machines, "BYE", "udp")

    assert [type(what) for what in machines.on_time(10.0)] == [Send]
    assert machines.next_deadline() == 10.0 + 2 * T1_S
    assert [type(what) for what in machines.on_time(100.0)] == [TimedOut]


def test_an_input_that_no_table_knows_does_nothing() -> None:
    machines = servers()
    delivery = machines.receive(samples.request("INVITE"), "udp", 0.0)
    assert delivery.transaction is not None

    assert not machines.ack(delivery.transaction, 0.1)
    assert delivery.transaction.state is State.PROCEEDING
    assert delivery.transaction.kind is Kind.INVITE_SERVER
