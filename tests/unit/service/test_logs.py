"""Log records as lines."""

import logging
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.service.logs import LineFormatter


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("lightest", level, __file__, 1, "%s", (message,), None)


@given(st.text())
def test_a_message_is_one_line(message: str) -> None:
    for journal in (True, False):
        line = LineFormatter(journal=journal).format(record(message))
        assert line.isprintable()
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (5, "<7>"),
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
    ],
)
def test_the_journal_gets_the_level(level: int, prefix: str) -> None:
    assert LineFormatter(journal=True).format(record("a\nb", level)) == f"{prefix}a\\nb"


def test_a_real_process_logs_lines_and_the_lines_of_a_traceback() -> None:
    program = """
        import logging
        from lightest_agents.service.logs import configure_logging
        configure_logging()
        logging.debug("unseen")
        logging.info("seen")
        logging.getLogger("aiohttp.access").info("unseen")
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("broken")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"JOURNAL_STREAM": "8:1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    assert lines[:3] == ["<6>seen", "<3>broken", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"
    assert "unseen" not in done.stderr
