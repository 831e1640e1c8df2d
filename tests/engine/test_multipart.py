"""Multipart bodies as phone systems send them: whatever is bent, each part's body stays byte for byte."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LocalProtocolError, RemoteProtocolError
from engine.multipart import MAX_PARTS, Part, join, media_type, split

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n"
XML = b"<?xml version='1.0'?>\n<recording>\n</recording>\n"


def body_of(*, end: bytes = b"--b1--\r\n", eol: bytes = b"\r\n") -> bytes:
    sdp = [b"--b1", b"Content-Type: application/sdp", b"", SDP]
    metadata = [b"--b1", b"Content-Type: application/rs-metadata+xml", b"Content-Disposition: recording-session"]
    return eol.join([*sdp, *metadata, b"", XML]) + (eol + end if end else b"")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed;boundary=b1",
        'multipart/mixed; boundary="b1"',
        "Multipart/Mixed ; charset=utf-8; BOUNDARY = b1 ; x=y",
        "multipart/mixed",
        'multipart/mixed;boundary=""',
        "multipart/mixed;boundary=another",
    ],
)
@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_each_spelling_of_the_boundary_gives_the_same_parts(content_type: str, eol: bytes) -> None:
    assert split(content_type, body_of(eol=eol)) == (
        Part("application/sdp", (), SDP),
        Part("application/rs-metadata+xml", (("Content-Disposition", "recording-session"),), XML),
    )


def test_without_the_closing_delimiter_the_last_part_reaches_to_the_end() -> None:
    parts = split("multipart/mixed;boundary=b1", body_of(end=b""))
    assert [part.body for part in parts] == [SDP, XML]


def test_the_closing_delimiter_ends_the_parts_and_an_epilogue_is_dropped() -> None:
    body = b"a preamble\r\n" + body_of() + b"\r\n--b1\r\n\r\nnot a part"
    assert [part.body for part in split("multipart/mixed;boundary=b1", body)] == [SDP, XML]


def test_a_header_without_a_space_and_a_folded_one_are_read() -> None:
    body = b"--b1\r\nContent-Type:application/sdp\r\nX-Long: one\r\n  two\r\n\r\nv=0\r\n--b1--"
    assert split("multipart/mixed;boundary=b1", body) == (Part("application/sdp", (("X-Long", "one two"),), b"v=0"),)


def test_a_part_without_a_header_or_without_a_body_is_still_a_part() -> None:
    body = b"--b1\r\n\r\nhello\r\n--b1\r\nContent-Type: application/gtd\r\n\r\n--b1--"
    assert split("multipart/mixed;boundary=b1", body) == (
        Part("text/plain", (), b"hello"),
        Part("application/gtd", (), b""),
    )


def test_a_boundary_inside_a_line_or_as_the_start_of_a_longer_one_does_not_divide() -> None:
    inner = b"text --b1\r\n--b12\r\n--b1x--"
    assert split("multipart/mixed;boundary=b1", b"--b1\r\n\r\n" + inner + b"\r\n--b1--")[0].body == inner


@pytest.mark.parametrize("body", [b"", b"v=0\r\n", b"--b1--\r\n", b"--b1\r\nno colon here\r\n\r\nx\r\n--b1--"])
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        split("multipart/mixed;boundary=b1", body)


def test_more_parts_than_anyone_needs_are_refused() -> None:
    one = b"--b1\r\n\r\nx\r\n"
    assert len(split("multipart/mixed;boundary=b1", one * MAX_PARTS + b"--b1--")) == MAX_PARTS
    with pytest.raises(RemoteProtocolError, match=str(MAX_PARTS)):
        split("multipart/mixed;boundary=b1", one * (MAX_PARTS + 1) + b"--b1--")


@pytest.mark.parametrize("filler", [b"\r\n", b"--b1 ", b"\r\n--b1 ", b"\n ", b"\r", b"\n--"])
def test_hostile_repetition_costs_no_more_than_its_length(filler: bytes) -> None:
    body = b"--b1\r\nX:" + filler * (1_000_000 // len(filler))
    started = time.process_time()
    with contextlib.suppress(RemoteProtocolError):
        split("multipart/mixed;boundary=b1", body)
    # A quadratic scan of a megabyte takes minutes; the linear one some milliseconds.
    assert time.process_time() - started < 5


def test_the_media_type_is_bare_lower_case_and_without_white_space() -> None:
    assert media_type("Application/ +XML ; charset=utf-8") == "application/+xml"


@pytest.mark.parametrize("boundary", ["", "ends with ", "a" * 71, "semi;colon", "inside"])
def test_a_boundary_that_cannot_work_is_refused(boundary: str) -> None:
    with pytest.raises(LocalProtocolError):
        join((Part("text/plain", (), b"--inside"),), boundary)


def test_what_cannot_be_written_as_a_header_line_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        join((Part("text/plain", (("X", "a\r\nY: b"),), b""),), "b1")
    with pytest.raises(LocalProtocolError):
        join((), "b1")


words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=12)
names = words.filter(lambda name: name.lower() != "content-type")
some_parts = st.lists(st.builds(Part, words, st.lists(st.tuples(names, words)).map(tuple), st.binary()), min_size=1)


@given(some_parts.filter(lambda parts: len(parts) <= MAX_PARTS))
def test_what_is_joined_splits_into_the_same_parts(parts: list[Part]) -> None:
    content_type, body = join(tuple(parts), "a boundary nobody draws")
    assert split(content_type, body) == tuple(parts)


shards = st.lists(st.sampled_from([b"--b1", b"--", b"\r\n", b"\n", b"\r", b" ", b"A: b", b":", b"x", b"\xff"]))


@given(st.one_of(st.binary(), shards.map(b"".join)), st.one_of(st.text(), st.just("multipart/mixed;boundary=b1")))
def test_any_bytes_give_parts_or_a_protocol_error(body: bytes, content_type: str) -> None:
    try:
        parts = split(content_type, body)
    except RemoteProtocolError:
        return
    assert sum(len(part.body) for part in parts) <= len(body)
