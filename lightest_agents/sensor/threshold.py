"""When a temperature is a fault: a threshold with hysteresis."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Threshold:
    """A switch that is released at `limit` and armed again below `limit - hysteresis`.

    So a temperature that wavers around the limit is one fault, not many.

    Attributes:
        limit: the temperature, in °C, from which on there is a fault.
        hysteresis: how much colder, in °C, it has to become before there can be the next.
        armed: whether reaching the limit would be a fault.
    """

    limit: float
    hysteresis: float
    armed: bool = True

    def after(self, celsius: float) -> "Threshold":
        """The switch after a measurement; it was a fault exactly if the switch is no longer armed."""
        if self.armed and celsius >= self.limit:
            return replace(self, armed=False)
        if not self.armed and celsius < self.limit - self.hysteresis:
            return replace(self, armed=True)
        return self
