"""The portal's lines to the engines: one connection a node, kept, and what goes over it for everybody in this process.

Nodes and their addresses come from the database, to which the archive of each node's machine reports them. When the
database is away, the nodes known so far stay. A connection that is lost is opened again, after pauses that grow.

However many listen to a call, there is one upstream for it; however many watch a call's levels, they are asked for
once.

Not here: browsers, sessions, permissions (`listening.py`, `gate.py`), sound (`relay.py`, `composer.py`).
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import UUID

import structlog
import trio

from live.client import Gateway, GatewayError, NodeAddress, Unanswered, open_gateway
from live.messages import Answer
from portal.relay import Listener, Relay
from schema.database import DatabaseError
from schema.values import CallView, NodeRecord

log = structlog.get_logger()

Levels = tuple[float | None, float | None]

# A new node is a matter of minutes; a node that moved is asked for at once.
NODES_EVERY_S: Final = 5.0
# Who pressed a button waits so long for a node that is not connected.
PATIENCE_S: Final = 2.0
FIRST_PAUSE_S: Final = 0.25
# A connection that stood for longer begins again with the first pause.
LONGEST_PAUSE_S: Final = 5.0
# Far beyond the longest pause; a node may be away for weeks, and powers of two soon fit no float.
MOST_DOUBLINGS: Final = 10
# A frame costs some 200 us of CPU where each listener has a call of his own, whatever is in it: 20 listeners at 20 ms
# take a fifth of a core. So frames grow with the listeners of this process, and that share nearly stays.
# (listeners up to, ms)
FRAMES: Final = ((25, 20), (50, 40), (100, 60))
LONGEST_FRAME_MS: Final = 100


def frame_ms(listeners: int) -> int:
    """How long frames are while so many listen."""
    return next((ms for most, ms in FRAMES if listeners <= most), LONGEST_FRAME_MS)


def pause_s(failures: int) -> float:
    """How long a node is left alone after so many failures in a row (1 or more)."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, MOST_DOUBLINGS)))


class Gateways:
    """One a portal process; made by `open_gateways`."""

    def __init__(self, key: bytes, nodes: Callable[[], Awaitable[Sequence[NodeRecord]]], nursery: trio.Nursery) -> None:
        self._key = key
        self._nodes = nodes
        self._nursery = nursery
        self._links: dict[str, _Link] = {}
        self._relays: dict[UUID, Relay] = {}
        self._looking = trio.Lock()

    @property
    def listeners(self) -> int:
        """How many listen in this process."""
        return sum(len(relay.listeners) for relay in self._relays.values())

    @property
    def upstreams(self) -> int:
        """How many calls are listened to."""
        return len(self._relays)

    def reachable(self, node: str) -> bool:
        """Whether the connection to this node is open."""
        link = self._links.get(node)
        return link is not None and link.standing is not None

    async def pause(self, call: CallView, who: str, sign: str = "portal") -> Answer:
        """Keep nothing of this call from here on. `who` is a login. Errors: any `GatewayError`."""
        gateway = await self._connected(call.record.node)
        return await gateway.pause(call.record.id, who, sign)

    async def resume(self, call: CallView, who: str, sign: str = "portal") -> Answer:
        """End that pause. Errors: any `GatewayError`."""
        gateway = await self._connected(call.record.node)
        return await gateway.resume(call.record.id, who, sign)

    async def start(self, call: CallView, who: str, sign: str = "portal") -> Answer:
        """Record this call. Errors: any `GatewayError`."""
        gateway = await self._connected(call.record.node)
        return await gateway.start(call.record.id, who, sign)

    async def stop(self, call: CallView, who: str, sign: str = "portal") -> Answer:
        """Record this call no longer. Errors: any `GatewayError`."""
        gateway = await self._connected(call.record.node)
        return await gateway.stop(call.record.id, who, sign)

    @asynccontextmanager
    async def listen(self, call: CallView) -> AsyncIterator[Listener]:
        """What comes of a call, from its hello on. Errors: any `GatewayError`, when nothing comes of it."""
        call_id, node = call.record.id, call.record.node
        relay = self._relays.get(call_id)
        if relay is None:
            relay = Relay(call_id, partial(self._connected, node), lambda: frame_ms(self.listeners))
            self._relays[call_id] = relay
            self._nursery.start_soon(self._relay, call_id, relay)
        listener = relay.join()
        try:
            await relay.wait_until_heard()
            yield listener
        finally:
            relay.leave(listener)
            if not relay.listeners:
                self._forget(call_id, relay)

    @asynccontextmanager
    async def watch(self, calls: Iterable[CallView]) -> AsyncIterator[Callable[[], dict[UUID, Levels | None]]]:
        """A look at the levels of these calls, as often as one likes: dBFS of caller and callee; None while paused."""
        watched: dict[str, list[UUID]] = {}
        for call in calls:
            watched.setdefault(call.record.node, []).append(call.record.id)
        for node, call_ids in watched.items():
            self._link(node).watch(Counter(call_ids))

        def look() -> dict[UUID, Levels | None]:
            found: dict[UUID, Levels | None] = {}
            for node, call_ids in watched.items():
                levels = self._link(node).levels
                found |= {call_id: levels[call_id] for call_id in call_ids if call_id in levels}
            return found

        try:
            yield look
        finally:
            for node, call_ids in watched.items():
                self._link(node).unwatch(Counter(call_ids))

    async def run(self) -> None:
        """Keep the nodes' addresses up to date, until cancelled."""
        while True:
            await self._look()
            await trio.sleep(NODES_EVERY_S)

    async def _look(self) -> None:
        async with self._looking:
            try:
                known = await self._nodes()
            except DatabaseError as error:
                log.debug("nodes not known", reason=str(error))
                return
            except Exception:
                log.exception("nodes not known")
                return
            for node in known:
                if node.gateway:
                    self._link(node.name).move(NodeAddress(node.name, node.gateway, node.gateway_certificate))

    def _link(self, name: str) -> "_Link":
        link = self._links.get(name)
        if link is None:
            link = self._links[name] = _Link(name, self._key)
            self._nursery.start_soon(link.run)
        return link

    async def _connected(self, node: str, patience_s: float = 0.0) -> Gateway:
        link = self._link(node)
        if link.standing is None:
            await self._look()
        return await link.connected(patience_s or PATIENCE_S)

    async def _relay(self, call_id: UUID, relay: Relay) -> None:
        await relay.run()
        self._forget(call_id, relay)

    def _forget(self, call_id: UUID, relay: Relay) -> None:
        if self._relays.get(call_id) is relay:
            del self._relays[call_id]


