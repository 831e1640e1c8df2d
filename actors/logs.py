"""What a process says: structured lines on standard output, set up in one place.

A log line never makes a recorder wait. Where standard output is a pipe whose reader has stopped (a frozen terminal
behind `earshot run`, a stuck log collector), lines are dropped; once lines pass again each says how many were lost in
all (`log_lines_lost`). A reader that is gone is no error either: a recorder outlives it.

What must not be here: values of local variables in tracebacks. They may hold keys or what somebody said.
"""

import logging
import os
import stat
import sys
import threading
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Whoever starts this process may say that his terminal shows colours though we write to a pipe.
COLOUR_VARIABLE: Final = "FORCE_COLOR"


def configure(level: Literal["debug", "info", "warning", "error"], form: Literal["auto", "json", "text"]) -> None:
    """Sets up structlog for this process: UTC times, one line an entry; `auto` is text on a terminal, else JSON."""
    output = LogOutput(sys.stdout.fileno())
    if form == "text" or (form == "auto" and output.is_terminal):
        colours = output.is_terminal or COLOUR_VARIABLE in os.environ
        render: list[Processor] = [
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            output.note_losses,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )


class LogOutput:
    """A descriptor that takes whole lines or none, and never blocks unless it is a terminal or a file.

    structlog calls the method of the line's level, from any thread: lines do not mix.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._rest = b""
        self.lost = 0
        self.is_terminal = os.isatty(descriptor)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)

    def note_losses(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """A structlog processor: once lines were lost, every further one says how many in all."""
        if self.lost:
            event["log_lines_lost"] = self.lost
        return event

    def msg(self, line: str) -> None:
        """Writes one line, or counts it as lost."""
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        with self._lock:
            if self._rest:
                self._rest = self._rest[self._write(self._rest) :]
            written = 0 if self._rest else self._write(data)
            if written:
                # A pipe may take the beginning of a long line: the rest goes before the next one.
                self._rest = data[written:]
            else:
                self.lost += 1

    debug = info = warning = error = critical = exception = msg

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return 0
