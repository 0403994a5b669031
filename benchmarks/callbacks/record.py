"""Ansible callback: writes what trust_zone returned and how much a play changed, as one JSON file."""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: Records the results of trust_zone and the number of changes
description: Writes them to the file that BENCHMARK_RECORD names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collects while the play runs and writes at its end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with no zone."""
        super().__init__()
        self._zones: list[dict[str, Any]] = []

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Keep the figures of a reconciled zone."""
        if result.task.action == "trust_zone":
            keys = ("added", "removed", "messages", "dns_seconds")
            figures = {key: result.result.get(key) for key in keys}
            self._zones.append({"zone": result.result["zone"]["name"], **figures})

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write everything."""
        changed = sum(stats.changed.values())
        record = {"zones": self._zones, "changed": changed}
        Path(os.environ["BENCHMARK_RECORD"]).write_text(json.dumps(record))
