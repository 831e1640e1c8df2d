"""What becomes of a call: from journal to recording, and from events to the database.

Here live the finisher (journal to audio, peaks and manifest), the renderer and the encoders; the clerk (events of calls
that run) and the lister (finished calls), who tell the database; and the shelf. Exporters and retention find their
place here too.

What must not be here: SIP, sockets of running calls, or anything that a running call would have to wait for.
"""
