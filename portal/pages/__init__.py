"""The pages about calls: the list, and the page of one call.

What must not be here: audio and peaks (`portal/audio.py`), the API (`portal/api`), decisions about who may do what
(`portal/gate.py`).
"""
