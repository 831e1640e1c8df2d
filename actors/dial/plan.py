"""What happens in a dialled call and when, and how a user writes that: `3-5`, `6:1004`, `*48@2`, `tone:440`, `5%`.

Times are seconds since the call was answered. A plan is checked as a whole before anything is dialled. Nothing here
dials.
"""

import itertools
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.dial.conversation import Party, Side
from actors.dial.errors import WrongUsage
from actors.dial.session import Session
from actors.dial.sources import RATE_HZ, Silence, Source, Tone, read_clip
from engine.rtp import DIGITS

# Who takes over when a transfer names nobody.
TRANSFER_NUMBER: Final = "1003"

_TIME: Final = r"[0-9]{1,6}(?:\.[0-9]{1,3})?"
_SPAN: Final = re.compile(rf"({_TIME})-({_TIME})")
_TRANSFER: Final = re.compile(rf"({_TIME})(?::(\S+))?")
_KEYS: Final = re.compile(rf"([{re.escape(DIGITS)}]{{1,64}})@({_TIME})(?::(caller|callee))?", re.IGNORECASE)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?")
_TONE: Final = re.compile(r"tone:([0-9]{1,4}(?:\.[0-9]{1,3})?)")


@dataclass(frozen=True, slots=True)
class Span:
    """A pause or a hold."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """Somebody takes the callee's place."""

    at_s: float
    joining: Party


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that a party presses."""

    at_s: float
    digits: str
    side: Side = "caller"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is to be done in a call; `name` is for the report of what went wrong."""

    at_s: float
    name: str
    act: Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """One call. It ends with a BYE after `duration_s`, or without a word after `abrupt_s`."""

    duration_s: float = 10.0
    pauses: tuple[Span, ...] = ()
    holds: tuple[Span, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    keys: tuple[Keys, ...] = ()
    abrupt_s: float | None = None

    def __post_init__(self) -> None:
        """Errors: `WrongUsage` where something does not fit into the call, or two suspensions overlap."""
        if not 0 < self.duration_s < math.inf:
            raise WrongUsage("A call lasts more than 0 s, and not for ever.")
        if self.abrupt_s is not None and not 0 < self.abrupt_s <= self.duration_s:
            raise WrongUsage(f"A call of {self.duration_s:g} s cannot end abruptly at {self.abrupt_s:g} s.")
        lasts_s = self.lasts_s
        suspensions = sorted((*self.pauses, *self.holds), key=lambda span: span.start_s)
        for span in suspensions:
            if span.end_s > lasts_s:
                raise WrongUsage(f"{span.start_s:g}-{span.end_s:g} does not fit into a call of {lasts_s:g} s.")
        for before, after in itertools.pairwise(suspensions):
            if after.start_s < before.end_s:
                raise WrongUsage(
                    f"Pauses and holds must not overlap: {after.start_s:g} comes before the end at {before.end_s:g}."
                )
        for at_s in (*(each.at_s for each in self.transfers), *(each.at_s for each in self.keys)):
            if at_s >= lasts_s:
                raise WrongUsage(f"A call of {lasts_s:g} s is over at {at_s:g} s.")

    @property
    def lasts_s(self) -> float:
        """How long a call is up."""
        return self.duration_s if self.abrupt_s is None else self.abrupt_s

    def steps(self) -> tuple[Step, ...]:
        """What is to be done between the answer and the end, in order of time. A call may end suspended."""
        steps = [Step(span.start_s, "pause", Session.pause) for span in self.pauses]
        steps += [Step(span.start_s, "hold", Session.hold) for span in self.holds]
        ends = [span.end_s for span in (*self.pauses, *self.holds) if span.end_s < self.lasts_s]
        steps += [Step(end_s, "resume", Session.resume) for end_s in ends]
        steps += [Step(each.at_s, "transfer", _transferring(each)) for each in self.transfers]
        steps += [Step(each.at_s, "keys", _pressing(each)) for each in self.keys]
        return tuple(sorted(steps, key=lambda step: step.at_s))


def parse_span(text: str) -> Span:
    """`3-5`. Errors: `WrongUsage`."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or float(found[1]) >= float(found[2]):
        raise WrongUsage(f"{text!r} is no span: write when it begins and ends, in seconds, as in 3-5.")
    return Span(float(found[1]), float(found[2]))


def parse_transfer(text: str) -> Transfer:
    """`6` or `6:1004`. Errors: `WrongUsage`."""
    found = _TRANSFER.fullmatch(text.strip())
    if found is None:
        raise WrongUsage(f"{text!r} is no transfer: write when, in seconds, and to whom, as in 6:1004.")
    return Transfer(float(found[1]), Party(found[2] or TRANSFER_NUMBER))


def parse_keys(text: str) -> Keys:
    """`1234@2` or `*48@2:callee`. Errors: `WrongUsage`."""
    found = _KEYS.fullmatch(text.strip())
    if found is None:
        raise WrongUsage(f"{text!r} are no keys: write which, when and whose, as in 1234@2 or *48@2:callee.")
    side: Side = "callee" if (found[3] or "").lower() == "callee" else "caller"
    return Keys(float(found[2]), found[1].upper(), side)


def parse_share(text: str) -> float:
    """`5%` or `5`: 0.05. Errors: `WrongUsage`."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None or float(found[1]) > 100:
        raise WrongUsage(f"{text!r} is no share: write percent, as in 5%.")
    return float(found[1]) / 100


def parse_source(text: str) -> Source:
    """`tone:440`, `silence`, or the name of an audio file, which is read. Errors: `WrongUsage`."""
    text = text.strip()
    if text == "silence":
        return Silence()
    if not text.startswith("tone:"):
        return read_clip(Path(text))
    found = _TONE.fullmatch(text)
    if found is None or not 0 < float(found[1]) < RATE_HZ / 2:
        raise WrongUsage(f"{text!r} is no tone: write its pitch in Hz, below {RATE_HZ // 2}, as in tone:440.")
    return Tone(float(found[1]))


def _transferring(transfer: Transfer) -> Callable[[Session], Awaitable[None]]:
    async def act(session: Session) -> None:
        await session.transfer(transfer.joining)

    return act


def _pressing(keys: Keys) -> Callable[[Session], Awaitable[None]]:
    async def act(session: Session) -> None:
        await session.dtmf(keys.digits, keys.side)

    return act
