"""Recording metadata: both generations and the dialects in between are read, merged and written."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.metadata import (
    BroadWorks,
    DataMode,
    Extension,
    Generation,
    Group,
    Metadata,
    Moment,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Session,
    SessionRecording,
    Stream,
    merge,
    number_of,
    read,
    read_broadworks,
    write,
)
from engine.metadata.document import MAX_DEPTH, MAX_DOCUMENT_BYTES
from engine.metadata.read import MOST_OF_A_KIND
from tests.engine import dialects

T1, T2 = Moment("2026-11-02T09:00:01Z"), Moment("2026-11-02T09:05:00+0000")


def test_a_document_of_rfc_7865_is_read_whole() -> None:
    assert read(dialects.RFC7865) == Metadata(
        generation="rfc7865",
        data_mode="complete",
        groups=(Group("g1", Moment("2026-11-02T09:00:00Z")),),
        sessions=(
            Session(
                "s1",
                "g1",
                ("ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",),
                Moment("2026-11-02T09:00:01.250Z"),
            ),
        ),
        participants=(
            Participant("p1", (NameId("sip:+12025550101@a.example", "Ann"),)),
            Participant("p2", (NameId("tel:+1-202-555-0102", "Bob & Co"),)),
        ),
        streams=(Stream("st1", "s1", "96"), Stream("st2", "s1", "97")),
        session_recordings=(SessionRecording("s1", T1),),
        participant_sessions=(ParticipantSession("p1", "s1", T1), ParticipantSession("p2", "s1")),
        participant_streams=(
            ParticipantStream("p1", ("st1",), ("st2",)),
            ParticipantStream("p2", ("st2",), ("st1",)),
        ),
    )


def test_a_draft_gives_the_same_model() -> None:
    assert read(dialects.DRAFT) == Metadata(
        generation="draft",
        data_mode="partial",
        sessions=(Session("urn:uuid:s1", start=Moment("2026-11-02T09:00:01")),),
        participants=(
            Participant("urn:uuid:p1", (NameId("2025550101@a.example", "Ann"),)),
            Participant("urn:uuid:p2", (NameId("sip:bob@b.example"),)),
        ),
        streams=(
            Stream("urn:uuid:st1", "urn:uuid:s1", "a_leg"),
            Stream("urn:uuid:st2", "urn:uuid:s1", "b_leg", "mixed"),
        ),
        participant_sessions=(
            ParticipantSession("urn:uuid:p1", "urn:uuid:s1", Moment("1970-01-01T00:00:00Z")),
            ParticipantSession("urn:uuid:p2", "urn:uuid:s1", None, T2),
        ),
        participant_streams=(
            ParticipantStream("urn:uuid:p1", ("urn:uuid:st1",), ("urn:uuid:st2",)),
            ParticipantStream("urn:uuid:p2", ("urn:uuid:st2",)),
        ),
    )


def test_broadworks_data_is_kept_word_for_word_and_understood() -> None:
    metadata = read(dialects.BROADWORKS)
    (extension,) = metadata.extensions
    assert (extension.parent, extension.name) == ("s1", "broadWorksRecordingMetadata")
    assert extension.namespace == "http://schema.broadsoft.com/broadworksCallRecording"
    assert dialects.BROADWORKS_DATA in extension.text
    assert read_broadworks(metadata) == BroadWorks(
        ext_tracking_id="16:1",
        service_provider_id="provider",
        group_id="sales",
        user_id="bob@b.example",
        call_id="callhalf-113:0",
        call_type="termCall",
        calling_party_number="+12025550101",
        called_party_number="+12025550102",
        recording_type="on",
    )


def test_a_redirect_of_broadworks_names_its_new_tracking_id_and_both_numbers() -> None:
    redirect = (
        "<extensiondata><broadWorksRecordingMetadata><extTrackingID>16:1</extTrackingID><callType><redirectedCall>"
        "<newExtTrackingID>17:1</newExtTrackingID><redirectedFromPartyNumber>102</redirectedFromPartyNumber>"
        "<redirectedToPartynumber>103</redirectedToPartynumber></redirectedCall></callType>"
        "</broadWorksRecordingMetadata></extensiondata>"
    )
    metadata = read(f"<recording>{redirect}</recording>".encode())
    assert read_broadworks(metadata) == BroadWorks(
        ext_tracking_id="16:1",
        call_type="redirectedCall",
        new_ext_tracking_id="17:1",
        redirected_from_number="102",
        redirected_to_number="103",
    )


def test_without_broadworks_data_there_is_none() -> None:
    assert read_broadworks(read(dialects.ORACLE)) is None


def test_metaswitch_has_another_root_and_addresses_as_text() -> None:
    metadata = read(dialects.METASWITCH)
    assert metadata.participants == (Participant("p1", (NameId("2025550101"),)),)
    assert metadata.extensions == (
        Extension("s1", "urn:meta", "businessGroup", '<ms:businessGroup xmlns:ms="urn:meta">sales</ms:businessGroup>'),
    )


def test_oracles_data_keeps_its_comments_and_gets_the_prefix_it_inherits() -> None:
    orig, ucid = read(dialects.ORACLE).extensions
    namespace = "http://acmepacket.com/siprec/extensiondata"
    assert (orig.parent, orig.namespace, orig.name) == ("p1", namespace, "callerOrig")
    assert ucid == Extension(
        "", namespace, "ucid", f'<apkt:ucid xmlns:apkt="{namespace}">00FA080001<!-- kept -->&#x41;</apkt:ucid>'
    )


def test_avayas_empty_stream_ids_tie_nothing_together() -> None:
    metadata = read(dialects.AVAYA)
    assert metadata.streams == (Stream("", "s1", "1"), Stream("", "s1", "2"))
    assert metadata.participant_streams == (ParticipantStream("p1"),)


def test_opensips_unescaped_characters_are_read() -> None:
    metadata = read(dialects.OPENSIPS)
    assert metadata.participants == (Participant("p1", (NameId("<sip:ann@a.example;a=1&b=2>", "Ann & Co"),)),)
    assert metadata.participants[0].number == "ann"
    assert metadata.group_id == "g&1"


def test_prefixes_that_nobody_declared_and_padding_are_read() -> None:
    metadata = read(dialects.UNDECLARED)
    assert metadata.extensions == (Extension("s1", "", "tag", '<vendor:tag a="1">x</vendor:tag>'),)
    assert read(write(metadata)) == metadata


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_names_are_read_whatever_encoding_is_declared(encoding: str) -> None:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><recording><participant id="p1"><nameID aor="tel:1"><name>Jürgen Müller'
        "</name></nameID><v/></participant></recording>"
    )
    metadata = read(document.encode(encoding))
    assert metadata.participants[0].name == "Jürgen Müller"
    assert metadata.extensions[0].text == '<v xmlns=""/>'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no xml",
        b"<recording>",
        b"<html/>",
        b'<!DOCTYPE recording [<!ENTITY a "b">]><recording>&a;</recording>',
        b'<!DOCTYPE recording SYSTEM "file:///etc/passwd"><recording/>',
        b"<recording><a></b></recording>",
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<recording>" + b" " * MAX_DOCUMENT_BYTES + b"</recording>",
    ],
)
def test_what_is_no_metadata_is_refused(document: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(document)


@pytest.mark.parametrize(
    ("element", "kind"),
    [
        ('<group group_id="{}"/>', "groups"),
        ('<session session_id="{}"/>', "sessions"),
        ('<participant participant_id="{}"/>', "participants"),
        ('<participant id="1" session="{}"/>', "participants"),
        ('<stream stream_id="{}"/>', "streams"),
        ('<sessionrecordingassoc session_id="{}"/>', "recording associations"),
        ('<participantsessionassoc participant_id="{}"/>', "session associations"),
        ('<participantstreamassoc participant_id="{}"/>', "stream associations"),
    ],
)
def test_as_many_of_a_kind_as_no_call_has_are_refused(element: str, kind: str) -> None:
    def document(count: int) -> bytes:
        return f"<recording>{''.join(element.format(n) for n in range(count))}</recording>".encode()

    read(document(MOST_OF_A_KIND))
    with pytest.raises(RemoteProtocolError, match=f"has 201 {kind}; 200 are read at most"):
        read(document(MOST_OF_A_KIND + 1))


def test_an_extension_far_into_a_long_document_is_still_cut_out_exactly() -> None:
    padding = b"\r\n".join(b"<!-- \xc3\xbc -->" for _ in range(5_000))
    metadata = read(b"<recording>" + padding + b"<v:tag a='/>'\r\n b=\"'\">\xf0\x9d\x84\x9e</v:tag ></recording>")
    assert metadata.extensions == (Extension("", "", "tag", "<v:tag a='/>'\r\n b=\"'\">\U0001d11e</v:tag >"),)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-02T09:00:01Z", "2026-11-02T09:00:01+00:00"),
        ("2026-11-02T09:00:01.5+0100", "2026-11-02T09:00:01.500000+01:00"),
        ("2026-11-02T09:00:01", None),
        ("1970-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_counts_only_where_it_can_be_trusted(text: str, iso: str | None) -> None:
    at = Moment(text).at
    assert (at.isoformat() if at else None) == iso


@pytest.mark.parametrize(
    ("aor", "number"),
    [
        ("sip:+12025550101@a.example;user=phone", "+12025550101"),
        ("SIPS:%2B1202;ext=5@a.example", "+1202"),
        ("tel:+1-(202) 555.0101;phone-context=x", "+12025550101"),
        ("2025550101@a.example", "2025550101"),
        ("2025550101", "2025550101"),
        ("<sip:ann.lee@a.example>", "ann.lee"),
        ("sip:192.0.2.1", ""),
        ("sip:a.example:5060", ""),
        ("*44", "*44"),
        ("", ""),
    ],
)
def test_the_number_is_the_user_part(aor: str, number: str) -> None:
    assert number_of(aor) == number


@given(st.text())
def test_any_address_of_record_has_some_number(aor: str) -> None:
    assert len(number_of(aor)) <= len(aor)


# --- merging ---


KNOWN = merge(None, read(dialects.RFC7865))


def test_a_partial_update_adds_last_and_keeps_what_it_does_not_mention() -> None:
    update = Metadata(
        data_mode="partial",
        participants=(Participant("p3", (NameId("sip:carol@c.example"),)), Participant("p1")),
        participant_sessions=(ParticipantSession("p3", "s1"),),
    )
    merged = merge(KNOWN, update)
    assert [each.id for each in merged.participants] == ["p1", "p2", "p3"]
    assert merged.participants[0].name == "Ann"
    assert merged.participant_streams == KNOWN.participant_streams
    assert (merged.data_mode, merged.sessions) == ("complete", KNOWN.sessions)


def test_a_disassociate_time_removes_a_participant_with_his_streams() -> None:
    gone = Metadata(data_mode="partial", participant_sessions=(ParticipantSession("p2", "s1", None, T2),))
    merged = merge(KNOWN, gone)
    assert [each.id for each in merged.participants] == ["p1"]
    assert [each.participant_id for each in merged.participant_sessions] == ["p1"]
    assert [each.participant_id for each in merged.participant_streams] == ["p1"]
    assert merged.streams == KNOWN.streams


def test_a_participant_who_leaves_one_of_two_sessions_stays() -> None:
    in_both = merge(KNOWN, Metadata(data_mode="partial", participant_sessions=(ParticipantSession("p2", "s2"),)))
    merged = merge(
        in_both, Metadata(data_mode="partial", participant_sessions=(ParticipantSession("p2", "s1", None, T2),))
    )
    assert [each.id for each in merged.participants] == ["p1", "p2"]
    assert ParticipantSession("p2", "s2") in merged.participant_sessions
    assert [each.id for each in merge(KNOWN, Metadata()).participants] == []


def test_streams_of_a_participant_are_replaced_or_taken_away() -> None:
    moved = Metadata(data_mode="partial", participant_streams=(ParticipantStream("p1", ("st2",)),))
    assert merge(KNOWN, moved).participant_streams == (
        ParticipantStream("p1", ("st2",)),
        ParticipantStream("p2", ("st2",), ("st1",)),
    )
    ended = Metadata(data_mode="partial", participant_streams=(ParticipantStream("p1", ("st1",), (), None, T2),))
    assert merge(KNOWN, ended).participant_streams[0] == ParticipantStream("p1", (), ("st2",))
    all_ended = Metadata(data_mode="partial", participant_streams=(ParticipantStream("p1", (), (), None, T2),))
    assert [each.participant_id for each in merge(KNOWN, all_ended).participant_streams] == ["p2"]


def test_a_new_tracking_id_replaces_the_one_before() -> None:
    known = merge(None, read(dialects.BROADWORKS))
    changed = dialects.BROADWORKS.replace(b"16:1", b"17:1").replace(b">complete<", b">partial<")
    merged = merge(known, read(changed))
    assert len(merged.extensions) == 1
    broadworks = read_broadworks(merged)
    assert broadworks is not None
    assert broadworks.ext_tracking_id == "17:1"


# --- properties ---


words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Z", "C")), min_size=1)
ids = st.sampled_from(["a", "b", "c & <d>"])
moments = st.builds(Moment, st.one_of(words, st.sampled_from([T1.text, T2.text])))
times = st.one_of(st.none(), moments)
several_ids = st.lists(ids, max_size=3).map(tuple)
vendors = st.builds(
    lambda parent, text: Extension(parent, "urn:v", "tag", f'<v:tag xmlns:v="urn:v">{text}</v:tag>'),
    st.sampled_from(["", "s"]),
    st.sampled_from(["", "x", "<!-- > -->", "<v:in a='/>'/>", "<v:in a='>'></v:in>/>", " two\n lines "]),
)


def metadata_values(generation: Generation, data_modes: st.SearchStrategy[DataMode]) -> st.SearchStrategy[Metadata]:
    sessions = st.builds(Session, st.just("s"), st.one_of(st.just(""), ids), st.lists(words).map(tuple), times, times)
    name_ids = st.lists(st.builds(NameId, words, st.one_of(st.just(""), words)), max_size=2).map(tuple)
    return st.builds(
        Metadata,
        st.just(generation),
        data_modes,
        st.lists(st.builds(Group, ids, times, times), max_size=2).map(tuple),
        sessions.map(lambda session: (session,)),
        st.lists(st.builds(Participant, ids, name_ids), unique_by=lambda each: each.id).map(tuple),
        st.lists(
            st.builds(Stream, ids, ids, st.one_of(st.none(), words), st.sampled_from(["", "mixed"])),
            unique_by=lambda each: each.id,
        ).map(tuple),
        st.lists(st.builds(SessionRecording, ids, times, times), max_size=2).map(tuple),
        st.lists(st.builds(ParticipantSession, ids, ids, times, times), max_size=4).map(tuple),
        st.lists(st.builds(ParticipantStream, ids, several_ids, several_ids, times, times), max_size=4).map(tuple),
        st.lists(vendors, max_size=3).map(lambda found: tuple(sorted(found, key=lambda each: each.parent))),
    )


any_mode: st.SearchStrategy[DataMode] = st.sampled_from(["complete", "partial"])
always_partial: st.SearchStrategy[DataMode] = st.just("partial")


@given(metadata_values("rfc7865", any_mode))
def test_what_is_written_as_rfc_7865_is_read_back(metadata: Metadata) -> None:
    assert read(write(metadata)) == metadata


@given(metadata_values("draft", any_mode))
def test_what_is_written_as_a_draft_is_read_back_in_some_order(metadata: Metadata) -> None:
    def in_order(each: Metadata) -> Metadata:
        return replace(
            each,
            participant_sessions=tuple(sorted(each.participant_sessions, key=repr)),
            participant_streams=tuple(sorted(each.participant_streams, key=repr)),
        )

    assert in_order(read(write(metadata))) == in_order(metadata)


def test_a_character_that_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        write(Metadata(participants=(Participant("p1", (NameId("sip:a", "\x07"),)),)))


@given(metadata_values("rfc7865", any_mode), metadata_values("rfc7865", any_mode))
def test_complete_metadata_replaces_all_that_was_known(known: Metadata, update: Metadata) -> None:
    complete = replace(update, data_mode="complete")
    assert merge(known, complete) == merge(None, complete)


@given(metadata_values("rfc7865", any_mode), metadata_values("rfc7865", always_partial))
def test_merging_an_update_twice_changes_nothing_more(known: Metadata, update: Metadata) -> None:
    once = merge(merge(None, known), update)
    assert merge(once, update) == once


@given(metadata_values("rfc7865", any_mode), metadata_values("rfc7865", always_partial))
def test_a_partial_update_never_renumbers_and_keeps_nothing_that_has_ended(known: Metadata, update: Metadata) -> None:
    before = merge(None, known)
    after = merge(before, update)
    ids_before, ids_after = [each.id for each in before.participants], [each.id for each in after.participants]
    assert [id for id in ids_before if id in ids_after] == [id for id in ids_after if id in ids_before]
    assert ids_after[: len(set(ids_before) & set(ids_after))] == [id for id in ids_before if id in ids_after]
    ended = [each for each in update.participant_sessions if each.disassociated is not None]
    lasting = {(each.participant_id, each.session_id) for each in after.participant_sessions}
    last_word = {(each.participant_id, each.session_id): each for each in update.participant_sessions}
    for each in ended:
        if last_word[each.participant_id, each.session_id] == each:
            assert (each.participant_id, each.session_id) not in lasting
    assert all(each.disassociated is None for each in after.participant_sessions)
    assert all(each.disassociated is None for each in after.participant_streams)
    assert all(each.disassociated is None for each in after.session_recordings)


@given(metadata_values("rfc7865", any_mode))
def test_an_empty_partial_update_changes_nothing(known: Metadata) -> None:
    before = merge(None, known)
    after = merge(before, Metadata(data_mode="partial"))
    assert {each.id for each in after.participants} == {each.id for each in before.participants}
    assert merge(after, Metadata(data_mode="partial")) == after


SHARDS = (
    "<recording>|</recording>|<participant id='a'>|</participant>|<stream/>|<send>|</send>|<x:y>|</x:y>|<z a='>'/>|text"
    "|<!-- -->|<![CDATA[<]]>|&amp;|&|<|xmlns:x='u'|<nameID aor='x'/>|<extensiondata>|</extensiondata>|\n|\r|ü|𝄞|\x00"
)


@given(
    st.one_of(
        st.binary(),
        st.lists(st.sampled_from(SHARDS.split("|"))).map(
            lambda shards: f"<recording>{''.join(shards)}</recording>".encode()
        ),
        st.tuples(st.sampled_from(dialects.ALL), st.integers(0, 2000), st.binary(max_size=3)).map(
            lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + len(cut[2]) :]
        ),
    )
)
def test_any_bytes_give_metadata_or_a_protocol_error(document: bytes) -> None:
    try:
        metadata = read(document)
    except RemoteProtocolError:
        return
    for extension in metadata.extensions:
        assert extension.text.startswith("<")
        assert extension.text.endswith(">")
    read(write(metadata))
    merge(merge(None, metadata), metadata)
    read_broadworks(metadata)


@pytest.mark.parametrize("document", dialects.ALL)
def test_each_dialect_survives_being_written_again(document: bytes) -> None:
    metadata = read(document)
    again = read(write(metadata))
    assert sorted(again.extensions, key=repr) == sorted(metadata.extensions, key=repr)
    assert again.participants == metadata.participants
    assert again.streams == metadata.streams
