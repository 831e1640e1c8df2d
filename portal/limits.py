"""How often somebody may try to sign in: at a login from an address, at a login from anywhere, and from an address.

Pauses are for who guesses, not for whom he guesses at: five wrong tries hold back the address that they came from, and
only a hundred an hour, from many addresses, hold back whoever has the login. A login is told apart as it is written:
`tenant/login` is not held back for what another tenant's user tries.

An attempt counts from its beginning, so that a hundred at once are a hundred. It lives in this process's memory: a
restart forgets, and two portals count apart, which makes guessing no faster than the number of portals.

Not here: what is tried (`signin.py`), and the clock: `now_s` is given.
"""

import ipaddress
import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` attempts without a pause, then pauses from `first_s`, doubled each time, up to `longest_s`.

    One failure is forgiven every `forgiven_s`; all of them where the last one is FORGET_AFTER_S ago.
    """

    free: int
    first_s: float
    longest_s: float
    forgiven_s: float = math.inf

    def pause_s(self, failures: float) -> float:
        over = math.floor(failures) - self.free
        return 0.0 if over < 0 else float(min(self.longest_s, self.first_s * 2.0 ** min(over, 30)))


# 300 guesses a day, while who mistypes waits for seconds.
LOGIN: Final = Rule(free=5, first_s=2.0, longest_s=300.0)
# A whole office may come from one address.
ADDRESS: Final = Rule(free=30, first_s=2.0, longest_s=300.0)
# For guesses from many addresses: a hundred an hour. Its pause stays so short that the account's owner gets in.
ANYWHERE: Final = Rule(free=100, first_s=36.0, longest_s=36.0, forgiven_s=36.0)
FORGET_AFTER_S: Final = 3600.0
# About 2 MB; the ones that failed the longest ago go first.
MOST_KEYS: Final = 10_000
# Who has one IPv6 address has its whole network.
IPV6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class _Count:
    failures: float
    last_s: float


class Attempts:
    """Counts attempts to sign in; an attempt is a failure until `succeeded` says otherwise."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], _Count] = {}

    def begin(self, login: str, address: str, now_s: float) -> float:
        """Counts an attempt, or gives the seconds (more than 0) after which one may be made: then it does not count."""
        rules = self._rules(login, address)
        wait_s = 0.0
        for key, rule in rules.items():
            count = self._count(key, rule, now_s)
            if count is not None:
                wait_s = max(wait_s, count.last_s + rule.pause_s(count.failures) - now_s)
        if wait_s > 0:
            return wait_s
        for key, rule in rules.items():
            count = self._count(key, rule, now_s)
            self._counts.pop(key, None)  # it is the youngest now
            self._counts[key] = _Count(count.failures + 1 if count else 1, now_s)
        while len(self._counts) > MOST_KEYS:
            del self._counts[next(iter(self._counts))]
        return 0.0

    def succeeded(self, login: str, address: str) -> None:
        """The attempt was none at guessing: the login is free again from here, and the others have a failure fewer."""
        here, *others = self._rules(login, address)
        self._counts.pop(here, None)
        for key in others:
            count = self._counts.get(key)
            if count is not None:
                self._counts[key] = _Count(max(0, count.failures - 1), count.last_s)

    def _count(self, key: tuple[str, ...], rule: Rule, now_s: float) -> _Count | None:
        count = self._counts.get(key)
        if count is None or now_s - count.last_s >= FORGET_AFTER_S:
            return None
        return _Count(max(0.0, count.failures - (now_s - count.last_s) / rule.forgiven_s), count.last_s)

    @staticmethod
    def _rules(login: str, address: str) -> dict[tuple[str, ...], Rule]:
        who, where = login.casefold(), _network(address)
        return {("login", who, where): LOGIN, ("address", where): ADDRESS, ("anywhere", who): ANYWHERE}


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
