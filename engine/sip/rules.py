"""The rules of SIP transactions as two tables (RFC 3261 section 17, RFC 6026, RFC 4320).

RULES says what each input does in each state, TIMERS how long a state lasts and how often it sends again. What is in
no row does not happen: asked for by us it is an error, sent by the peer it is ignored. Nothing here acts.
"""

from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import TypeAlias

T1_S = 0.5  # an estimate of the round trip (RFC 3261 section 17.1.1.1)
T2_S = 4.0  # the longest interval between two sendings
T4_S = 5.0  # how long a message may stay in the network
GIVE_UP_S = 64 * T1_S


class Kind(Enum):
    INVITE_SERVER = auto()
    SERVER = auto()
    INVITE_CLIENT = auto()
    CLIENT = auto()


class State(Enum):
    TRYING = auto()  # nothing answered yet; called Calling for an INVITE client
    PROCEEDING = auto()  # a provisional response was the last
    COMPLETED = auto()  # a final response; for an INVITE: 300 to 699
    CONFIRMED = auto()  # ... and its ACK came
    ACCEPTED = auto()  # 2xx to an INVITE
    ACKNOWLEDGED = auto()  # ... and its ACK came
    TERMINATED = auto()


class Input(Enum):
    REPEAT = auto()  # the request came again
    ACK = auto()
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    RESEND_DUE = auto()
    END_DUE = auto()


class Action(Enum):
    NOTHING = auto()
    SEND = auto()  # the response that is the input
    RESEND = auto()  # what was sent last
    DELIVER = auto()  # hand the input to the user
    ACK = auto()  # acknowledge the input
    ACK_AND_DELIVER = auto()
    REPORT = auto()  # tell the user that time is up


Row: TypeAlias = dict[Input, tuple[State | None, Action]]
"""Of one state: what each input leads to (None: it stays) and what is done."""

_INVITE_CLIENT_WAITING: Row = {
    Input.PROVISIONAL: (State.PROCEEDING, Action.DELIVER),
    Input.SUCCESS: (State.ACCEPTED, Action.DELIVER),
    Input.FAILURE: (State.COMPLETED, Action.ACK_AND_DELIVER),
    Input.RESEND_DUE: (None, Action.RESEND),
    Input.END_DUE: (State.TERMINATED, Action.REPORT),
}
_CLIENT_WAITING: Row = {
    Input.PROVISIONAL: (State.PROCEEDING, Action.DELIVER),
    Input.SUCCESS: (State.COMPLETED, Action.DELIVER),
    Input.FAILURE: (State.COMPLETED, Action.DELIVER),
    Input.RESEND_DUE: (None, Action.RESEND),
    Input.END_DUE: (State.TERMINATED, Action.REPORT),
}
_SERVER_WAITING: Row = {
    Input.PROVISIONAL: (State.PROCEEDING, Action.SEND),
    Input.SUCCESS: (State.COMPLETED, Action.SEND),
    Input.FAILURE: (State.COMPLETED, Action.SEND),
    Input.END_DUE: (State.TERMINATED, Action.NOTHING),
}
_OVER: Row = {Input.END_DUE: (State.TERMINATED, Action.NOTHING)}

