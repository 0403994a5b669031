"""Ansible callback: writes how long each task took and what trust_zone returned, as one JSON file."""

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: Records task durations and the results of trust_zone
description: Writes them to the file that BENCHMARK_RECORD names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collects while the play runs and writes at its end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Start the clock."""
        super().__init__()
        self._started = time.monotonic()
        self._task = "start"
        self._seconds: dict[str, float] = {}
        self._zones: list[dict[str, Any]] = []

    def _next(self, task: str) -> None:
        now = time.monotonic()
        self._seconds[self._task] = self._seconds.get(self._task, 0) + now - self._started
        self._started, self._task = now, task

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        """One task ends where the next begins."""
        self._next(task.get_name())

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Keep the figures of a reconciled zone."""
        if result.task.action == "trust_zone":
            keys = ("added", "removed", "messages", "dns_seconds")
            figures = {key: result.result.get(key) for key in keys}
            self._zones.append({"zone": result.result["zone"]["name"], **figures})

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write everything."""
        self._next("end")
        changed = sum(stats.changed.values())
        record = {"seconds": self._seconds, "zones": self._zones, "changed": changed}
        Path(os.environ["BENCHMARK_RECORD"]).write_text(json.dumps(record))
