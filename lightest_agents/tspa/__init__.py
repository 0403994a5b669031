"""The Trust Scheme Publication Authority: publishes the manufacturers' signed trust lists."""

from pathlib import Path

DEFAULT_CONFIG = Path("/etc/lightest/tspa.toml")
"""Where a TSPA's settings are, unless a command or `config.CONFIG_VARIABLE` says otherwise."""
