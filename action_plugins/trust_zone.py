# Copyright: the contributors of this project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Controller side of `trust_zone`: sends the record file to the name server and runs the module on it."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result; the record file is on the host only while the module runs."""
        super().run(tmp, task_vars)
        try:
            arguments = {**self._task.args, "records": self._send(self._records())}
            result: dict[str, Any] = self._execute_module(
                module_name="trust_zone", module_args=arguments, task_vars=task_vars
            )
            return result
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _records(self) -> Path:
        """The record file on the controller."""
        given = self._task.args.get("records")
        if not given:
            raise AnsibleActionFail(
                "trust_zone needs records: the path of the record file on the controller."
            )
        try:
            return Path(self._find_needle("files", given))
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"The record file {given} is not on the controller: run the preflight that writes it first."
            ) from error

    def _send(self, records: Path) -> str:
        """Send the file, and return its path on the host.

        It goes compressed: the records of a large fleet shrink tenfold, and a Pi's network is slow.
        """
        remote: str = self._connection._shell.join_path(self._connection._shell.tmpdir, "records.gz")
        try:
            content = gzip.compress(records.read_bytes(), compresslevel=1, mtime=0)
        except OSError as error:
            raise AnsibleActionFail(
                f"The record file {records} cannot be read ({error}): check its owner and mode."
            ) from error
        with tempfile.NamedTemporaryFile(prefix="trust_zone.") as local:
            local.write(content)
            local.flush()
            self._transfer_file(local.name, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return remote
