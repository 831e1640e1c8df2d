"""Reads recording metadata, of RFC 7865 and of the drafts before it, from the XML of a request.

Elements and attributes are matched by local name and without regard to case, in whatever namespace they stand, since
phone systems use many. What is not known is kept as an extension, word for word. No element is mandatory but the root:
a document with pieces missing still tells something about a call.

    RFC 7865                            drafts
    namespace ...:recording:1           ...:recording, ...:siprec, none
    <datamode>                          <dataMode>
    group_id, session_id ...            id, session
    <participantsessionassoc>           times inside <participant session="">
    <participantstreamassoc>            <send>, <recv> inside <participant>
    <nameID aor=""><name>               also <aor> and <name> inside <participant>
"""

from dataclasses import dataclass, field

from engine.errors import RemoteProtocolError
from engine.metadata.document import Element, parse
from engine.metadata.model import (
    DataMode,
    Extension,
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
)

RFC7865_NAMESPACE = "urn:ietf:params:xml:ns:recording:1"

MOST_OF_A_KIND = 200
"""Participants, streams and so on in one document; the largest conference of a phone system has some dozens."""

_ROOTS = ("recording", "recording_metadata")


def read(document: bytes) -> Metadata:
    """Read one document of recording metadata.

    Errors: RemoteProtocolError where it is too large, is no XML, declares a document type, is not metadata, or has more
    than `MOST_OF_A_KIND` of anything but extensions.
    """
    root = parse(document)
    if root.key not in _ROOTS:
        raise RemoteProtocolError(f"The document is no recording metadata: its root is {root.name[:80]!r}.")
    reading = _Reading()
    for element in root.children:
        reading.take(element)
    reading.check()
    return Metadata(
        generation="rfc7865" if root.namespace == RFC7865_NAMESPACE else "draft",
        data_mode=reading.data_mode,
        groups=tuple(reading.groups),
        sessions=tuple(reading.sessions),
        participants=tuple(reading.participants),
        streams=tuple(reading.streams),
        session_recordings=tuple(reading.session_recordings),
        participant_sessions=tuple(_in_some_session(reading.participant_sessions, reading.sessions)),
        participant_streams=tuple(reading.participant_streams),
        extensions=tuple(reading.extensions),
    )


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    data_mode: DataMode = "complete"
    groups: list[Group] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    participants: list[Participant] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    session_recordings: list[SessionRecording] = field(default_factory=list)
    participant_sessions: list[ParticipantSession] = field(default_factory=list)
    participant_streams: list[ParticipantStream] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)

    def take(self, element: Element) -> None:
        """Read one child of the root."""
        match element.key:
            case "datamode":
                self.data_mode = "partial" if element.text.lower() == "partial" else "complete"
            case "group":
                self._group(element)
            case "session":
                self._session(element)
            case "participant":
                self._participant(element)
            case "stream":
                self._stream(element)
            case "sessionrecordingassoc":
                id = element.first_attribute("session_id", "session", "id")
                self.session_recordings.append(SessionRecording(id, *_times(element)))
                self._keep_others(element, id, "associate-time", "disassociate-time")
            case "participantsessionassoc":
                id = element.first_attribute("participant_id", "participant", "id")
                session_id = element.first_attribute("session_id", "session")
                self.participant_sessions.append(ParticipantSession(id, session_id, *_times(element)))
                self._keep_others(element, id, "associate-time", "disassociate-time")
            case "participantstreamassoc":
                id = element.first_attribute("participant_id", "participant", "id")
                self.participant_streams.append(ParticipantStream(id, *_send_and_recv(element), *_times(element)))
                self._keep_others(element, id, "associate-time", "disassociate-time", "send", "recv")
            case _:
                self._keep(element, "")

    def check(self) -> None:
        """Errors: RemoteProtocolError where there is too much of a kind."""
        counts = {
            "groups": len(self.groups),
            "sessions": len(self.sessions),
            "participants": len(self.participants),
            "streams": len(self.streams),
            "recording associations": len(self.session_recordings),
            "session associations": len(self.participant_sessions),
            "stream associations": len(self.participant_streams),
        }
        for kind, count in counts.items():
            if count > MOST_OF_A_KIND:
                raise RemoteProtocolError(f"The metadata has {count} {kind}; {MOST_OF_A_KIND} are read at most.")

    def _group(self, element: Element) -> None:
        id = element.first_attribute("group_id", "id")
        self.groups.append(Group(id, *_times(element)))
        self._keep_others(element, id, "associate-time", "disassociate-time")

    def _session(self, element: Element) -> None:
        id = element.first_attribute("session_id", "id")
        group_id = _text(element, "group-ref") or element.first_attribute("group_id", "group")
        sip_session_ids = tuple(child.text for child in element.children if child.key == "sipsessionid" and child.text)
        start, stop = _moment(element, "start-time"), _moment(element, "stop-time")
        self.sessions.append(Session(id, group_id, sip_session_ids, start, stop))
        self._keep_others(element, id, "group-ref", "sipsessionid", "start-time", "stop-time")

    def _participant(self, element: Element) -> None:
        id = element.first_attribute("participant_id", "id")
        name_ids = [_name_id(child) for child in element.children if child.key == "nameid"]
        if not name_ids and (direct := _name_id(element)) != NameId(""):
            name_ids = [direct]
        self.participants.append(Participant(id, tuple(name_ids)))
        session_id, times = element.first_attribute("session_id", "session"), _times(element)
        if session_id or times != (None, None):
            self.participant_sessions.append(ParticipantSession(id, session_id, *times))
        send, recv = _send_and_recv(element)
        if send or recv:
            self.participant_streams.append(ParticipantStream(id, send, recv))
        known = ("nameid", "aor", "name", "associate-time", "disassociate-time", "send", "recv")
        self._keep_others(element, id, *known)
        for child in element.children:
            if child.key == "nameid":
                self._keep_others(child, id, "aor", "name")

    def _stream(self, element: Element) -> None:
        id = element.first_attribute("stream_id", "id")
        session_id = element.first_attribute("session_id", "session")
        label = _text(element, "label") or element.first_attribute("label") or None
        self.streams.append(Stream(id, session_id, label, _text(element, "mode").lower()))
        self._keep_others(element, id, "label", "mode")

    def _keep_others(self, element: Element, parent: str, *known: str) -> None:
        for child in element.children:
            if child.key not in known:
                self._keep(child, parent)

    def _keep(self, element: Element, parent: str) -> None:
        named = element.children[0] if element.key == "extensiondata" and element.children else element
        parent = element.first_attribute("parent") or parent
        self.extensions.append(Extension(parent, named.namespace, named.name, element.standalone()))


