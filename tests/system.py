"""The whole on loopback: a real verifier, a real supplier with its lamp, and the DNS between them.

`refused` and `accepted` say what became of a fault, as the verifier's trace shows it and as the lamp does.
"""

import asyncio
import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dns.message

from lightest_agents.supplier.control import ask
from lightest_agents.trust.trust_list import Supplier
from lightest_agents.trust.verdict import Outcome, Reason, Step
from tests.publisher import Sensor
from tests.supplier_process import SupplierProcess
from tests.unit.dns.pki import make
from tests.verifier_process import VerifierProcess, signs
from tests.world import World

SECOND_VERIFIER = "verifier2.raspidemo"
_SECONDS = 30.0


def wait_for(holds: Callable[[], object]) -> None:
    """Wait for what has to become true."""
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def signs_of(reason: Reason) -> str:
    """The seven links, in short, of a fault that ends for `reason`: all before its step held."""
    end = "b" if reason.outcome is Outcome.REJECTED else "w"
    return "h" * (reason.step - 1) + end + "n" * (len(Step) - reason.step)


def honest(_query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
    """For `World.intercept`: nobody changes anything any more."""
    return answer


@contextmanager
def paused(process: "subprocess.Popen[bytes] | None") -> Iterator[None]:
    """Let a process neither answer nor end while the block runs."""
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class System:
    """One verifier and one supplier, who lets a second verifier raise alarms, too.

    Attributes:
        authority: a certification authority among the verifier's roots.
        entry: the supplier, for a trust list.
    """

    def __init__(self, world: World, folder: Path) -> None:
        """Prepare both in an existing, private folder; the `with` block runs them."""
        self.world = world
        self.authority = make("Authority", ca=True)
        (folder / "roots.pem").write_bytes(self.authority.pem)
        for name in ("verifier", "supplier"):
            (folder / name).mkdir()
        self.verifier = VerifierProcess(world, folder / "verifier", f'roots = "{folder / "roots.pem"}"')
        self.supplier = SupplierProcess(
            world, folder / "supplier", settings=f'verifiers = ["{self.verifier.name}", "{SECOND_VERIFIER}"]'
        )
        self.entry = Supplier("supplier1", "Cooling Service", self.supplier.url, "Turbine Hall 3", True)
        self._numbers = itertools.count(1)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.supplier)
            stack.enter_context(self.verifier)
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def reset(self) -> None:
        """Let both run at rest, whatever a test before left behind, with their records in the DNS."""
        self.verifier.publish()
        self.supplier.publish()
        for process in (self.verifier, self.supplier):
            if process.process is None or process.process.poll() is not None:
                process.start()
        wait_for(self._is_idle)
        self._ask_supplier("POST", "/acknowledge")

    def new_sensor(self, location: str = "germany") -> Sensor:
        """A sensor whose label nobody had before, so that nothing is known of it anywhere."""
        return Sensor(f"sensor{next(self._numbers)}", location)

    # What became of a fault

    def refused(self, body: bytes, reason: Reason) -> dict[str, Any]:
        """Send a notification; the fault, which ends for `reason` at its step, and the lamp stays dark."""
        fault = self.verifier.decide(body)
        self.check_refused(fault, reason)
        return fault

    def check_refused(self, fault: dict[str, Any], reason: Reason) -> None:
        """A fault has ended for `reason` at its step, and the lamp is dark."""
        found = (fault["reason"], fault["status"], signs(fault))
        assert found == (reason, reason.outcome, signs_of(reason)), fault["detail"]
        self.check_dark()
        assert fault["id"] not in self.alarms()

    def accepted(self, name: str, verifier: VerifierProcess | None = None) -> dict[str, Any]:
        """The fault with an id, as soon as all links hold; the lamp blinks for it, once."""
        fault = (verifier or self.verifier).wait(name)
        assert (fault["status"], signs(fault)) == ("accepted", "hhhhhhh"), fault
        self.check_blinks_for([name])
        return fault

    # The lamp

    def alarms(self) -> list[str]:
        """The ids of all faults that the supplier was ever told of."""
        found = self._ask_supplier("GET", "/alarms", acknowledged="100000")
        return [alarm["fault_id"] for alarm in found]

    def check_dark(self) -> None:
        """The lamp is dark."""
        lamp = self.supplier.lamp()
        assert (lamp["blinking"], lamp["lit"], lamp["unacknowledged"]) == (False, False, 0), lamp

    def check_blinks_for(self, names: list[str]) -> None:
        """The lamp blinks for these faults and no others; acknowledge them, then it is dark."""
        lamp = self.supplier.lamp()
        assert (lamp["blinking"], lamp["unacknowledged"]) == (True, len(names)), lamp
        assert sorted(self._ask_supplier("POST", "/acknowledge")) == sorted(names)
        self.check_dark()

    def check_at_rest(self) -> None:
        """Every fault has its verdict, and the lamp is dark: the next test begins as this one did."""
        wait_for(lambda: self.verifier.request("GET", "/readyz").status == 200)
        assert self._is_idle()
        self.check_dark()

    def _is_idle(self) -> bool:
        """Whether the verifier can work and has nothing to do."""
        ready = self.verifier.request("GET", "/readyz")
        return ready.status == 200 and ready.json["undecided"] == 0

    def _ask_supplier(self, method: str, path: str, **query: str) -> Any:
        """What `lightest supplier` would be told."""
        return asyncio.run(ask(self.supplier.state, method, path, **query))
