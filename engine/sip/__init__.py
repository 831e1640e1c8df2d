"""SIP without sockets: messages, framing, transactions and dialogs (RFC 3261 and what it grew into).

Here live values and state machines: bytes and times go in, values and bytes come out.
What must not be here: sockets, clocks, SDP or SIPREC (bodies pass through byte for byte), and any policy about calls.
"""
