"""The headers of our responses: what we can, why we refuse, and when to come again.

Not here: which response a request gets (`switchboard.py`), SDP (`session.py`).
"""

from dataclasses import dataclass
from typing import Final

from actors.admission import RETRY_AFTER_S
from actors.sip_ports import Flow
from engine.errors import RemoteProtocolError
from engine.events import Origin
from engine.sip.message import Request
from engine.siprec import ACCEPT

METHODS: Final = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE")
# Extensions that a request may require of us (RFC 3261 section 8.2.2.3). 100rel asks nothing of one who sends no
# provisional response beyond 100; timer asks for the header that `session_timer` gives.
SUPPORTED: Final = frozenset({"siprec", "timer", "100rel"})
SERVER: Final = "Earshot"
# The shortest refresh interval that RFC 4028 section 4 lets anybody ask for.
MIN_SE_S: Final = 90


def capabilities() -> list[tuple[str, str]]:
    """What we take, for a 200 or a 405 (RFC 3261 sections 20.1, 20.5, 20.37)."""
    return [
        allow(),
        ("Accept", ACCEPT),
        ("Supported", "siprec, timer"),
        ("Server", SERVER),
    ]


def allow() -> tuple[str, str]:
    """The methods that we know (RFC 3261 section 20.5)."""
    return "Allow", ", ".join(METHODS)


def excuse(status: int, reason: str) -> list[tuple[str, str]]:
    """Why a request is refused (RFC 3261 section 20.43), and when it may come again."""
    headers = [("Warning", f'399 earshot "{_quotable(reason)}"')]
    if status in (500, 503):
        headers.append(("Retry-After", str(RETRY_AFTER_S)))
    elif status == 415:
        headers.append(("Accept", ACCEPT))
    elif status == 422:
        headers.append(("Min-SE", str(MIN_SE_S)))
    return headers


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed about refreshing a session, and the headers that say so in a 200."""

    interval_s: int
    headers: tuple[tuple[str, str], ...]


def session_timer(request: Request) -> SessionTimer | None:
    """RFC 4028 section 9: the phone system, if it can, refreshes the session. None where it asked for no timer.

    Errors: `RemoteProtocolError` (422) for an interval below MIN_SE_S.
    """
    wanted = request.headers.get("Session-Expires")
    supported = {
        option.lower() for name in ("Supported", "Require") for option in request.headers.all(name, split=True)
    }
    seconds = (wanted or "").partition(";")[0].strip()
    if "timer" not in supported or not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 9):
        return None
    if int(seconds) < MIN_SE_S:
        raise RemoteProtocolError(f"Sessions are refreshed every {MIN_SE_S} s at most.", status=422)
    return SessionTimer(int(seconds), (("Session-Expires", f"{seconds};refresher=uac"), ("Require", "timer")))


def origin_of(request: Request, flow: Flow) -> Origin:
    """Where a dialog comes from, for the call's events."""
    return Origin(
        sip_call_id=request.call_id,
        from_uri=request.from_addr.uri,
        to_uri=request.to_addr.uri,
        source=f"{bracketed(flow.peer[0])}:{flow.peer[1]}",
        transport=flow.transport,
        user_agent=request.headers.get("User-Agent") or "",
    )


def bracketed(address: str) -> str:
    """An address as it stands before a port (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def _quotable(text: str) -> str:
    return text.replace("\\", "").replace('"', "'").replace("\r", " ").replace("\n", " ")
