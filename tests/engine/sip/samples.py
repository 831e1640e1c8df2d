"""Messages as phone systems send them, in shape; every name and number is made up."""

from engine.sip.message import Headers, Request, Via

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 20000 RTP/AVP 0\r\na=sendonly\r\na=label:1\r\nm=audio 20002 RTP/AVP 0\r\na=sendonly\r\na=label:2\r\n"
)
METADATA = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<recording xmlns="urn:ietf:params:xml:ns:recording:1">\n'
    b"  <datamode>complete</datamode>\n</recording>\n"
)


def multipart(*, closed: bool = True, padding: int = 0) -> bytes:
    """SDP and metadata; the metadata has bare line feeds, as seen, and may lack the closing boundary."""
    metadata = METADATA + b"<!--" + b"x" * padding + b"-->\n" if padding else METADATA
    parts = b"--b1\r\nContent-Type: application/sdp\r\n\r\n" + SDP
    parts += b"\r\n--b1\nContent-Type:application/rs-metadata+xml\n\n" + metadata
    return parts + (b"\r\n--b1--\r\n" if closed else b"")


def invite(body: bytes = SDP, *, content_type: str = "application/sdp", length: int | None = None) -> bytes:
    lines = [
        "INVITE sip:recorder@198.51.100.1:5060 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK-524287-1",
        "Max-Forwards: 70",
        'From: "Src, One" <sip:src@192.0.2.10>;tag=from-1',
        "To: <sip:recorder@198.51.100.1>",
        "Call-ID: 7d1f@192.0.2.10",
        "CSeq: 1 INVITE",
        "Contact: <sip:src@192.0.2.10:5060>;+sip.src",
        "Require: siprec",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def request(
    method: str,
    *,
    branch: str = "z9hG4bK-1",
    cseq: int = 1,
    cseq_method: str | None = None,
    to_tag: str | None = None,
    call_id: str = "call-1",
    from_tag: str = "theirs",
    extra: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    transport: str = "UDP",
) -> Request:
    to = "<sip:recorder@198.51.100.1>" + (f";tag={to_tag}" if to_tag else "")
    pairs = (
        ("Via", Via(transport, "192.0.2.10", 5060, (("branch", branch),)).serialize()),
        ("From", f"<sip:src@192.0.2.10>;tag={from_tag}"),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {cseq_method or method}"),
        ("Contact", "<sip:src@192.0.2.10:5060>;+sip.src"),
        *extra,
    )
    return Request(method, "sip:recorder@198.51.100.1", Headers(pairs), body)
