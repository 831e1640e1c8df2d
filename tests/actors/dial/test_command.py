"""`earshot dial` and the campaigns behind it: what users see, and what the recorder gets of it.

Campaigns run on a clock that jumps. The command runs its own loop, so that its recorder has one in a thread.
"""

import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing
import typer
from typer.testing import CliRunner

from actors.dial import MediaConfig, Party
from actors.dial.campaign import Campaign, Tally, dial_all
from actors.dial.command import dial
from actors.dial.plan import Keys, Plan, Span, Transfer
from engine import rtp, sdp
from tests.actors.dial.recorder import Recorder, description_of, metadata_of, open_recorder, parts_of

LIMIT_S = 60.0


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command("dial")(dial)
    return app


@contextmanager
def recorder_in_a_thread() -> Iterator[Recorder]:
    """A recorder that runs while the command does; look at it afterwards."""
    ready: queue.SimpleQueue[tuple[Recorder, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.SimpleQueue()

    async def serve() -> None:
        with trio.CancelScope() as scope:
            async with open_recorder() as recorder:
                ready.put((recorder, trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    recorder, token, scope = ready.get(timeout=LIMIT_S)
    try:
        yield recorder
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def test_a_call_from_the_command_line(command: typer.Typer) -> None:
    with recorder_in_a_thread() as recorder:
        words = [
            recorder.target,
            "--duration",
            "0.5",
            "--from-number",
            "2001",
            "--from-name",
            "Ann [b]",
            "--codec",
            "pcma",
        ]
        result = CliRunner().invoke(command, words)
        assert result.exit_code == 0, result.output
        assert re.search(r"Calls answered\W+1 of 1\b", result.stdout)
        assert re.search(r"Packets sent\W+[1-9]", result.stdout)
        assert recorder.methods() == ["INVITE", "BYE"]
        assert metadata_of(recorder.last("INVITE")).participants[0].name == "Ann [b]"
        assert metadata_of(recorder.last("INVITE")).participants[0].number == "2001"
        assert [media.formats for media in description_of(recorder.last("INVITE")).media] == [(8, 101), (8, 101)]


def test_refused_calls_are_counted_by_reason(command: typer.Typer) -> None:
    with recorder_in_a_thread() as recorder:
        recorder.status_of = lambda request: 503
        result = CliRunner().invoke(command, [recorder.target, "--calls", "3", "--rate", "100"])
    assert result.exit_code == 1
    assert re.search(r"Calls answered\W+0 of 3\b", result.stdout)
    assert re.search(r"The recorder refused the call: 503 Service Unavailable\.\W+3\b", result.stdout)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--pause", "5-3"], "--pause: '5-3' is no span"),
        (["--pause", "3-5", "--hold", "4-6"], "must not overlap"),
        (["--duration", "4", "--hold", "3-5"], "does not fit"),
        (["--duration", "0"], "more than 0"),
        (["--dtmf", "12"], "--dtmf: '12' are no keys"),
        (["--transfer", "x"], "--transfer: 'x' is no transfer"),
        (["--transfer", "1", "--metadata", "none"], "--metadata none"),
        (["--loss", "200%"], "--loss: '200%' is no share"),
        (["--caller", "nowhere.wav"], "--caller: The audio file nowhere.wav cannot be read"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--jitter", "inf"], "--jitter"),
        (["--abrupt", "11"], "cannot end abruptly"),
        (["--from-number", ""], "is nobody"),
        (["tel:1"], "cannot be dialled"),
        (["sip:"], "is no SIP URI"),
        (["--ptime", "5"], "greater than or equal to 10"),
        (["--calls", "0"], "greater than or equal to 1"),
        (["--codec", "g729"], "g729"),
    ],
)
def test_wrong_usage_is_status_2_and_a_sentence(command: typer.Typer, words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_nobody_there_is_status_1(command: typer.Typer) -> None:
    with recorder_in_a_thread() as recorder:
        target = recorder.target
    result = CliRunner().invoke(command, [target])
    assert result.exit_code == 1
    assert "Nothing listens at" in result.stdout
    result = CliRunner().invoke(command, [target, "--transport", "tcp"])
    assert result.exit_code == 1
    assert "There is no connection to" in result.stderr


def test_the_help_has_examples(command: typer.Typer) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert "earshot dial --pause 3-5" in result.stdout


async def tally_of(recorder: Recorder, **settings: Any) -> Tally:
    campaign = Campaign(recorder.target, **settings)
    tally = Tally()
    await dial_all(campaign, tally, trio.CancelScope())
    assert tally.up == 0
    return tally


async def test_a_plan_is_followed(autojump_clock: trio.testing.MockClock) -> None:
    plan = Plan(
        10,
        pauses=(Span(3, 5),),
        holds=(Span(7, 8),),
        transfers=(Transfer(6, Party("1004", "Cleo")),),
        keys=(Keys(1, "7", "callee"),),
    )
    times: list[float] = []
    digits: list[str] = []
    async with open_recorder() as recorder:
        start = trio.current_time()

        def note(request: object) -> int:
            times.append(round(trio.current_time() - start, 1))
            return 200

        recorder.status_of = note
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                await trio.sleep(2)
                packets = recorder.packets(1)
                digits.extend(rtp.parse_event(each.payload).digit for each in packets if each.payload_type == 101)

            nursery.start_soon(listen)
            tally = await tally_of(recorder, plan=plan)
    assert tally.went_well(Campaign("", plan=plan))
    assert recorder.methods() == ["INVITE", "INVITE", "INVITE", "UPDATE", "INVITE", "INVITE", "BYE"]
    assert times == [0, 3, 5, 6, 7, 8, 10]
    forms = [sdp.suspension(description_of(each).media[0]) for each in recorder.requests if each.method == "INVITE"]
    assert forms == [None, "zero-address", None, "inactive", None]
    assert metadata_of(recorder.last("UPDATE")).participants[-1].name == "Cleo"
    assert set(digits) == {"7"}


async def test_an_abrupt_end_has_no_bye(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder:
        tally = await tally_of(recorder, plan=Plan(10, abrupt_s=2))
        await trio.sleep(40)
    assert recorder.methods() == ["INVITE"]
    assert tally.answered == 1
    assert tally.packets_sent == pytest.approx(200, abs=4)


async def test_calls_come_at_their_rate(autojump_clock: trio.testing.MockClock) -> None:
    times: list[float] = []
    async with open_recorder() as recorder:
        start = trio.current_time()

        def note(request: Any) -> int:
            if request.method == "INVITE":
                times.append(round(trio.current_time() - start, 2))
            return 200

        recorder.status_of = note
        tally = await tally_of(recorder, calls=5, rate=4, plan=Plan(0.5))
    assert times == [0, 0.25, 0.5, 0.75, 1.0]
    assert tally.answered == 5
    assert recorder.methods().count("BYE") == 5


async def test_what_goes_wrong_in_a_call_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder:
        recorder.status_of = lambda request: 488 if sent_again(request) else 200
        tally = await tally_of(recorder, plan=Plan(4, holds=(Span(1, 2),)))
        assert tally.answered == 1
        assert dict(tally.faults) == {
            "At 1 s (hold): The recorder refused the INVITE: 488 Not Acceptable Here.": 1,
            "At 2 s (resume): The recorder refused the INVITE: 488 Not Acceptable Here.": 1,
        }
        assert not tally.went_well(Campaign(""))


def sent_again(request: Any) -> bool:
    return request.method == "INVITE" and request.to_tag is not None


async def test_a_call_that_the_recorder_ends_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, trio.open_nursery() as nursery:

        async def end() -> None:
            await recorder.until(lambda: recorder.acks == 1)
            recorder.request(recorder.last("INVITE").call_id, "BYE")

        nursery.start_soon(end)
        before = trio.current_time()
        tally = await tally_of(recorder, plan=Plan(60))
        assert trio.current_time() - before < 2
    assert dict(tally.faults) == {"The recorder ended the call.": 1}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (481, "The recorder no longer knew the call: 481 Call/Transaction Does Not Exist."),
        (408, "The recorder refused the BYE: 408 Request Timeout."),
        (500, "The recorder refused the BYE: 500 Server Internal Error."),
    ],
)
async def test_a_refused_goodbye_is_told(autojump_clock: trio.testing.MockClock, status: int, sentence: str) -> None:
    """A recorder that was killed in mid-call and started again: the rest of the call is lost."""
    async with open_recorder() as recorder:
        recorder.status_of = lambda request: status if request.method == "BYE" else 200
        campaign = Campaign(recorder.target, plan=Plan(1))
        tally = Tally()
        await dial_all(campaign, tally, trio.CancelScope())
    assert dict(tally.faults) == {sentence: 1}
    assert not tally.went_well(campaign)


async def test_stopping_ends_the_calls_that_are_up(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder, trio.open_nursery() as nursery:
        stop, tally = trio.CancelScope(), Tally()
        nursery.start_soon(dial_all, Campaign(recorder.target, calls=100, rate=1, plan=Plan(60)), tally, stop)
        await trio.sleep(2.5)
        stop.cancel()
        await recorder.until(lambda: recorder.methods().count("BYE") == 3)
        await trio.testing.wait_all_tasks_blocked()
        assert tally.stopped
    assert tally.answered == 3
    assert not tally.went_well(Campaign("", calls=3))
    assert recorder.methods().count("INVITE") == 3


async def test_each_call_loses_other_packets(autojump_clock: trio.testing.MockClock) -> None:
    async with open_recorder() as recorder:
        tally = await tally_of(recorder, calls=2, rate=1, plan=Plan(1), media=MediaConfig(loss=0.5), streams=1)
    assert tally.packets_lost == pytest.approx(50, abs=25)
    assert tally.packets_sent + tally.packets_lost == pytest.approx(102, abs=4)


@pytest.mark.parametrize("metadata", ["rfc7865", "draft", None])
async def test_the_parties_reach_the_recorder(autojump_clock: trio.testing.MockClock, metadata: Any) -> None:
    async with open_recorder() as recorder:
        await tally_of(recorder, metadata=metadata, caller=Party("2001"), callee=Party("2002"), plan=Plan(0.1))
    invite = recorder.last("INVITE")
    if metadata is None:
        assert len(parts_of(invite)) == 1
        assert invite.from_addr.uri == "sip:2001@pbx.example"
    else:
        assert [each.number for each in metadata_of(invite).participants] == ["2001", "2002"]
