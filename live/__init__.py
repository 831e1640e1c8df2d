"""Listening to calls that run, and controlling them: the engine's gateway and its client.

What must not be here: browser sessions and permissions (the portal's), audio decoding in the engine's process.
"""
