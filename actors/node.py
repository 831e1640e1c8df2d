"""The engine process: its parts, put together and supervised.

    node
     |- sweep, RTCP, SIP over UDP, SIP over TCP,
     |  transactions, sessions, collector, beacon, gateway        each supervised; past its limit the process ends
     |- stopping                                                  waits for SIGTERM or SIGINT
     `- calls                                                     one task a call, supervised by itself

Not here: settings (they come as an `EngineConfig`), or anything that one of the parts does.
"""

import gc
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import structlog
import trio

from actors.admission import Admission, Network
from actors.beacon import Beacon
from actors.call import Call, Node
from actors.media import MediaPorts
from actors.outbox import Outbox
from actors.rtcp import RtcpSet
from actors.sip_ports import address_towards, open_ports
from actors.spool import Lock, Spool
from actors.supervision import supervise
from actors.sweeper import Sweeper
from actors.switchboard import Switchboard
from engine.sweep import Sweep

log = structlog.get_logger()

# A call of two streams: two RTP and two RTCP sockets, and the journal.
DESCRIPTORS_A_CALL: Final = 5
DESCRIPTORS_ASIDE: Final = 100
# What a limit on open files above all limits is taken for: the most that Linux gives a process unless told otherwise.
DESCRIPTORS_WITHOUT_LIMIT: Final = 2**20
# Where open files allow fewer calls than this, that is more often an oversight than a decision.
FEW_CALLS: Final = 1000
# Threads that need the GIL get it after this; the default of 5 ms would be a quarter of a tick.
SWITCH_INTERVAL_S: Final = 0.001
# How long the phone systems have to answer our BYEs when the node stops.
BYE_S: Final = 0.5
# The collector: small walks often, none over everything, which would stop the loop for longer the more calls run. What
# lives long is left to reference counts: a call's objects hold each other in no circle once it is sealed.
GC_THRESHOLDS: Final = (700, 10, 1_000_000)
IDLE_COLLECTION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine must know. `public_key` is the archive's; `most_calls` 0 means what the descriptors allow.

    `lost_after_s`: a phone system of which neither audio nor a request came for so long is asked whether it lives.
    `gateway_url` is where portals reach the live gateway, `gateway_certificate` its PEM or empty.
    """

    data_dir: Path
    public_key: bytes
    sip_bind: tuple[str, int]
    sip_allow: tuple[Network, ...]
    rtp_ports: tuple[int, int]
    node: str
    media_address: str = ""
    grace_s: float = 10.0
    most_calls: int = 0
    lost_after_s: float = 300.0
    least_free_bytes: int = 0
    gateway_url: str = ""
    gateway_certificate: str = ""


class Stopped(Exception):
    """The engine cannot start. The text says why, and what to do."""


class Gateway(Protocol):
    """The live gateway, which a layer above brings along: its port is open once it is made."""

    @property
    def url(self) -> str:
        """Where portals on this machine reach it."""

    async def run(self, calls: Mapping[UUID, Call]) -> None:
        """Answer portals until cancelled. `calls` are those that run, at any time."""

    def close(self) -> None:
        """Close the port."""


def run(
    config: EngineConfig,
    instruments: Sequence[trio.abc.Instrument] = (),
    open_gateway: Callable[[], Gateway] | None = None,
) -> None:
    """Run an engine until it is told to stop: SIGTERM lets running calls go on for the grace period, SIGINT does not.

    `instruments` watch the event loop; the benches measure its stops with one. `open_gateway` raises `Stopped`.

    Errors: `SpoolHeld` and `Stopped`, before anything was touched.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    spool = Spool.below(config.data_dir)
    lock = Lock(spool.root / "engine.lock", f"the engine of node {config.node}")
    try:
        trio.run(_main, config, spool, open_gateway, instruments=instruments)
    finally:
        lock.release()


