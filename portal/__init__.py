"""The web portal: pages, REST API, and the relay of live audio to browsers.

What must not be here: SQL or ORM queries without a scope, and anything of a call's state machine.
"""
