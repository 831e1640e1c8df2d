"""The ground: what a call is and how its bytes are read.

Here live the protocols (SIP, SDP, SIPREC metadata, RTP: bytes in, values out), the call's state machine
(`decide`, `apply`, `fold`), the journal's format, the sweep of the media sockets, and the arithmetic of timelines.

What must not be here: trio, asyncio, threads, a database, a clock (the time is passed in), or any I/O but the
sweep's and the journal's own system calls.
"""
