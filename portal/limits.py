"""How often somebody may try to sign in: by account and by address, with pauses that double.

An attempt counts from its beginning, so that a hundred at once are a hundred. It lives in this process's memory: a
restart forgets, and two portals count apart, which makes guessing no faster than the number of portals.

Not here: what is tried (`signin.py`), and the clock: `now_s` is given.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` attempts without a pause, then pauses from `first_s`, doubled each time, up to `longest_s`."""

    free: int
    first_s: float
    longest_s: float

    def pause_s(self, failures: int) -> float:
        if failures < self.free:
            return 0.0
        return float(min(self.longest_s, self.first_s * 2.0 ** min(failures - self.free, 30)))


# 300 guesses a day at one account, while who mistypes waits for seconds.
ACCOUNT: Final = Rule(free=5, first_s=2.0, longest_s=300.0)
# A whole office may come from one address.
ADDRESS: Final = Rule(free=30, first_s=2.0, longest_s=300.0)
FORGET_AFTER_S: Final = 3600.0
# About 2 MB; the ones that failed the longest ago go first.
MOST_KEYS: Final = 10_000
# Who has one IPv6 address has its whole network.
IPV6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class _Count:
    failures: int
    last_s: float


class Attempts:
    """Counts attempts to sign in; an attempt is a failure until `succeeded` says otherwise."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def begin(self, login: str, address: str, now_s: float) -> float:
        """Counts an attempt, or gives the seconds (more than 0) after which one may be made: then it does not count."""
        rules = self._rules(login, address)
        wait_s = 0.0
        for key, rule in rules.items():
            count = self._count(key, now_s)
            if count is not None:
                wait_s = max(wait_s, count.last_s + rule.pause_s(count.failures) - now_s)
        if wait_s > 0:
            return wait_s
        for key in rules:
            count = self._count(key, now_s)
            self._counts.pop(key, None)  # it is the youngest now
            self._counts[key] = _Count(count.failures + 1 if count else 1, now_s)
        while len(self._counts) > MOST_KEYS:
            del self._counts[next(iter(self._counts))]
        return 0.0

    def succeeded(self, login: str, address: str) -> None:
        """The attempt was none at guessing: the account is free again, and the address has one failure fewer."""
        of_account, of_address = self._rules(login, address)
        self._counts.pop(of_account, None)
        count = self._counts.get(of_address)
        if count is not None:
            self._counts[of_address] = _Count(count.failures - 1, count.last_s)

    def _count(self, key: tuple[str, str], now_s: float) -> _Count | None:
        count = self._counts.get(key)
        return count if count is not None and now_s - count.last_s < FORGET_AFTER_S else None

    @staticmethod
    def _rules(login: str, address: str) -> dict[tuple[str, str], Rule]:
        return {("account", login.casefold()): ACCOUNT, ("address", _network(address)): ADDRESS}


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
