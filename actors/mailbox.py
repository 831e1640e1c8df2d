"""The mailbox of an actor: letters in order, each answered once.

A letter may say until when somebody waits for its answer; one that comes up later is not carried out.

`post` is for callers that may not wait (the switchboard: the order of arrival is the order of handling); `ask` for
those that can. What an actor was doing when it failed is answered with the failure; letters behind it wait for the
restarted run. A closed mailbox answers everything at once.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import trio

C = TypeVar("C")
A = TypeVar("A")

# Letters that wait. A call gets a few a minute; more means that its run is stuck, and refusing is the honest answer.
MOST_WAITING: Final = 64


class Unanswered(Exception):
    """The letter will not be answered: the actor failed on it, has ended, or is swamped."""


@dataclass(frozen=True, slots=True)
class Letter(Generic[C, A]):
    """What is asked, and what to do with the answer (or with an `Unanswered`). `until_s`: trio's clock."""

    content: C
    then: Callable[[A | Unanswered], None]
    until_s: float


class Mailbox(Generic[C, A]):
    """Letters for one actor, whose run takes them one by one."""

    __slots__ = ("_arrived", "_closed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Letter[C, A]] = deque()
        self._arrived: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self._closed = False

    def post(
        self,
        content: C,
        then: Callable[[A | Unanswered], None],
        *,
        urgent: bool = False,
        until_s: float = math.inf,
    ) -> None:
        """Put a letter in without waiting. `then` is called once, maybe before this returns.

        An urgent one (the end of a call) is taken however many wait. Nobody waits for the answer after `until_s`.
        """
        if self._closed:
            then(Unanswered("The call has ended."))
        elif len(self._waiting) >= MOST_WAITING and not urgent:
            then(Unanswered(f"{MOST_WAITING} requests are waiting for this call already."))
        else:
            self._waiting.append(Letter(content, then, until_s))
            self._arrived.unpark()

    async def ask(self, content: C) -> A:
        """Put a letter in and wait for its answer. Errors: `Unanswered`."""
        answered = trio.Event()
        answers: list[A | Unanswered] = []

        def take(answer: A | Unanswered) -> None:
            answers.append(answer)
            answered.set()

        self.post(content, take)
        await answered.wait()
        if isinstance(answers[0], Unanswered):
            raise answers[0]
        return answers[0]

    def close(self) -> None:
        """Take no more; what waits is answered with `Unanswered`, and the run gets None."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().then(Unanswered("The call has ended."))
        self._arrived.unpark_all()

    async def take(self) -> Letter[C, A] | None:
        """The next letter, or None once the mailbox is closed."""
        await trio.lowlevel.checkpoint()
        while True:
            while not self._waiting:
                if self._closed:
                    return None
                await self._arrived.park()
            letter = self._waiting.popleft()
            if trio.current_time() <= letter.until_s:
                return letter
            letter.then(Unanswered("It came up too late: nobody waits for the answer any more, and nothing was done."))
