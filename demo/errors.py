"""What can go wrong with the demo. Not here: what becomes of it (__main__.py prints it)."""


class DemoError(Exception):
    """The demo cannot go on. Its text is for the user: what happened, and what to do."""


class NobodyReads(Exception):
    """The terminal was closed, or the program that read what the demo says has ended."""
