"""Log lines: what they look like, and that they make nobody wait."""

import json
import os
import subprocess
import sys

import pytest
import structlog

from actors.logs import LogOutput

PATIENCE_S = 30.0


def said(code: str, form: str = "auto", **environment: str) -> list[str]:
    """The lines that a process prints which configures its log and then runs `code`."""
    program = (
        f"import structlog\nfrom actors import logs\nlogs.configure('info', {form!r})\nlog = structlog.get_logger()\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program + code],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return found.stdout.splitlines()


def test_a_pipe_gets_one_json_object_a_line_with_utc_times() -> None:
    lines = said("log.debug('unseen'); log.info('call begun', call='a'); log.warning('two\\nlines')")
    first, second = (json.loads(line) for line in lines)
    assert (first["event"], first["call"], first["level"]) == ("call begun", "a", "info")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("two\nlines", "warning")


def test_text_is_for_people() -> None:
    (line,) = said("log.info('call begun', call='a')", form="text")
    assert "[info     ] call begun" in line
    assert line.endswith("call=a")
    (coloured,) = said("log.info('call begun', call='a')", form="text", FORCE_COLOR="1")
    assert "\x1b[" in coloured


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_values(form: str) -> None:
    code = "def fail():\n    key = 'sec' + 'ret'\n    raise ValueError('wrong')\ntry:\n    fail()\n"
    text = "\n".join(said(code + "except ValueError:\n    log.exception('failed')", form=form))
    assert "ValueError: wrong" in text
    assert "in fail" in text
    assert "secret" not in text


def test_a_pipe_that_nobody_reads_blocks_nothing_and_the_loss_is_told() -> None:
    reader, writer = os.pipe()
    try:
        output = LogOutput(writer)
        line = "x" * 5_000
        for _ in range(100):
            output.msg(line)
        assert output.lost > 50
        waiting = os.read(reader, 1_000_000)
        output.msg("after")
        # What was begun is ended first: the reader sees whole lines only.
        lines = (waiting + os.read(reader, 1_000_000)).decode().splitlines()
        assert lines == [line] * (100 - output.lost) + ["after"]
        assert output.note_losses(structlog.get_logger(), "info", {"event": "x"})["log_lines_lost"] == output.lost
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        output = LogOutput(writer)
        output.msg("said to nobody")
        assert output.lost == 1
    finally:
        os.close(writer)


def test_no_loss_is_not_mentioned() -> None:
    (line,) = said("log.info('well')")
    assert "log_lines_lost" not in line
