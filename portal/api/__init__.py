"""The REST API, version 1, below `/api/v1`: calls, their recordings, and control of those that run.

`docs/api.md` tells how to use it, `/api/v1/openapi.json` what each request and answer looks like.

Not here: who may do what (`portal/gate.py`), what errors look like (`portal/errors.py`), live audio
(`portal/listening.py`).
"""
