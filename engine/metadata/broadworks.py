"""What BroadWorks says of a call beside the standard: its `broadWorksRecordingMetadata` (versions 1.0 to 3.0).

Elements are found by local name wherever they stand, so that the versions need no telling apart. Nothing here decides
what follows from it.
"""

from dataclasses import dataclass
from typing import Literal

from engine.errors import RemoteProtocolError
from engine.metadata.document import Element, parse
from engine.metadata.model import Metadata

CallType = Literal["origCall", "termCall", "redirectedCall"]

_ELEMENT = "broadworksrecordingmetadata"
_CALL_TYPES: dict[str, CallType] = {
    "origcall": "origCall",
    "termcall": "termCall",
    "redirectedcall": "redirectedCall",
}


@dataclass(frozen=True, slots=True)
class BroadWorks:
    """The fields as texts, "" where missing. `call_type` is outbound, inbound or redirected, seen from `user_id`."""

    ext_tracking_id: str = ""
    service_provider_id: str = ""
    group_id: str = ""
    user_id: str = ""
    call_id: str = ""
    call_type: CallType | None = None
    calling_party_number: str = ""
    called_party_number: str = ""
    dialed_digits: str = ""
    new_ext_tracking_id: str = ""
    redirected_from_number: str = ""
    redirected_to_number: str = ""
    recording_type: str = ""


def read_broadworks(metadata: Metadata) -> BroadWorks | None:
    """Return what BroadWorks added to the metadata, or None where it added nothing.

    Of several such elements the last one counts for each field that it has.
    """
    found: dict[str, str] = {}
    call_type: CallType | None = None
    seen = False
    for extension in metadata.extensions:
        if extension.name.lower() != _ELEMENT:
            continue
        try:
            root = parse(extension.text.encode())
        except RemoteProtocolError:
            continue
        seen = True
        own = _texts(root)
        call_type = next((_CALL_TYPES[key] for key in own if key in _CALL_TYPES), call_type)
        found |= {key: text for key, text in own.items() if text}
    if not seen:
        return None
    return BroadWorks(
        ext_tracking_id=found.get("exttrackingid", ""),
        service_provider_id=found.get("serviceproviderid", ""),
        group_id=found.get("groupid", ""),
        user_id=found.get("userid", ""),
        call_id=found.get("callid", ""),
        call_type=call_type,
        calling_party_number=found.get("callingpartynumber", ""),
        called_party_number=found.get("calledpartynumber", ""),
        dialed_digits=found.get("dialeddigits", ""),
        new_ext_tracking_id=found.get("newexttrackingid", ""),
        redirected_from_number=found.get("redirectedfrompartynumber", ""),
        redirected_to_number=found.get("redirectedtopartynumber", ""),
        recording_type=found.get("recordingtype", ""),
    )


def _texts(root: Element) -> dict[str, str]:
    """Return the first text of each element by its lower-case name, in the order of the document."""
    texts: dict[str, str] = {}
    for element in root.walk():
        texts.setdefault(element.key, element.text)
    return texts