RULES: dict[tuple[Kind, State], Row] = {
    (Kind.INVITE_SERVER, State.PROCEEDING): {
        Input.REPEAT: (None, Action.RESEND),
        Input.PROVISIONAL: (None, Action.SEND),
        Input.SUCCESS: (State.ACCEPTED, Action.SEND),
        Input.FAILURE: (State.COMPLETED, Action.SEND),
    },
    (Kind.INVITE_SERVER, State.COMPLETED): {
        Input.REPEAT: (None, Action.RESEND),
        Input.ACK: (State.CONFIRMED, Action.NOTHING),
        Input.RESEND_DUE: (None, Action.RESEND),
        **_OVER,
    },
    (Kind.INVITE_SERVER, State.CONFIRMED): _OVER,
    (Kind.INVITE_SERVER, State.ACCEPTED): {
        Input.ACK: (State.ACKNOWLEDGED, Action.DELIVER),
        Input.RESEND_DUE: (None, Action.RESEND),
        Input.END_DUE: (State.TERMINATED, Action.REPORT),
    },
    (Kind.INVITE_SERVER, State.ACKNOWLEDGED): _OVER,
    (Kind.SERVER, State.TRYING): _SERVER_WAITING,
    (Kind.SERVER, State.PROCEEDING): {**_SERVER_WAITING, Input.REPEAT: (None, Action.RESEND)},
    (Kind.SERVER, State.COMPLETED): {Input.REPEAT: (None, Action.RESEND), **_OVER},
    # Too late: the peer gave up at the same time, an answer would only confuse it (RFC 4320 section 4.2).
    (Kind.SERVER, State.TERMINATED): {
        Input.PROVISIONAL: (None, Action.NOTHING),
        Input.SUCCESS: (None, Action.NOTHING),
        Input.FAILURE: (None, Action.NOTHING),
    },
    (Kind.INVITE_CLIENT, State.TRYING): _INVITE_CLIENT_WAITING,
    (Kind.INVITE_CLIENT, State.PROCEEDING): _INVITE_CLIENT_WAITING,
    (Kind.INVITE_CLIENT, State.COMPLETED): {Input.FAILURE: (None, Action.ACK), **_OVER},
    (Kind.INVITE_CLIENT, State.ACCEPTED): {Input.SUCCESS: (None, Action.DELIVER), **_OVER},
    (Kind.CLIENT, State.TRYING): _CLIENT_WAITING,
    (Kind.CLIENT, State.PROCEEDING): _CLIENT_WAITING,
    (Kind.CLIENT, State.COMPLETED): _OVER,
}


@dataclass(frozen=True, slots=True)
class Timers:
    """What runs in a state. `resend_s` doubles up to `cap_s`; `lasts_s` None keeps the end that was set before."""

    lasts_s: float | None = inf
    lasts_reliable_s: float | None = inf
    resend_s: float = inf
    cap_s: float = inf
    resend_reliable: bool = False


TIMERS: dict[tuple[Kind, State], Timers] = {
    (Kind.INVITE_SERVER, State.PROCEEDING): Timers(),  # the user owes the answer
    (Kind.INVITE_SERVER, State.COMPLETED): Timers(GIVE_UP_S, GIVE_UP_S, T1_S, T2_S),  # H, G
    (Kind.INVITE_SERVER, State.CONFIRMED): Timers(T4_S, 0),  # I
    # L, and the user's own repetition of a 2xx, which also runs over TCP (RFC 3261 section 13.3.1.4)
    (Kind.INVITE_SERVER, State.ACCEPTED): Timers(GIVE_UP_S, GIVE_UP_S, T1_S, T2_S, resend_reliable=True),
    (Kind.INVITE_SERVER, State.ACKNOWLEDGED): Timers(None, None),
    (Kind.SERVER, State.TRYING): Timers(GIVE_UP_S, GIVE_UP_S),  # the peer's F
    (Kind.SERVER, State.PROCEEDING): Timers(None, None),
    (Kind.SERVER, State.COMPLETED): Timers(GIVE_UP_S, 0),  # J
    (Kind.INVITE_CLIENT, State.TRYING): Timers(GIVE_UP_S, GIVE_UP_S, T1_S),  # B, A
    (Kind.INVITE_CLIENT, State.PROCEEDING): Timers(),  # rings as long as the user lets it
    (Kind.INVITE_CLIENT, State.COMPLETED): Timers(GIVE_UP_S, 0),  # D
    (Kind.INVITE_CLIENT, State.ACCEPTED): Timers(GIVE_UP_S, GIVE_UP_S),  # M
    (Kind.CLIENT, State.TRYING): Timers(GIVE_UP_S, GIVE_UP_S, T1_S, T2_S),  # F, E
    (Kind.CLIENT, State.PROCEEDING): Timers(None, None, T2_S, T2_S),  # F goes on, E is T2
    (Kind.CLIENT, State.COMPLETED): Timers(T4_S, 0),  # K
}
