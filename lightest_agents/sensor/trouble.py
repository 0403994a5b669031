"""Problems that come and go: told when they change, not each time they are met."""

import logging


class Trouble:
    """What stands in the way of one piece of work, if anything does."""

    def __init__(self, log: logging.Logger, fine: str) -> None:
        """Tell `log` of each problem once, and `fine` when the last one is over."""
        self._log = log
        self._fine = fine
        self._present = ""

    def note(self, problem: str) -> None:
        """The work came to nothing, for this reason."""
        if problem != self._present:
            self._present = problem
            self._log.warning("%s", problem)

    def over(self) -> None:
        """The work was done."""
        if self._present:
            self._present = ""
            self._log.info("%s", self._fine)
