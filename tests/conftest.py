"""The loopback trust domain for every test that asks for `world`."""

from collections.abc import Iterator

import pytest

from tests.world import World


@pytest.fixture(scope="session")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One pair of servers for the whole session."""
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    """The world as it was made; whatever a test changes is undone afterwards."""
    yield running_world
    running_world.restore()
