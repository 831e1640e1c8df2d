"""Calls by the hundred: what the benches add to the SIPREC client. It does the SIP; the sender does the audio.

Not here: packets (`programs.py`).
"""

from collections.abc import Sequence
from typing import Final

import trio

from actors.dial import Dialer, DialError, Session
from bench.machine import BenchError
from bench.programs import SOURCES

# Calls and BYEs on their way at the same time. More would measure how SIP overruns a socket.
AT_ONCE: Final = 16
START_S: Final = 20.0
ASK_EVERY_S: Final = 0.1


async def until_ready(dialer: Dialer) -> None:
    """Wait until the recorder answers at all. Errors: `BenchError`."""
    with trio.move_on_after(START_S):
        while True:
            try:
                await dialer.options()
                return
            except DialError:
                await trio.sleep(ASK_EVERY_S)
    raise BenchError(f"The recorder did not answer within {START_S:g} s.")


def source_of(call: int, line: int) -> int:
    """Which of the sender's sockets is the source of m-line 0 or 1 of this call."""
    return (2 * call + line) % SOURCES


async def call(dialer: Dialer, number: int, source_ports: Sequence[int]) -> Session:
    """Dial call `number`: two streams, offered from the ports of their sources, with metadata. Errors: `DialError`."""
    ports = [source_ports[source_of(number, line)] for line in (0, 1)]
    return await dialer.call(f"+1202555{number:04d}", f"{1000 + number}", media=None, ports=ports)


async def set_up(dialer: Dialer, count: int, source_ports: Sequence[int]) -> list[Session]:
    """Dial calls 0 to `count` - 1, and wait until all are answered. Errors: `BenchError` where one is refused."""
    sessions: dict[int, Session] = {}
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def dial(number: int) -> None:
        async with limiter:
            sessions[number] = await call(dialer, number, source_ports)

    try:
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(dial, number)
    except* DialError as errors:
        raise BenchError(f"A call was not answered: {errors.exceptions[0]}") from errors
    return [sessions[number] for number in range(count)]


async def hang_up(sessions: Sequence[Session]) -> None:
    """End calls, and wait until every BYE is answered. Errors: `BenchError` where one is not."""
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def bye(session: Session) -> None:
        async with limiter:
            await session.bye()

    try:
        async with trio.open_nursery() as nursery:
            for session in sessions:
                nursery.start_soon(bye, session)
    except* DialError as errors:
        raise BenchError(f"A call could not be ended: {errors.exceptions[0]}") from errors
