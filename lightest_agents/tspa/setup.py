"""Django with the configuration file of one TSPA."""

import os
from pathlib import Path

import django
from django.conf import settings

from lightest_agents.service.config import load_config
from lightest_agents.tspa.config import CONFIG_VARIABLE, TspaConfig
from lightest_agents.tspa.errors import InstallationError

_SETTINGS = "lightest_agents.tspa.project.settings"


def set_up(path: Path) -> TspaConfig:
    """Make this process, and those it starts, work on the TSPA whose configuration is at `path`.

    Raises:
        ConfigError: the file is missing or has mistakes.
        InstallationError: the state folder is not there, or belongs to another user.
    """
    config = load_config(path, TspaConfig)
    try:
        owner = config.state.stat().st_uid
    except OSError as error:
        raise InstallationError(f"{config.state}: cannot be used: {error.strerror}") from error
    if owner != os.geteuid():
        # The database's files would become those of the wrong user, and the service would stop working.
        raise InstallationError(f"{config.state} belongs to another user; run this as that user (sudo -u)")
    # Whatever is made in the state folder is for this user alone.
    os.umask(0o077)
    os.environ[CONFIG_VARIABLE] = str(path.absolute())
    os.environ["DJANGO_SETTINGS_MODULE"] = _SETTINGS
    if not settings.configured:
        django.setup()
    return config
