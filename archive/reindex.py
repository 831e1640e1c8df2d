"""Rebuilds what the database knows of finished calls, from the manifests that lie beside their recordings.

Calls that are there already are told again, which changes nothing; so it may run beside an archive, at any time and any
number of times. A call that is somebody's stays his; one that is nobody's, or was lost with the database, goes to
whoever has its phone now. A stuck call that was lost comes back with its reason alone: what it told was in there.

Not here: how a call is told (`listing.py`), the command (the composition root).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from actors.spool import Spool
from archive.clerk import Access
from archive.finish import RECORDINGS
from archive.listing import manifest_in, tell_finished, tell_recording
from archive.manifest import MANIFEST_NAME
from archive.unlisted import as_call_id


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How many recordings and stuck calls were told, and which manifests could not be read, with the reasons."""

    recordings: int
    stuck: int
    unreadable: tuple[tuple[Path, str], ...]


async def reindex(spool: Spool, node: str, progress: Callable[[int, int], None] = lambda done, all_: None) -> Reindexed:
    """Tell the database of every finished call. `progress` is given how many of how many are done.

    Errors: `DatabaseError`; what was told until then stays told.
    """
    access = Access(patient=False)
    manifests, stuck = await trio.to_thread.run_sync(_find, spool)
    unreadable: list[tuple[Path, str]] = []
    for done, path in enumerate(manifests):
        progress(done, len(manifests) + len(stuck))
        try:
            manifest = await trio.to_thread.run_sync(manifest_in, path.parent)
            await tell_recording(spool, access, path.parent, manifest)
        except (ValueError, OSError) as error:
            unreadable.append((path, str(error)))
    for done, folder in enumerate(stuck, len(manifests)):
        progress(done, len(manifests) + len(stuck))
        call_id = as_call_id(folder.name.partition("_")[0])
        if call_id is not None:
            await tell_finished(spool, node, access, call_id, folder)
    return Reindexed(len(manifests) - len(unreadable), len(stuck), tuple(unreadable))


def _find(spool: Spool) -> tuple[list[Path], list[Path]]:
    """All manifests, those of older calls first, and the folders of stuck calls."""
    found = (spool.root.parent / RECORDINGS).glob(f"*/*/*/*/{MANIFEST_NAME}")
    manifests = sorted(path for path in found if as_call_id(path.parent.name) is not None)
    recorded = {path.parent.name for path in manifests}
    folders = (path for path in spool.stuck.iterdir() if as_call_id(path.name.partition("_")[0]) is not None)
    return manifests, sorted(path for path in folders if path.name.partition("_")[0] not in recorded)
