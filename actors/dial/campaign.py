"""A number of calls by one plan, at a rate, and the tally of what became of them. Nothing here is shown or read."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

import trio

from actors.dial.conversation import Party
from actors.dial.dialer import Dialer, Transport, open_dialer
from actors.dial.errors import DialError
from actors.dial.media import MediaConfig
from actors.dial.plan import Plan, Step
from actors.dial.session import Session
from engine.metadata import Generation


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is dialled: `calls` of them, `rate` a second."""

    target: str
    transport: Transport | None = None
    calls: int = 1
    rate: float = 10.0
    plan: Plan = field(default_factory=Plan)
    caller: Party = field(default_factory=lambda: Party("1001"))
    callee: Party = field(default_factory=lambda: Party("1002"))
    metadata: Generation | None = "rfc7865"
    streams: Literal[1, 2] = 2
    media: MediaConfig = field(default_factory=MediaConfig)

    @property
    def lasts_s(self) -> float:
        """How long it takes where everybody answers at once."""
        return (self.calls - 1) / self.rate + self.plan.lasts_s


@dataclass(slots=True)
class Tally:
    """What became of the calls so far. `refusals` and `faults` count sentences: of calls never answered, and of
    what went wrong in the others."""

    answered: int = 0
    up: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    packets_sent: int = 0
    packets_lost: int = 0
    stopped: bool = False

    def went_well(self, campaign: Campaign) -> bool:
        """Whether all calls were answered and went as planned."""
        return self.answered == campaign.calls and not self.faults and not self.stopped


async def dial_all(campaign: Campaign, tally: Tally, stop: trio.CancelScope) -> None:
    """Dials the calls and waits for their end. When `stop` is cancelled, those that are up are ended.

    Errors: `DialError` where there is no way to the recorder at all.
    """
    async with open_dialer(campaign.target, campaign.transport) as dialer:
        start = trio.current_time()
        with stop:
            async with trio.open_nursery() as nursery:
                for number in range(campaign.calls):
                    await trio.sleep_until(start + number / campaign.rate)
                    nursery.start_soon(_dial_one, dialer, campaign, number, tally)
        tally.stopped = stop.cancelled_caught


async def _dial_one(dialer: Dialer, campaign: Campaign, number: int, tally: Tally) -> None:
    # Each call loses other packets than the one before.
    media = replace(campaign.media, seed=campaign.media.seed + number)
    try:
        session = await dialer.call(
            campaign.caller,
            campaign.callee,
            metadata=campaign.metadata,
            streams=campaign.streams,
            media=media,
        )
    except DialError as error:
        tally.refusals[str(error)] += 1
        return
    tally.answered += 1
    tally.up += 1
    tally.faults.update(f"The recorder rejected stream {n}." for n, at in enumerate(session.remote, 1) if at is None)
    try:
        await _follow(session, campaign.plan, tally)
    finally:
        tally.up -= 1
        tally.packets_sent += session.packets_sent
        tally.packets_lost += session.packets_lost


async def _follow(session: Session, plan: Plan, tally: Tally) -> None:
    """Each step has a task of its own, so that one that takes long delays no other."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for step in plan.steps():
            nursery.start_soon(_do, session, step, start, tally)
        with trio.move_on_at(start + plan.lasts_s):
            await session.ended.wait()
        nursery.cancel_scope.cancel()
    if session.ending in ("recorder", "lost"):
        tally.faults[session.reason] += 1
    elif plan.abrupt_s is not None:
        session.abandon()
    else:
        try:
            await session.bye()
        except DialError as error:
            tally.faults[str(error)] += 1


async def _do(session: Session, step: Step, start: float, tally: Tally) -> None:
    await trio.sleep_until(start + step.at_s)
    try:
        await step.act(session)
    except DialError as error:
        tally.faults[f"At {step.at_s:g} s ({step.name}): {error}"] += 1
