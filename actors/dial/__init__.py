"""The SIPREC client: Earshot's own phone system, to try a recorder with.

`earshot dial` is made of it, and tests and benches drive the recorder with `open_dialer`.

What must not be here: anything of the recorder. Both sides know the protocols of `engine/`, and nothing of each other.
"""

from actors.dial.conversation import Party, Side
from actors.dial.dialer import Dialer, Transport, open_dialer
from actors.dial.errors import DialError, Ended, NoAnswer, Refused, WrongUsage
from actors.dial.media import MediaConfig
from actors.dial.session import Session
from actors.dial.sources import Clip, Silence, Source, Tone, read_clip

__all__ = [
    "Clip",
    "DialError",
    "Dialer",
    "Ended",
    "MediaConfig",
    "NoAnswer",
    "Party",
    "Refused",
    "Session",
    "Side",
    "Silence",
    "Source",
    "Tone",
    "Transport",
    "WrongUsage",
    "open_dialer",
    "read_clip",
]
