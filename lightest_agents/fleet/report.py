"""Problems of the inventory's variables, told with the file that sets each."""

import re

from lightest_agents.fleet.problems import Problems
from lightest_agents.fleet.sources import Sources


class Report(Problems):
    """Problems that know where an inventory's variables stand."""

    def __init__(self, sources: Sources) -> None:
        """Start with none; `sources` tells the files."""
        super().__init__()
        self._sources = sources

    def setting(self, key: str, sentence: str) -> None:
        """Note a problem of a variable of the whole cluster, or of a value in it (`trust_dnssec.keys`)."""
        variable = re.split(r"[.\[]", key, maxsplit=1)[0]
        self.add(self._sources.of_setting(variable), key, sentence)

    def host(self, host: str, key: str, sentence: str) -> None:
        """Note a problem of a host's variable; an empty key means the host itself."""
        self.add(self._sources.of_host(host, key), f"{host}.{key}" if key else host, sentence)

    def group(self, group: str, sentence: str) -> None:
        """Note a problem of an inventory group."""
        self.add("hosts.yml", f"group {group}", sentence)
