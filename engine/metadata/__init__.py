"""Recording metadata: who speaks in the recorded conversation, in which stream, since when (RFC 7865).

Here live the values (`model`), the XML that carries them in both its generations (`read`, `write`), the rules by
which updates change what is known (`merge`), and the data that BroadWorks adds (`broadworks`).

What must not be here: SIP, SDP, and any decision about who is the caller; engine/siprec.py puts these together.
"""

from engine.metadata.broadworks import BroadWorks, read_broadworks
from engine.metadata.merge import merge
from engine.metadata.model import (
    DataMode,
    Extension,
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
    number_of,
)
from engine.metadata.read import read
from engine.metadata.write import write

__all__ = [
    "BroadWorks",
    "DataMode",
    "Extension",
    "Generation",
    "Group",
    "Metadata",
    "Moment",
    "NameId",
    "Participant",
    "ParticipantSession",
    "ParticipantStream",
    "Session",
    "SessionRecording",
    "Stream",
    "merge",
    "number_of",
    "read",
    "read_broadworks",
    "write",
]
