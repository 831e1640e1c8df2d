"""The sealer: gives entries of the audit trail their places in the chain, and keeps its signed ends in a file.

    sealer
     |- ends that the file does not have      first, and after each batch: a kill, or another host, left them out
     `- entries that have no place yet        SEAL_EVERY_S behind at most, batch by batch

Several archives of one system seal by turns, and each keeps all ends. Where an end cannot be written to the file,
nothing more is sealed. An entry that Earshot did not write is not sealed: it is told, once.

Not here: the chain (`schema/chain.py`), the file (`anchors.py`).
"""

from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import anchors
from archive.clerk import Access
from schema import chain
from schema.chain import Head

log = structlog.get_logger()

SEAL_EVERY_S: Final = 1.0
_HEADS_AT_ONCE: Final = 1_000


class Sealer:
    """Seals the trail of one system's database. `path`: the file of its ends."""

    def __init__(self, path: Path, key: Ed25519PrivateKey, access: Access) -> None:
        self._path = path
        self._key = key
        self._access = access
        self._told: set[str] = set()

    async def run(self) -> None:
        """Seal until cancelled. Errors: OSError, where the file cannot be written."""
        while True:
            await self.seal()
            await trio.sleep(SEAL_EVERY_S)

    async def seal(self) -> None:
        """Seals what waits, and returns once the file has all ends. Errors: OSError, where it cannot be written."""
        known = await trio.to_thread.run_sync(anchors.last, self._path, self._key.public_key())
        await self._seal(await self._anchor(known))

    async def _seal(self, known: Head | None) -> None:
        """Seals what waits. `known`: the last end that the file has."""
        after = None
        while True:
            outcome = await self._access.ask(partial(chain.seal, self._key, known, after))
            if outcome.behind is not None:
                log.error("audit_trail_cut_off", ended=outcome.behind, known=known and known.number, advice=_ADVICE)
            for entry in outcome.unproved:
                if entry not in self._told:
                    self._told.add(entry)
                    log.error("audit_entry_not_ours", entry=entry, advice=_ADVICE)
            if outcome.entries:
                known = await self._anchor(known)
            after = outcome.after
            if after is None:
                return

    async def _anchor(self, known: Head | None) -> Head | None:
        """Writes the ends that the file does not have. Returns the last one that it has."""
        while True:
            number = 0 if known is None else known.number
            heads = await self._access.ask(partial(chain.heads_after, number, _HEADS_AT_ONCE))
            genuine = [head for head in heads if chain.is_genuine(head, self._key.public_key())]
            if genuine:
                await trio.to_thread.run_sync(anchors.append, self._path, genuine)
                known = genuine[-1]
            if len(heads) < _HEADS_AT_ONCE or not genuine:
                return known


_ADVICE: Final = "Run `earshot audit verify`."
