"""Who may send calls, and whether there is room for another.

Not here: limits by tenant, and rules from the database; they are asked in the same place.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from actors.spool import Spool

log = structlog.get_logger()

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The disk is asked this often at most; at 300 calls a second it has not filled up in between.
DISK_EVERY_S: Final = 1.0
# A peer that is refused is named in the log this often; scanners try for hours.
SAY_EVERY_S: Final = 60.0
MOST_REMEMBERED: Final = 10_000
# What a refused phone system should wait before it tries again (RFC 3261 section 20.33).
RETRY_AFTER_S: Final = 10


@dataclass(slots=True)
class Admission:
    """The rules of one node. `closing` refuses every new call; `refused` counts requests from strangers."""

    allowed: tuple[Network, ...]
    most_calls: int
    least_free_bytes: int
    spool: Spool
    closing: bool = False
    refused: int = 0
    _said: dict[str, float] = field(default_factory=dict)
    _free_bytes: int = 0
    _asked_at: float = float("-inf")

    def knows(self, host: str) -> bool:
        """Whether this address may talk to us."""
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self.allowed)

    def allows(self, host: str) -> bool:
        """As `knows`; a refusal is counted, and said once a minute."""
        if self.knows(host):
            return True
        self.refused += 1
        now = trio.current_time()
        if now - self._said.get(host, float("-inf")) >= SAY_EVERY_S:
            if len(self._said) >= MOST_REMEMBERED:
                self._said.clear()
            self._said[host] = now
            log.warning(
                "refused a stranger",
                peer=host,
                advice=f"If this is your phone system, add {host} to EARSHOT_SIP_ALLOW.",
            )
        return False

    def reason_to_refuse(self, calls: int) -> str | None:
        """Why no call can be taken now (a sentence), or None. `calls` are running already."""
        if self.closing:
            return "The recorder is stopping."
        if calls >= self.most_calls:
            return f"The recorder is full: {calls} calls are running."
        now = trio.current_time()
        if now - self._asked_at >= DISK_EVERY_S:
            self._free_bytes, self._asked_at = self.spool.free_bytes(), now
        if self._free_bytes < self.least_free_bytes:
            return f"The recorder's disk is nearly full: {self._free_bytes // 2**20} MiB are free."
        return None
