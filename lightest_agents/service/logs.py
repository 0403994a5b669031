"""Log records for the journal: one line each, with the level where journald looks for it."""

import logging
import os
import sys

_SYSLOG_LEVELS = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


def configure_logging(level: int = logging.INFO) -> None:
    """Send all records from `level` on to standard error, where systemd reads them.

    Under systemd each line carries its syslog level (sd-daemon(3)) and the journal adds the time; elsewhere
    the time is part of the line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Requests are not worth a line each: verdicts and alarms are logged by those who make them.
    logging.getLogger("aiohttp.access").setLevel(max(level, logging.WARNING))


class LineFormatter(logging.Formatter):
    """A record as one line, whatever somebody else put into its values; a traceback follows line by line."""

    def __init__(self, *, journal: bool) -> None:
        """Format for the journal, or with the time for a terminal."""
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end, and those of the traceback, if there is one."""
        message = record.getMessage()
        lines = [message if message.isprintable() else _escape(message)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        if self._journal:
            level = next((number for least, number in _SYSLOG_LEVELS if record.levelno >= least), 7)
            return "\n".join(f"<{level}>{line}" for line in lines)
        lines[0] = f"{self.formatTime(record)} {record.levelname.lower()} {record.name}: {lines[0]}"
        return "\n".join(lines)


def _escape(text: str) -> str:
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
