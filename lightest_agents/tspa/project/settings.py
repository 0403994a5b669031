"""Django settings: those of every host, and what this host's configuration file says."""

from lightest_agents.tspa.config import read_config
from lightest_agents.tspa.project.base import *  # noqa: F403
from lightest_agents.tspa.project.secret import read_secret

TSPA = read_config()

SECRET_KEY = read_secret(TSPA.state / "django.key")
ALLOWED_HOSTS = [TSPA.name]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": TSPA.state / "tspa.sqlite3",
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # A transaction that reads first and writes later would fail instead of waiting for its turn.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        },
    }
}
