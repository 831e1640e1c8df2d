"""Writes recording metadata as a recording client does: as RFC 7865 has it, or as the drafts before it had.

The value's `generation` decides. What `read` understands of the result is the value again, except that extensions are
grouped under what they belong to. Nothing here makes ids or times.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from engine.errors import LocalProtocolError
from engine.metadata.model import (
    Group,
    Metadata,
    Moment,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Session,
    SessionRecording,
    Stream,
)

NAMESPACES = {"rfc7865": "urn:ietf:params:xml:ns:recording:1", "draft": "urn:ietf:params:xml:ns:recording"}

_LINE_ENDS = {"\r": "&#13;"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(metadata: Metadata) -> bytes:
    """Write a document, in UTF-8 with CRLF.

    Errors: LocalProtocolError where a text has a character that XML cannot hold.
    """
    document = "\r\n".join(_Writing(metadata).lines()) + "\r\n"
    if found := _NOT_XML.search(document):
        raise LocalProtocolError(f"XML cannot hold the character {found[0]!r}.")
    return document.encode()


class _Writing:
    """One document while it is written.

    Drafts hold a participant's first session and its first streams inside the participant; what does not fit there
    follows in association elements, which the later drafts had as well.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._draft = metadata.generation == "draft"
        self._extensions: dict[str, list[str]] = {}
        for extension in metadata.extensions:
            self._extensions.setdefault(extension.parent, []).append(extension.text)
        self._memberships: dict[str, ParticipantSession] = {}
        self._streams: dict[str, ParticipantStream] = {}
        self._associations: list[str] = []
        inside = {participant.id for participant in metadata.participants} if self._draft else set()
        for membership in metadata.participant_sessions:
            participant_id = membership.participant_id
            if participant_id in inside and participant_id not in self._memberships and membership.session_id:
                self._memberships[participant_id] = membership
            else:
                ids = {"participant_id": participant_id, "session_id": membership.session_id}
                self._associations += _element("participantsessionassoc", ids, _times(membership))
        for streams in metadata.participant_streams:
            participant_id, content = streams.participant_id, _send_and_recv(streams)
            if participant_id in inside and participant_id not in self._streams and content and not _times(streams):
                self._streams[participant_id] = streams
            else:
                ids = {"participant_id": participant_id}
                self._associations += _element("participantstreamassoc", ids, [*content, *_times(streams)])

    def lines(self) -> Iterator[str]:
        metadata = self._metadata
        yield '<?xml version="1.0" encoding="UTF-8"?>'
        yield f"<recording xmlns={quoteattr(NAMESPACES[metadata.generation])}>"
        yield _leaf("dataMode" if self._draft else "datamode", metadata.data_mode)
        yield from self._extensions.pop("", [])
        for group in metadata.groups:
            inside = [*_times(group), *self._extensions.pop(group.id, [])]
            yield from _element("group", {self._key("group"): group.id}, inside)
        for session in metadata.sessions:
            yield from self._session(session)
        for participant in metadata.participants:
            yield from self._participant(participant)
        for stream in metadata.streams:
            yield from self._stream(stream)
        for recording in metadata.session_recordings:
            yield from _element("sessionrecordingassoc", {"session_id": recording.session_id}, _times(recording))
        yield from self._associations
        for texts in self._extensions.values():
            yield from texts
        yield "</recording>"

    def _key(self, kind: str) -> str:
        return "id" if self._draft else f"{kind}_id"

    def _session(self, session: Session) -> Iterator[str]:
        inside = [_leaf("sipSessionID", sip_session_id) for sip_session_id in session.sip_session_ids]
        if session.group_id:
            inside.append(_leaf("group-ref", session.group_id))
        inside += _moment("start-time", session.start) + _moment("stop-time", session.stop)
        inside += self._extensions.pop(session.id, [])
        yield from _element("session", {self._key("session"): session.id}, inside)

    def _participant(self, participant: Participant) -> Iterator[str]:
        attributes = {self._key("participant"): participant.id}
        inside: list[str] = []
        for name_id in participant.name_ids:
            inside += _element("nameID", {"aor": name_id.aor}, [_leaf("name", name_id.name)] if name_id.name else [])
        if membership := self._memberships.pop(participant.id, None):
            attributes["session"] = membership.session_id
            inside += _times(membership)
        if streams := self._streams.pop(participant.id, None):
            inside += _send_and_recv(streams)
        yield from _element("participant", attributes, [*inside, *self._extensions.pop(participant.id, [])])

    def _stream(self, stream: Stream) -> Iterator[str]:
        attributes = {self._key("stream"): stream.id}
        if stream.session_id:
            attributes["session" if self._draft else "session_id"] = stream.session_id
        inside = [] if stream.label is None else [_leaf("label", stream.label)]
        if stream.mode:
            inside.append(_leaf("mode", stream.mode))
        yield from _element("stream", attributes, [*inside, *self._extensions.pop(stream.id, [])])


def _times(associated: Group | SessionRecording | ParticipantSession | ParticipantStream) -> list[str]:
    return _moment("associate-time", associated.associated) + _moment("disassociate-time", associated.disassociated)


def _send_and_recv(streams: ParticipantStream) -> list[str]:
    return [_leaf("send", each) for each in streams.send] + [_leaf("recv", each) for each in streams.recv]


def _moment(name: str, moment: Moment | None) -> list[str]:
    return [] if moment is None else [_leaf(name, moment.text)]


def _element(name: str, attributes: Mapping[str, str], inside: Sequence[str]) -> list[str]:
    start = name + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return [f"<{start}>", *inside, f"</{name}>"] if inside else [f"<{start}/>"]


def _leaf(name: str, text: str) -> str:
    return f"<{name}>{escape(text, _LINE_ENDS)}</{name}>"