def _name_id(element: Element) -> NameId:
    """Read an address and a name from <nameID>, or from a participant that has them itself."""
    own_text = element.text if element.key == "nameid" else ""
    aor = element.first_attribute("aor") or _text(element, "aor") or own_text
    return NameId(aor, _text(element, "name") or element.first_attribute("name"))


def _send_and_recv(element: Element) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _stream_ids(element, "send"), _stream_ids(element, "recv")


def _stream_ids(element: Element, direction: str) -> tuple[str, ...]:
    """Return the ids of a direction; an empty one (Avaya's `stream_id=""`) would tie everything to everything."""
    children = [child for child in element.children if child.key == direction]
    ids = [child.text or child.first_attribute("id", "stream_id") or _text(child, "id") for child in children]
    return tuple(id for id in ids if id)


def _times(element: Element) -> tuple[Moment | None, Moment | None]:
    return _moment(element, "associate-time"), _moment(element, "disassociate-time")


def _moment(element: Element, key: str) -> Moment | None:
    text = _text(element, key)
    return Moment(text) if text else None


def _text(element: Element, key: str) -> str:
    """Return the text of the first child with this key that has one; else ""."""
    return next((child.text for child in element.children if child.key == key and child.text), "")


def _in_some_session(associations: list[ParticipantSession], sessions: list[Session]) -> list[ParticipantSession]:
    """Give an association that names no session the document's first."""
    default = sessions[0].id if sessions else ""
    return [
        ParticipantSession(each.participant_id, each.session_id or default, each.associated, each.disassociated)
        for each in associations
    ]
