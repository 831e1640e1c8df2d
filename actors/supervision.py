"""Supervision: the whole policy in one function.

One for one: what fails is started again by itself, its neighbours never notice. At most `restarts` failures in
`within_s` seconds, with a growing pause between; past that the supervisor gives up and raises `GaveUp`. For a call
that means: sealed as incomplete. For the node's own parts (SIP ports, sweep) it ends the process, and `earshot run`
starts it again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
import trio

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Policy:
    """How much failing is borne: `restarts` in any `within_s` seconds; pauses double from `first_pause_s`."""

    restarts: int = 3
    within_s: float = 60.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0


DEFAULT = Policy()


class GaveUp(Exception):
    """Something failed too often; the last failure is its cause."""


async def supervise(
    run: Callable[[], Awaitable[None]],
    *,
    name: str,
    policy: Policy = DEFAULT,
    on_failure: Callable[[Exception], None] | None = None,
) -> None:
    """Run `run()` until it returns, starting it again when it raises.

    `on_failure` is told of each failure that is followed by a restart, before the pause.

    Errors: `GaveUp` past the policy's limit.
    """
    failures: list[float] = []
    while True:
        try:
            await run()
            return
        except Exception as error:
            now = trio.current_time()
            failures = [at for at in failures if at > now - policy.within_s] + [now]
            log.exception("failed", part=name, failures=len(failures))
            if len(failures) > policy.restarts:
                raise GaveUp(f"{name} failed {len(failures)} times in {policy.within_s:g} s") from error
            if on_failure is not None:
                on_failure(error)
        await trio.sleep(min(policy.longest_pause_s, policy.first_pause_s * 2 ** (len(failures) - 1)))
