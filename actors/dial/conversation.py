"""What the dialled call tells about its parties: the recording metadata from its beginning through its transfers.

It makes metadata of either generation and remembers what was said so far. Nothing here writes or sends it.
"""

import base64
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from urllib.parse import quote

from actors.dial.errors import WrongUsage
from engine.metadata import (
    Generation,
    Group,
    Metadata,
    Moment,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Session,
    SessionRecording,
    Stream,
    merge,
)

Side = Literal["caller", "callee"]

SIDES: Final[tuple[Side, Side]] = ("caller", "callee")
# Where a party has no domain of its own: one that nobody owns (RFC 2606 section 2).
DOMAIN: Final = "pbx.example"
# What a SIP URI's user part may hold as it is (RFC 3261 section 25.1).
_USER_CHARACTERS: Final = "-_.!~*'()&=+$,;?/"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in the recorded conversation. `number` is a number or user name, with a domain or without."""

    number: str
    name: str = ""

    def __post_init__(self) -> None:
        """Errors: `WrongUsage` for an empty number, and for what SIP and XML cannot hold."""
        if not self.number.partition("@")[0] or not (self.number + self.name).isprintable():
            raise WrongUsage(f"{self.number!r}, {self.name!r} is nobody: a number must be there, on one line.")

    @property
    def aor(self) -> str:
        """The SIP URI."""
        user, _, domain = self.number.partition("@")
        return f"sip:{quote(user, safe=_USER_CHARACTERS)}@{domain or DOMAIN}"


class Conversation:
    """Two parties in two streams, or in a mixed one. `known` is all that is so now, as `complete` metadata."""

    def __init__(
        self, caller: Party, callee: Party, labels: Sequence[str], generation: Generation, at: datetime
    ) -> None:
        moment = _moment(at)
        # In drafts the times stand inside the participant, and such streams have none.
        since = moment if generation == "rfc7865" else None
        group, session = Group(_new_id(), since), _new_id()
        mode = "" if generation == "rfc7865" else ("separate" if len(labels) == 2 else "mixed")
        streams = tuple(Stream(_new_id(), session, label, mode) for label in labels)
        people = tuple(Participant(_new_id(), (NameId(each.aor, each.name),)) for each in (caller, callee))
        self._ids: dict[Side, str] = {side: person.id for side, person in zip(SIDES, people, strict=True)}
        self._sends: dict[Side, str] = {"caller": streams[0].id, "callee": streams[-1].id}
        sip_session_id = f"{secrets.token_hex(16)};remote={secrets.token_hex(16)}"
        self.known = Metadata(
            generation=generation,
            groups=(group,),
            sessions=(Session(session, group.id, (sip_session_id,), moment),),
            participants=people,
            streams=streams,
            session_recordings=(SessionRecording(session, moment),),
            participant_sessions=tuple(ParticipantSession(each.id, session, moment) for each in people),
            participant_streams=tuple(
                ParticipantStream(self._ids[side], *self._streams_of(side), since) for side in SIDES
            ),
        )

    def transfer(self, leaving: Side, joining: Party, at: datetime) -> Metadata:
        """Puts somebody in the place of a party, and returns the `partial` metadata that says so."""
        moment = _moment(at)
        since = moment if self.known.generation == "rfc7865" else None
        session = self.known.sessions[0].id
        before = next(each for each in self.known.participants if each.id == self._ids[leaving])
        after = Participant(_new_id(), (NameId(joining.aor, joining.name),))
        send, recv = self._streams_of(leaving)
        self._ids[leaving] = after.id
        update = Metadata(
            generation=self.known.generation,
            data_mode="partial",
            participants=(before, after),
            participant_sessions=(
                ParticipantSession(before.id, session, disassociated=moment),
                ParticipantSession(after.id, session, moment),
            ),
            participant_streams=(
                ParticipantStream(before.id, send, recv, disassociated=moment),
                ParticipantStream(after.id, send, recv, since),
            ),
        )
        self.known = merge(self.known, update)
        return update

    def _streams_of(self, side: Side) -> tuple[tuple[str, ...], tuple[str, ...]]:
        own, other = self._sends[side], self._sends["callee" if side == "caller" else "caller"]
        return (own,), ((other,) if other != own else ())


def new_boundary() -> str:
    """A boundary for a body of several parts."""
    return f"earshot-{secrets.token_hex(8)}"


def _new_id() -> str:
    """A UUID in base64 (RFC 7865 section 6.10)."""
    return base64.b64encode(uuid.uuid4().bytes).decode()


def _moment(at: datetime) -> Moment:
    return Moment(at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
