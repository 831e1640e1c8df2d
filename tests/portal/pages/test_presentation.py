"""What pages say about a call: parties, states, bands of the player, the timeline."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from portal.pages import presentation
from portal.pages.presentation import Band
from schema.values import (
    CallRecord,
    CallStage,
    CallView,
    ParticipantRecord,
    PartyRecord,
    PauseRecord,
    RecordingRecord,
)

ULLA, SAM = UUID(int=1), UUID(int=2)
STARTED = datetime(2026, 3, 5, 15, 24, 57, tzinfo=UTC)
FILE = RecordingRecord("2026/03/05", "audio.opus", "opus", 1000, "00", 100.0, 8000, "peaks.dat")
CALL = CallRecord(
    id=UUID(int=9),
    tenant_id=UUID(int=8),
    node="recorder-1",
    events=4,
    started_at=STARTED,
    ended_at=STARTED + timedelta(seconds=100),
    duration_s=100.0,
    end="normal",
    finished=True,
    caller=PartyRecord("12333001100", "Michael Harvell"),
    callee=PartyRecord("300", "Ulla Skinner", user_id=ULLA),
    recording_file=FILE,
)


def view(record: CallRecord, stage: CallStage = CallStage.FINISHED) -> CallView:
    return CallView(record, stage, record.id, {ULLA: "Ulla Skinner", SAM: "Sam Reed"})


@pytest.mark.parametrize(
    ("number", "name", "text"),
    [
        ("12333001100", "Michael Harvell", "12333001100 (Michael Harvell)"),
        ("8303620297", "", "8303620297"),
        ("", "Michael Harvell", "Michael Harvell"),
        ("300", "300", "300"),
        ("", "", ""),
    ],
)
def test_a_party_is_its_number_and_its_name(number: str, name: str, text: str) -> None:
    party = presentation.party(view(replace(CALL, caller=PartyRecord(number, name))), "caller")
    assert party.text == text


def test_the_user_of_a_line_is_named_before_the_phone() -> None:
    desk = replace(CALL, callee=PartyRecord("300", "Reception desk", user_id=ULLA))
    assert presentation.party(view(desk), "callee").short == "Ulla Skinner"
    assert presentation.party(view(desk), "caller").short == "Michael Harvell"
    assert presentation.party(view(replace(CALL, caller=PartyRecord("555"))), "caller").short == "555"


def test_a_call_is_that_of_its_users() -> None:
    assert [one.name for one in presentation.users(view(CALL))] == ["Ulla Skinner"]
    inside = replace(CALL, caller=PartyRecord("301", user_id=SAM))
    assert [one.name for one in presentation.users(view(inside))] == ["Sam Reed", "Ulla Skinner"]
    assert [one.name for one in presentation.users(view(replace(inside, caller=inside.callee)))] == ["Ulla Skinner"]
    assert [one.name for one in presentation.users(view(replace(CALL, callee=PartyRecord("7"))))] == []


@pytest.mark.parametrize(
    ("stage", "recording", "state"),
    [
        (CallStage.ACTIVE, "recording", "recording"),
        (CallStage.ACTIVE, "paused", "paused"),
        (CallStage.UNREACHABLE, "paused", "unreachable"),
        (CallStage.FINISHING, "off", "finishing"),
        (CallStage.FINISHED, "off", "finished"),
    ],
)
def test_the_mark_of_a_call(stage: CallStage, recording: str, state: str) -> None:
    assert presentation.state(view(replace(CALL, recording=recording), stage)) == state


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.9, "0:59"), (160, "2:40"), (3347, "55:47"), (3661, "1:01:01"), (-1, "0:00")],
)
def test_durations(seconds: float, text: str) -> None:
    assert presentation.duration(seconds) == text


def test_paused_time_is_a_band_where_the_file_has_it() -> None:
    paused = replace(CALL, pauses=(PauseRecord(10.0, 25.0, "ulla", 10.0), PauseRecord(90.0, None, "ulla", 90.0)))
    assert presentation.bands(paused) == [Band(10.0, 25.0), Band(90.0, 100.0)]


def test_skipped_pauses_are_marks_and_what_follows_lies_earlier_in_the_file() -> None:
    short = replace(FILE, duration_s=75.0)
    pauses = (PauseRecord(10.0, 25.0, "ulla", 10.0), PauseRecord(40.0, 50.0, "ulla", 25.0))
    skipped = replace(CALL, recording_file=short, pauses=pauses)
    assert presentation.bands(skipped) == [Band(10.0, 10.0), Band(25.0, 25.0)]
    assert [presentation.file_position(skipped, at) for at in (5, 20, 30, 45, 60)] == [5, 10, 15, 25, 35]


def test_without_a_file_nothing_can_be_jumped_to() -> None:
    silent = replace(CALL, recording_file=None, pauses=(PauseRecord(10.0, 25.0, "ulla"),))
    assert presentation.bands(silent) == []
    assert {one.file_s for one in presentation.timeline(silent)} == {None}


def test_the_timeline_tells_what_happened_in_order() -> None:
    record = replace(
        CALL,
        participants=(
            ParticipantRecord("Michael Harvell", "12333001100", "", 0.0, 60.0),
            ParticipantRecord("", "300", "300@example.com", 0.0, None),
            ParticipantRecord("", "", "sam@example.com", 30.0, 100.0),
        ),
        pauses=(PauseRecord(40.0, 50.0, presentation.PHONE_SYSTEM, 40.0), PauseRecord(95.0, 100.0, "ulla", 95.0)),
    )
    told = [(one.at_s, one.kind, one.who) for one in presentation.timeline(record)]
    assert told == [
        (0.0, "started", ""),
        (30.0, "joined", "sam@example.com"),
        (40.0, "paused", "phone-system"),
        (50.0, "resumed", ""),
        (60.0, "left", "Michael Harvell"),
        (95.0, "paused", "ulla"),
        (100.0, "ended", "normal"),
    ]


def test_a_call_that_runs_is_in_its_last_open_pause() -> None:
    running = replace(CALL, ended_at=None, duration_s=None, end=None, finished=False, recording_file=None)
    assert presentation.open_pause(running) is None
    paused = replace(running, pauses=(PauseRecord(10.0, 25.0, "ulla"), PauseRecord(40.0, None, "sam")))
    assert presentation.open_pause(paused) == PauseRecord(40.0, None, "sam")
    assert [one.kind for one in presentation.timeline(paused)] == ["started", "paused", "resumed", "paused"]
