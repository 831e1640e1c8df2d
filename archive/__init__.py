"""What becomes of a call once it has ended: from journal to recording.

Here live the finisher (journal to audio, peaks and manifest), the renderer and the encoders. The clerk, the exporters
and retention find their place here too.

What must not be here: SIP, sockets of running calls, or anything that a running call would have to wait for.
"""
