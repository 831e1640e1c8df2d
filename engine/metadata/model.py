"""The values of recording metadata (RFC 7865, section 6; the model is RFC 7865's, whatever the document's generation).

Values only: nothing here reads or writes XML. Ids, times and names are kept as the peer wrote them; what they mean
(a number, an instant) is derived on demand, so that nothing is lost where the meaning is in doubt.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import unquote

Generation = Literal["rfc7865", "draft"]
DataMode = Literal["complete", "partial"]

OLDEST_YEAR = 2000
"""Before this nobody recorded over SIPREC: such a time (1970 is common) says that the peer does not know it."""

_SCHEME = re.compile(r"\s*<?\s*(?:(sips?|tel):)?", re.IGNORECASE)
_TELEPHONE = re.compile(r"\+?[0-9*#\-.() ]*[0-9][0-9*#\-.() ]*")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as the peer wrote it."""

    text: str

    @property
    def at(self) -> datetime | None:
        """The instant, with its zone; None where the text is no time, names no zone or lies before `OLDEST_YEAR`."""
        try:
            at = datetime.fromisoformat(self.text.strip())
        except ValueError:
            return None
        return at if at.tzinfo is not None and at.year >= OLDEST_YEAR else None


@dataclass(frozen=True, slots=True)
class Group:
    """A CS group: conversations that belong together."""

    id: str
    associated: Moment | None = None
    disassociated: Moment | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A communication session. `sip_session_ids` are whole sipSessionID values, `;remote=` included."""

    id: str
    group_id: str = ""
    sip_session_ids: tuple[str, ...] = ()
    start: Moment | None = None
    stop: Moment | None = None


@dataclass(frozen=True, slots=True)
class NameId:
    """One address of record of a participant and the name that goes with it."""

    aor: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who takes part in a session; the first of `name_ids` is the one that is shown."""

    id: str
    name_ids: tuple[NameId, ...] = ()

    @property
    def aor(self) -> str:
        return self.name_ids[0].aor if self.name_ids else ""

    @property
    def name(self) -> str:
        return next((name_id.name for name_id in self.name_ids if name_id.name), "")

    @property
    def number(self) -> str:
        return number_of(self.aor)


@dataclass(frozen=True, slots=True)
class Stream:
    """A media stream; `label` ties it to an m-line. `mode` is "mixed" or "separate" in drafts that say so, else ""."""

    id: str
    session_id: str = ""
    label: str | None = None
    mode: str = ""


@dataclass(frozen=True, slots=True)
class SessionRecording:
    """The association of a session with the recording."""

    session_id: str
    associated: Moment | None = None
    disassociated: Moment | None = None


@dataclass(frozen=True, slots=True)
class ParticipantSession:
    """The association of a participant with a session."""

    participant_id: str
    session_id: str
    associated: Moment | None = None
    disassociated: Moment | None = None


@dataclass(frozen=True, slots=True)
class ParticipantStream:
    """The ids of the streams that a participant sends into and receives; each may be none or several."""

    participant_id: str
    send: tuple[str, ...] = ()
    recv: tuple[str, ...] = ()
    associated: Moment | None = None
    disassociated: Moment | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """An element that the model does not know, word for word.

    `parent` is the id of the object it belongs to ("" for the recording). `text` is the XML as it stood in the
    document; where its prefixes were declared outside of it, their declarations are added to its first tag, so that it
    can be read by itself. `namespace` and `name` are the element's own, or, of an `extensiondata` wrapper, those of
    the element inside.
    """

    parent: str
    namespace: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one document says, or what several of them, merged, have said."""

    generation: Generation = "rfc7865"
    data_mode: DataMode = "complete"
    groups: tuple[Group, ...] = ()
    sessions: tuple[Session, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[Stream, ...] = ()
    session_recordings: tuple[SessionRecording, ...] = ()
    participant_sessions: tuple[ParticipantSession, ...] = ()
    participant_streams: tuple[ParticipantStream, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @property
    def session(self) -> Session | None:
        """The first communication session; nearly every recording session has one only."""
        return self.sessions[0] if self.sessions else None

    @property
    def group_id(self) -> str:
        """The id of the CS group: the first that a session names, else the first group's, else ""."""
        named = (session.group_id for session in self.sessions if session.group_id)
        return next(named, self.groups[0].id if self.groups else "")


def number_of(aor: str) -> str:
    """Return the number in an address of record: its user part without scheme, parameters and visual separators.

    A SIP URI without a user has none (""); a text without a scheme is a number (or name) itself. A user part that is
    no telephone number is returned as it is, percent-decoded.
    """
    scheme = _SCHEME.match(aor)
    rest = aor[scheme.end() :] if scheme else aor
    user, at, _ = rest.rpartition("@")
    if not at:
        if scheme and (scheme[1] or "").lower() in ("sip", "sips"):
            return ""
        user = rest
    user = unquote(re.split(r"[;>?]", user, maxsplit=1)[0]).strip()
    return re.sub(r"[-.() ]", "", user) if _TELEPHONE.fullmatch(user) else user
