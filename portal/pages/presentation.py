"""A call as a page shows it: what a row of the list says, the parties, the bands of the player, the timeline.

Pure: values in, values out; words and dates are the templates' business.

Not here: queries, permissions, HTML.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from schema.profiles import Named
from schema.values import CallRecord, CallStage, CallView, PartyRecord, PauseRecord

# Who pauses when a phone system does; every other `by` is somebody's login.
PHONE_SYSTEM: Final = "phone-system"
# Metadata comes with the call's first request, or right behind it: whoever is named there was on the call all along.
AT_THE_START_S: Final = 1.0

State = Literal["recording", "paused", "finishing", "unreachable", "finished"]
Happening = Literal["started", "joined", "left", "paused", "resumed", "ended"]


@dataclass(frozen=True, slots=True)
class Party:
    """One side as a page shows it. `user` is the name of the user whose line it is, empty where it is nobody's."""

    side: Literal["caller", "callee"]
    record: PartyRecord
    user: str

    @property
    def text(self) -> str:
        """`12333001100 (Michael Harvell)`; one of the two where the other is missing or the same."""
        number, name = self.record.number, self.record.name
        if number and name and name != number:
            return f"{number} ({name})"
        return number or name

    @property
    def short(self) -> str:
        """The name, or the number of who has none."""
        return self.user or self.record.name or self.record.number


@dataclass(frozen=True, slots=True)
class Band:
    """Paused time on the player's axis, in s of the file; `end` is `start` where a recording skips its pauses."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened at `at_s` of the call; `file_s` is where that is in the file, None without a file."""

    at_s: float
    kind: Happening
    who: str = ""
    file_s: float | None = None


def state(call: CallView) -> State:
    """What the mark of a call says."""
    if call.stage is CallStage.ACTIVE:
        return "paused" if call.record.recording == "paused" else "recording"
    if call.stage is CallStage.UNREACHABLE:
        return "unreachable"
    return "finishing" if call.stage is CallStage.FINISHING else "finished"


def party(call: CallView, side: Literal["caller", "callee"]) -> Party:
    record = call.record.caller if side == "caller" else call.record.callee
    user = call.user_names.get(record.user_id, "") if record.user_id is not None else ""
    return Party(side, record, user)


def users(call: CallView) -> list[Named]:
    """The users whose call this is: none, one, or both of an internal call."""
    ids = dict.fromkeys((call.record.caller.user_id, call.record.callee.user_id))
    return [Named(user_id, call.user_names[user_id]) for user_id in ids if user_id and call.user_names.get(user_id)]


def began(record: CallRecord) -> datetime:
    """When people could talk: what a duration that ticks counts from."""
    return record.connected_at or record.started_at


def duration(seconds: float) -> str:
    """`0:59`, `55:47`, `1:01:01`."""
    minutes, s = divmod(max(0, int(seconds)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def open_pause(record: CallRecord) -> PauseRecord | None:
    """The pause that a call which runs is in."""
    return next((pause for pause in reversed(record.pauses) if pause.end_s is None), None)


def bands(record: CallRecord) -> list[Band]:
    """Where the player marks pauses; none without a file."""
    if record.recording_file is None:
        return []
    skipped, whole_s = _skips_pauses(record), record.recording_file.duration_s
    found = []
    for pause in record.pauses:
        start = pause.start_s if pause.file_s is None else pause.file_s
        end = whole_s if pause.end_s is None else min(start + pause.end_s - pause.start_s, whole_s)
        found.append(Band(start, start if skipped else end))
    return found


def file_position(record: CallRecord, at_s: float) -> float | None:
    """Where a moment of the call is in its file; None where there is no file."""
    if record.recording_file is None:
        return None
    away = 0.0
    if _skips_pauses(record):
        spans = [(pause.start_s, at_s if pause.end_s is None else pause.end_s) for pause in record.pauses]
        away = sum(min(at_s, end) - start for start, end in spans if start < at_s)
    return min(at_s - away, record.recording_file.duration_s)


def timeline(record: CallRecord) -> list[Moment]:
    """What happened, in order."""
    happened: list[tuple[float, Happening, str]] = [(0.0, "started", "")]
    for each in record.participants:
        who = each.name or each.number or each.aor
        if each.joined_s > AT_THE_START_S:
            happened.append((each.joined_s, "joined", who))
        if each.left_s is not None and each.left_s < (record.duration_s or 0.0):
            happened.append((each.left_s, "left", who))
    for pause in record.pauses:
        happened.append((pause.start_s, "paused", pause.by))
        if pause.end_s is not None and pause.end_s < (record.duration_s or float("inf")):
            happened.append((pause.end_s, "resumed", ""))
    if record.ended_at is not None:
        happened.append((record.duration_s or 0.0, "ended", record.end or ""))
    happened.sort(key=lambda one: one[0])
    return [Moment(at_s, kind, who, file_position(record, at_s)) for at_s, kind, who in happened]


def _skips_pauses(record: CallRecord) -> bool:
    """Whether the file leaves paused time out: it is then shorter than the call by all of it."""
    if record.recording_file is None or record.duration_s is None:
        return False
    paused = sum((record.duration_s if p.end_s is None else p.end_s) - p.start_s for p in record.pauses)
    return paused > 0 and record.duration_s - record.recording_file.duration_s > paused / 2
