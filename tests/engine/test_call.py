"""The call as a value: what is decided, what is refused, and that the events alone give the state again."""

from hypothesis import given
from hypothesis import strategies as st

from engine.call import (
    AgreeStreams,
    Begin,
    CallState,
    Command,
    EndCall,
    Identify,
    JoinDialog,
    NoteRestart,
    Pause,
    ReadMetadata,
    Refusal,
    Resume,
    StartRecording,
    StopRecording,
    apply,
    decide,
    fold,
)
from engine.events import AnyEvent, Codec, Instant, Origin, Participant, Party, Stream, decode, encode

ORIGIN = Origin("call-id@sbc")


def at(second: float) -> Instant:
    return Instant(1_700_000_000_000_000_000 + int(second * 1e9), int(second * 1e9))


def play(*commands: tuple[float, Command]) -> tuple[CallState, list[AnyEvent], list[Refusal]]:
    state: CallState | None = None
    events: list[AnyEvent] = []
    refusals: list[Refusal] = []
    for second, command in ((0.0, Begin("c1", "node", ORIGIN)), *commands):
        outcome = decide(state, command, at(second))
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
            continue
        for event in outcome:
            state = apply(state, event)
            events.append(event)
    assert state is not None
    return state, events, refusals


def test_repeating_a_pause_changes_nothing() -> None:
    state, events, refusals = play(
        (1, Pause("person")), (2, Pause("person")), (3, Resume("person")), (4, Resume("person"))
    )
    assert [type(event).__name__ for event in events] == ["Started", "Paused", "Resumed"]
    assert not state.paused
    assert not refusals
    assert [(p.start, p.end) for p in state.pauses] == [(at(1), at(3))]


def test_a_phone_system_that_resumes_does_not_end_a_persons_pause() -> None:
    state, _, _ = play((1, Pause("person")), (2, Pause("phone-system", "inactive")), (3, Resume("phone-system")))
    assert state.paused
    assert len(state.pauses) == 1
    assert state.pauses[0].end is None
    assert state.pauses[0].holders == ("person", "phone-system")


def test_a_person_cannot_end_the_phone_systems_pause() -> None:
    state, _, refusals = play((1, Pause("phone-system")), (2, Resume("person")))
    assert state.paused
    assert "phone system" in refusals[0].reason


def test_a_call_is_recorded_as_a_whole() -> None:
    state, events, refusals = play((1, StartRecording(who="agent")), (2, StopRecording(who="agent")))
    assert [type(event).__name__ for event in events] == ["Started"]
    assert not state.paused
    assert [refusal.reason for refusal in refusals] == [
        "This call is recorded from its beginning to its end: it can be paused, not stopped."
    ]


def test_a_pause_is_not_ended_by_a_start() -> None:
    state, _, _ = play((1, Pause("person")), (2, StartRecording(who="agent")))
    assert state.paused


def test_an_offer_suspends_and_brings_back() -> None:
    stream = Stream(0, 0, "1", "caller", 10_000)
    inactive = Stream(0, 0, "1", "caller", 10_000, state="inactive")
    state, events, _ = play(
        (0, AgreeStreams(0, (stream,))),
        (1, AgreeStreams(0, (inactive,), "inactive")),
        (2, AgreeStreams(0, (inactive,), "inactive")),
        (3, AgreeStreams(0, (stream,))),
    )
    assert [type(event).__name__ for event in events] == [
        "Started",
        "StreamsAgreed",
        "StreamsAgreed",
        "Paused",
        "StreamsAgreed",
        "Resumed",
    ]
    assert state.pauses[0].sign == "inactive"
    assert state.streams == (stream,)


def test_after_its_end_a_call_refuses_all_but_another_end() -> None:
    _, events, refusals = play((1, EndCall("normal")), (2, Pause("person")), (3, EndCall("lost")))
    assert [type(event).__name__ for event in events] == ["Started", "Ended"]
    assert [refusal.reason for refusal in refusals] == ["The call has ended."]