async def _main(config: EngineConfig, spool: Spool, open_gateway: Callable[[], Gateway] | None) -> None:
    host, sip_port = config.sip_bind
    ports = MediaPorts(host, *config.rtp_ports)
    most_calls = calls_that_fit(config.most_calls, _raised_descriptors(), ports.pairs)
    admission = Admission(config.sip_allow, most_calls, config.least_free_bytes, spool)
    try:
        udp, tcp = open_ports(host, sip_port, admission.knows)
    except OSError as error:
        raise Stopped(
            f"SIP port {sip_port} on {host} cannot be opened ({error.strerror}). "
            "Stop what uses it, or set EARSHOT_SIP_BIND to another address or port."
        ) from error
    gateway = None if open_gateway is None else open_gateway()
    gateway_url = config.gateway_url or ("" if gateway is None else gateway.url)
    left = spool.recover()
    if left:
        log.warning("calls of a killed engine handed over", calls=len(left))
    outbox = Outbox(spool.outbox, config.public_key)
    sweep = Sweep()
    rtcp = RtcpSet()
    node = Node(config.node, config.public_key, spool, outbox, sweep, ports, rtcp)

    def address_for(peer: str) -> str:
        return config.media_address or (host if host not in ("0.0.0.0", "::") else address_towards(peer))  # noqa: S104  # compared, not bound

    async with trio.open_nursery() as parts, trio.open_nursery() as calls:

        def spawn(call: Call) -> None:
            calls.start_soon(call.run_supervised)

        switchboard = Switchboard(node, admission, address_for, udp.port, udp, spawn)
        beacon = Beacon(spool, config.node, lambda: len(switchboard.calls), gateway_url, config.gateway_certificate)
        named_parts: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("sweep", Sweeper(sweep).run),
            ("rtcp", rtcp.run),
            ("sip udp", partial(udp.run, switchboard.receive)),
            ("sip tcp", partial(tcp.run, switchboard.receive, switchboard.refuse)),
            ("transactions", switchboard.run_timers),
            ("sessions", partial(switchboard.run_watch, config.lost_after_s)),
            ("collector", partial(_collect_when_idle, switchboard)),
            ("beacon", beacon.run),
        )
        if gateway is not None:
            named_parts += (("gateway", partial(gateway.run, switchboard.calls)),)
        for name, part in named_parts:
            parts.start_soon(_supervised, name, part)
        log.info(
            "engine ready", node=config.node, sip=f"{host}:{udp.port}", gateway=gateway_url, calls_that_fit=most_calls
        )
        _settle_memory()
        await _until_stopped(config, admission, switchboard)
        parts.cancel_scope.cancel()
    outbox.close()
    udp.close()
    tcp.close()
    rtcp.close()
    if gateway is not None:
        gateway.close()
    log.info("engine stopped")


async def _until_stopped(config: EngineConfig, admission: Admission, switchboard: Switchboard) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        at_once = False
        async for number in signals:
            at_once = number == signal.SIGINT
            break
        admission.closing = True
        if switchboard.calls and not at_once:
            log.info("stopping", calls=len(switchboard.calls), grace_s=config.grace_s)
            with trio.move_on_after(config.grace_s):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_wait_for_calls, switchboard, nursery.cancel_scope)
                    async for _ in signals:  # told again: now
                        nursery.cancel_scope.cancel()
        if switchboard.calls:
            switchboard.end_all("interrupted", "The recorder was stopped.")
            with trio.move_on_after(BYE_S):
                await switchboard.wait_until_idle()


async def _wait_for_calls(switchboard: Switchboard, then: trio.CancelScope) -> None:
    await switchboard.wait_until_idle()
    then.cancel()


async def _supervised(name: str, part: Callable[[], Awaitable[None]]) -> None:
    await supervise(part, name=name)


def calls_that_fit(wanted: int, descriptors: int, pairs: int) -> int:
    """How many calls of two streams fit into so many descriptors and pairs of RTP ports, `wanted` (0: all) at most.

    Says in the log where that is less than one would think. Errors: `Stopped` where it is none.
    """
    by_descriptors, by_ports = max(0, descriptors - DESCRIPTORS_ASIDE) // DESCRIPTORS_A_CALL, pairs // 2
    fitting = min(by_descriptors, by_ports)
    advice = "Raise the limit on open files (LimitNOFILE= for systemd, or ulimit -n), or widen EARSHOT_RTP_PORTS."
    if fitting == 0:
        raise Stopped(
            f"Not one call fits: {descriptors} files may be open at once ({DESCRIPTORS_ASIDE} are needed, and "
            f"{DESCRIPTORS_A_CALL} a call), and EARSHOT_RTP_PORTS holds the ports of {by_ports} calls. {advice}"
        )
    if wanted > fitting:
        log.warning(
            "fewer calls fit than EARSHOT_MAX_CALLS",
            wanted=wanted,
            by_descriptors=by_descriptors,
            by_ports=by_ports,
            advice=advice,
        )
    elif not wanted and by_descriptors < min(by_ports, FEW_CALLS):
        log.warning(
            "the limit on open files bounds the calls",
            descriptors=descriptors,
            by_descriptors=by_descriptors,
            by_ports=by_ports,
            advice="Raise it (LimitNOFILE= for systemd, or ulimit -n), or say with EARSHOT_MAX_CALLS that it is meant.",
        )
    return min(wanted or fitting, fitting)


def _raised_descriptors() -> int:
    """Raise the limit on descriptors as far as it goes, and say how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


async def _collect_when_idle(switchboard: Switchboard) -> None:
    """Walk over everything only while no call would notice."""
    while True:
        await trio.sleep(IDLE_COLLECTION_S)
        if not switchboard.calls:
            gc.collect()


def _settle_memory() -> None:
    """What lives as long as the process is not walked by the collector any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
