"""The engine process in motion: trio tasks around the values of `engine/`.

Here live the call actor (a shell that survives and a run that may crash), supervision, mailboxes, the switchboard
between SIP dialogs and calls, the SIP ports, the sweep's timer, the spool, the outbox, and the processes that
`earshot run` looks after.

What must not be here: decisions about calls (they are pure, in `engine/`), codecs, a database, and audio in a mailbox.
"""
