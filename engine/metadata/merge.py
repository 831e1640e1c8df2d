"""How metadata changes while a call runs (RFC 7865, section 6.1; RFC 7866, section 7.1.3): a pure function.

    complete    replaces all that was known
    partial     objects are merged by id, and what the update does not say of an object stays as it was;
                a session association is replaced by its participant and session;
                the streams of a participant are replaced as a whole where the update has any that last

    In both, a disassociate-time removes: an association with one is not kept, and a participant who has left every
    session goes, with its streams and extensions. The order of what stays never changes; what is new comes last.

The result is the state of now. Who was there before is in the call's events, not here.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import TypeVar

from engine.metadata.model import (
    Extension,
    Group,
    Metadata,
    Participant,
    ParticipantStream,
    Session,
    Stream,
)

_Object = TypeVar("_Object", Group, Session, Participant, Stream)
_Item = TypeVar("_Item")


def merge(known: Metadata | None, update: Metadata) -> Metadata:
    """Return what is known after an update; `known` is None before the first."""
    if known is None or update.data_mode == "complete":
        return _settled(update)
    return _settled(
        Metadata(
            generation=update.generation,
            data_mode=known.data_mode,
            groups=_merged(known.groups, update.groups, lambda group: group.id),
            sessions=_merged(known.sessions, update.sessions, lambda session: session.id),
            participants=_merged(known.participants, update.participants, _participant_key),
            streams=_merged(known.streams, update.streams, lambda stream: (stream.id, stream.id or stream.label)),
            session_recordings=_replaced(
                known.session_recordings, update.session_recordings, lambda each: each.session_id
            ),
            participant_sessions=_replaced(
                known.participant_sessions,
                update.participant_sessions,
                lambda each: (each.participant_id, each.session_id),
            ),
            participant_streams=_with_streams(known.participant_streams, update.participant_streams),
            extensions=_replaced_together(known.extensions, update.extensions),
        )
    )


def _settled(metadata: Metadata) -> Metadata:
    """Return the metadata without what its disassociate-times end."""
    lasting = tuple(each for each in metadata.participant_sessions if each.disassociated is None)
    left = {each.participant_id for each in metadata.participant_sessions if each.disassociated is not None}
    left -= {each.participant_id for each in lasting} | {""}
    return replace(
        metadata,
        participants=tuple(each for each in metadata.participants if each.id not in left),
        session_recordings=tuple(each for each in metadata.session_recordings if each.disassociated is None),
        participant_sessions=lasting,
        participant_streams=tuple(
            each
            for each in metadata.participant_streams
            if each.disassociated is None and each.participant_id not in left
        ),
        extensions=tuple(each for each in metadata.extensions if each.parent not in left),
    )


def _participant_key(participant: Participant) -> object:
    return participant.id, "" if participant.id else participant.aor


def _merged(
    known: Iterable[_Object], update: Iterable[_Object], key: Callable[[_Object], object]
) -> tuple[_Object, ...]:
    """Merge objects by key: a field that the update fills goes before the one that was known."""
    merged = {key(each): each for each in known}
    for each in update:
        before = merged.get(key(each))
        merged[key(each)] = each if before is None else _over(before, each)
    return tuple(merged.values())


def _over(before: _Object, after: _Object) -> _Object:
    said = {field.name: getattr(after, field.name) for field in fields(after)}
    return replace(before, **{name: value for name, value in said.items() if value})


def _replaced(known: Iterable[_Item], update: Iterable[_Item], key: Callable[[_Item], object]) -> tuple[_Item, ...]:
    return tuple(({key(each): each for each in known} | {key(each): each for each in update}).values())


def _with_streams(
    known: Iterable[ParticipantStream], update: Iterable[ParticipantStream]
) -> tuple[ParticipantStream, ...]:
    """Replace the streams of each participant that the update gives lasting ones; take away those that it ends."""
    merged: dict[str, list[ParticipantStream]] = {}
    for each in known:
        merged.setdefault(each.participant_id, []).append(each)
    updated: dict[str, list[ParticipantStream]] = {}
    for each in update:
        updated.setdefault(each.participant_id, []).append(each)
    for participant_id, entries in updated.items():
        lasting = [each for each in entries if each.disassociated is None]
        if lasting:
            merged[participant_id] = lasting
            continue
        ended = {id for each in entries for id in (*each.send, *each.recv)}
        remaining = [_without(each, ended) for each in merged.get(participant_id, []) if ended]
        merged[participant_id] = [each for each in remaining if each.send or each.recv]
    return tuple(each for entries in merged.values() for each in entries)


def _without(streams: ParticipantStream, ended: set[str]) -> ParticipantStream:
    send = tuple(id for id in streams.send if id not in ended)
    recv = tuple(id for id in streams.recv if id not in ended)
    return replace(streams, send=send, recv=recv)


def _replaced_together(known: Iterable[Extension], update: Iterable[Extension]) -> tuple[Extension, ...]:
    """Replace extensions of the same parent, namespace and name by those of the update, as many as there are."""
    merged: dict[tuple[str, str, str], list[Extension]] = {}
    for each in known:
        merged.setdefault((each.parent, each.namespace, each.name), []).append(each)
    updated: dict[tuple[str, str, str], list[Extension]] = {}
    for each in update:
        updated.setdefault((each.parent, each.namespace, each.name), []).append(each)
    return tuple(each for entries in (merged | updated).values() for each in entries)
