"""How often somebody may try what could be guessed: at a login from an address, at a login from anywhere, and from an
address. Passwords, codes of second factors and requests for mail have rules and counts of their own.

Pauses are for who guesses, not for whom he guesses at: five wrong tries hold back the address that they came from, and
only a hundred an hour, from many addresses, hold back whoever has the login. A login is told apart as it is written:
`tenant/login` is not held back for what another tenant's user tries. A code is asked for after the right password
alone, so pauses between codes grow for the account, wherever they are typed.

An attempt counts from its beginning, so that a hundred at once are a hundred. It lives in this process's memory: a
restart forgets, and two portals count apart, which makes guessing no faster than the number of portals.

Not here: what is tried (`signin.py` and others), and the clock: `now_s` is given.
"""

import ipaddress
import math
from dataclasses import dataclass
from typing import Final

from schema.checked import folded


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
# A hundred guesses a day, when three of a million codes count at a time: nine years for an even chance.
CODE: Final = Rule(free=5, first_s=5.0, longest_s=900.0)
# Mails to one account: nobody's mailbox is filled by somebody else.
MAIL: Final = Rule(free=3, first_s=900.0, longest_s=3600.0)
# Requests from one address for mail, whoever is to get it.
ASKING: Final = Rule(free=10, first_s=5.0, longest_s=300.0)
FORGET_AFTER_S: Final = 3600.0
# About 2 MB; the ones that failed the longest ago go first.
MOST_KEYS: Final = 10_000
# In a key: one name from one address.
HERE: Final = "here"
# Who has one IPv6 address has its whole network.
IPV6_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """What is tried, and by which rules: for one name from one address, from an address, for one name from anywhere."""

    name: str
    here: Rule | None
    address: Rule | None
    anywhere: Rule | None


# The password of a login.
SIGN_IN: Final = Kind("login", LOGIN, ADDRESS, ANYWHERE)
# The code of an account's second factor.
SECOND_FACTOR: Final = Kind("code", None, ADDRESS, CODE)
# The password of somebody who is signed in, before what only he may do.
OWN_PASSWORD: Final = Kind("own", None, ADDRESS, LOGIN)
# To name a tenant and be told its other ways in: nobody tries a list of companies.
NAME_TENANT: Final = Kind("tenant", None, ADDRESS, None)
# To ask for a mail, by whatever name; and to be sent one.
ASK_FOR_MAIL: Final = Kind("ask", None, ASKING, None)
GET_MAIL: Final = Kind("mail", None, None, MAIL)


@dataclass(frozen=True, slots=True)
class _Count:
    failures: float
    last_s: float


class Attempts:
    """Counts attempts; an attempt is a failure until `succeeded` says otherwise."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], _Count] = {}

    def begin(self, name: str, address: str, now_s: float, kind: Kind = SIGN_IN) -> float:
        """Counts an attempt, or gives the seconds (more than 0) after which one may be made: then it does not count."""
        rules = self._rules(kind, name, address)
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

    def succeeded(self, name: str, address: str, kind: Kind = SIGN_IN) -> None:
        """The attempt was none at guessing: the name is free again from here, and the others have a failure fewer."""
        for key in self._rules(kind, name, address):
            count = self._counts.get(key)
            if count is None:
                continue
            if key[1] == HERE:
                del self._counts[key]
            else:
                self._counts[key] = _Count(max(0, count.failures - 1), count.last_s)

    def _count(self, key: tuple[str, ...], rule: Rule, now_s: float) -> _Count | None:
        count = self._counts.get(key)
        if count is None or now_s - count.last_s >= FORGET_AFTER_S:
            return None
        return _Count(max(0.0, count.failures - (now_s - count.last_s) / rule.forgiven_s), count.last_s)

    @staticmethod
    def _rules(kind: Kind, name: str, address: str) -> dict[tuple[str, ...], Rule]:
        who, where = folded(name), _network(address)
        keys = {
            (kind.name, HERE, who, where): kind.here,
            (kind.name, "address", where): kind.address,
            (kind.name, "anywhere", who): kind.anywhere,
        }
        return {key: rule for key, rule in keys.items() if rule is not None}


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