class _Link:
    """The connection to one node, whether it stands or not."""

    def __init__(self, name: str, key: bytes) -> None:
        self._gateway: Gateway | None = None
        self._name = name
        self._key = key
        self._address: NodeAddress | None = None
        self._watched: Counter[UUID] = Counter()
        self._changed = trio.Event()
        self._attempt = trio.CancelScope()
        self._failures = 0
        self._reason = f"It is not known where the recorder {name} can be reached."

    @property
    def standing(self) -> Gateway | None:
        """The connection; None while there is none."""
        return None if self._gateway is None or self._gateway.lost else self._gateway

    @property
    def levels(self) -> Mapping[UUID, Levels | None]:
        """The levels that the engine told last."""
        return {} if self.standing is None else self.standing.levels

    def move(self, address: NodeAddress) -> None:
        """The node is to be found here."""
        if address != self._address:
            self._address = address
            self._attempt.cancel()
            self._ring()

    def watch(self, calls: Counter[UUID]) -> None:
        """These calls' levels are watched once more each."""
        self._watched += calls
        self._ask_for_levels()

    def unwatch(self, calls: Counter[UUID]) -> None:
        """These calls' levels are watched once less each."""
        self._watched -= calls  # what falls to nothing is gone
        self._ask_for_levels()

    def _ask_for_levels(self) -> None:
        if self.standing is not None:
            self.standing.watch_levels(self._watched)

    async def connected(self, patience_s: float) -> Gateway:
        """The connection, once it stands. Errors: `Unanswered`."""
        with trio.move_on_after(patience_s):
            while self.standing is None:
                await self._changed.wait()
        if self.standing is None:
            raise Unanswered(self._reason)
        return self.standing

    async def run(self) -> None:
        """Connect, again and again, until cancelled. Whatever goes wrong with this node ends here."""
        while True:
            try:
                with trio.CancelScope() as self._attempt:
                    await self._stay_connected()
                    self._failures += 1
                    await trio.sleep(pause_s(self._failures))
            except Exception as error:
                self._reason = f"The connection to the recorder {self._name} failed: {error!r}"
                log.exception("connection to an engine failed", node=self._name)
                await trio.sleep(LONGEST_PAUSE_S)

    async def _stay_connected(self) -> None:
        while self._address is None:
            await self._changed.wait()
        began = math.inf
        try:
            async with open_gateway(self._address, self._key) as gateway:
                began = trio.current_time()
                self._stand(gateway)
                await gateway.wait_lost()
            self._reason = f"The connection to the recorder {self._name} was lost."
            log.warning("connection to an engine lost", node=self._name)
        except GatewayError as error:
            self._reason = str(error)
            if not self._failures:
                log.warning("no connection to an engine", node=self._name, reason=str(error))
        finally:
            self._gateway = None
            if trio.current_time() - began > LONGEST_PAUSE_S:
                self._failures = 0

    def _stand(self, gateway: Gateway) -> None:
        self._gateway = gateway
        log.info("connected to an engine", node=self._name, url=gateway.node.url)
        if self._watched:
            self._ask_for_levels()
        self._ring()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_gateways(key: bytes, nodes: Callable[[], Awaitable[Sequence[NodeRecord]]]) -> AsyncIterator[Gateways]:
    """The lines to all engines. `key` is `engine.keys.gateway_key`, `nodes` is `schema.calls.nodes`."""
    async with trio.open_nursery() as nursery:
        gateways = Gateways(key, nodes, nursery)
        nursery.start_soon(gateways.run)
        yield gateways
        nursery.cancel_scope.cancel()
