"""The threshold with hysteresis."""

from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.sensor.threshold import Threshold

TEMPERATURES = st.lists(
    st.floats(-50, 100) | st.floats(24, 26).map(lambda value: round(value, 1)), max_size=60
)


def faults(temperatures: list[float], switch: Threshold) -> list[int]:
    """At which of the temperatures there was a fault."""
    found = []
    for index, celsius in enumerate(temperatures):
        before, switch = switch, switch.after(celsius)
        if before.armed and not switch.armed:
            found.append(index)
    return found


def test_a_temperature_that_flaps_around_the_threshold_is_one_fault() -> None:
    flapping = [24.9, 25.0, 25.1, 25.0, 24.9, 24.6, 25.1, 24.5, 25.0]
    assert faults(flapping, Threshold(25.0, 0.5)) == [1]
    assert faults([*flapping, 24.49, 24.9, 25.0], Threshold(25.0, 0.5)) == [1, 11]


@given(TEMPERATURES, st.booleans())
def test_faults_are_at_or_above_the_threshold_with_a_cold_spell_between(
    temperatures: list[float], armed: bool
) -> None:
    found = faults(temperatures, Threshold(25.0, 0.5, armed))
    assert all(temperatures[index] >= 25.0 for index in found)
    for start, end in zip(found if armed else [-1, *found], found if not armed else found[1:], strict=False):
        assert min(temperatures[start + 1 : end], default=99.0) < 24.5


@given(TEMPERATURES)
def test_no_overheating_is_missed(temperatures: list[float]) -> None:
    """After each cold spell the first temperature at the threshold is a fault."""
    found = faults(temperatures, Threshold(25.0, 0.5))
    cold = True
    for index, celsius in enumerate(temperatures):
        if cold and celsius >= 25.0:
            assert index in found
            cold = False
        cold = cold or celsius < 24.5


@given(TEMPERATURES)
def test_what_was_known_before_a_restart_is_enough_to_go_on(temperatures: list[float]) -> None:
    at_once = faults(temperatures, Threshold(25.0, 0.5))
    half = len(temperatures) // 2
    first = Threshold(25.0, 0.5)
    for celsius in temperatures[:half]:
        first = first.after(celsius)
    later = faults(temperatures[half:], Threshold(25.0, 0.5, first.armed))
    assert at_once == faults(temperatures[:half], Threshold(25.0, 0.5)) + [half + index for index in later]