def test_an_end_closes_what_was_open() -> None:
    joined = ReadMetadata("application/rs-metadata", b"<x/>", participants=(Participant("a"),))
    state, _, _ = play((0, joined), (1, Pause("person")), (5, EndCall("normal")))
    assert state.pauses[0].end == at(5)
    assert state.presences[0].left == at(5)


def test_participants_come_and_go_and_are_never_renumbered() -> None:
    first, second, third = Participant("a", "100"), Participant("b", "200"), Participant("c", "300")
    state, _, _ = play(
        (0, ReadMetadata("t", b"", participants=(first, second))),
        (5, ReadMetadata("t", b"", participants=(first, third))),
    )
    assert [(p.participant.id, p.joined, p.left) for p in state.presences] == [
        ("a", at(0), None),
        ("b", at(0), at(5)),
        ("c", at(5), None),
    ]


def test_unreadable_metadata_is_a_warning_and_removes_nobody() -> None:
    state, _, _ = play(
        (0, ReadMetadata("t", b"", participants=(Participant("a"),))),
        (1, ReadMetadata("t", b"<broken", problem="not XML", participants=None)),
    )
    assert [p.left for p in state.presences] == [None]
    assert state.warnings == ("Metadata could not be read: not XML",)


def test_nothing_happens_before_the_beginning() -> None:
    assert isinstance(decide(None, Pause("person"), at(0)), Refusal)
    assert fold([]) is None


texts = st.text(max_size=5)
holders = st.sampled_from(["phone-system", "person"])
parties = st.builds(Party, texts, texts, texts)
participants = st.lists(st.builds(Participant, st.sampled_from("abc"), texts), max_size=3, unique_by=lambda p: p.id)
streams = st.lists(
    st.builds(
        Stream,
        index=st.integers(0, 3),
        dialog=st.just(0),
        label=texts,
        side=st.sampled_from(["caller", "callee", "both"]),
        port=st.integers(1, 65535),
        state=st.sampled_from(["active", "inactive", "rejected"]),
        codecs=st.just((Codec(0, "PCMU", 8000),)),
    ),
    max_size=2,
    unique_by=lambda s: s.index,
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Begin, texts, texts, st.just(ORIGIN)),
    st.builds(JoinDialog, st.just(ORIGIN)),
    st.builds(AgreeStreams, st.integers(0, 2), streams.map(tuple), st.sampled_from(["", "inactive"])),
    st.builds(ReadMetadata, texts, st.binary(max_size=5), texts, st.none() | participants.map(tuple)),
    st.builds(Identify, parties, parties, texts),
    st.builds(Pause, holders, texts, texts),
    st.builds(Resume, holders, texts, texts),
    st.builds(NoteRestart, texts),
    st.builds(EndCall, st.sampled_from(["normal", "lost"]), texts),
)


@given(st.lists(commands, max_size=30))
def test_the_events_in_the_journal_give_the_live_state(asked: list[Command]) -> None:
    state, events, _ = play(*((second, command) for second, command in enumerate(asked)))
    assert fold(decode(encode(event)) for event in events) == state
    assert state.events == len(events)
    assert state.paused == bool(state.pauses and state.pauses[-1].end is None) or state.ended is not None


@given(st.lists(commands, max_size=30))
def test_deciding_twice_is_deciding_once(asked: list[Command]) -> None:
    """What a command changed, the same command does not change again; a document or a note is news each time."""
    state: CallState | None = None
    for command in [Begin("c1", "node", ORIGIN), *asked]:
        for event in _events(decide(state, command, at(1))):
            state = apply(state, event)
        if isinstance(command, AgreeStreams | Identify | Pause | Resume | EndCall):
            assert not _events(decide(state, command, at(2)))


def _events(outcome: tuple[AnyEvent, ...] | Refusal) -> tuple[AnyEvent, ...]:
    return () if isinstance(outcome, Refusal) else outcome
