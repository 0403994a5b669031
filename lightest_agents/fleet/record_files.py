"""What the plays bring to the hosts, as files: the records of each zone, and the TSPA's registry."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightest_agents.fleet.agents import registry
from lightest_agents.fleet.fleet import Fleet
from lightest_agents.fleet.model import Zone


def write_record_files(fleet: Fleet, folder: Path) -> dict[Zone, Path]:
    """Write `<zone>.txt` for every zone into `folder` and remove the files of zones that are gone.

    Each file is replaced as a whole, so that a reader never meets half of one.

    Raises:
        OSError: the folder or a file in it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {zone: folder / f"{zone.name.to_text(omit_final_dot=True)}.txt" for zone in fleet.zones}
    for zone, path in paths.items():
        _replace(path, fleet.records(zone))
    for path in set(folder.glob("*.txt")) - set(paths.values()):
        path.unlink(missing_ok=True)
    return paths


def write_registry(fleet: Fleet, folder: Path) -> Path:
    """Write `registry.json` into the existing `folder`; one line for each sensor.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = folder / "registry.json"
    _replace(path, _json_lines(registry(fleet)))
    return path


def _json_lines(lists: dict[str, list[object]]) -> Iterator[str]:
    # One entry a line keeps a difference readable, and a large fleet out of memory.
    for index, (key, entries) in enumerate(lists.items()):
        yield f"{'{' if index == 0 else ','}{json.dumps(key)}: ["
        yield from (
            json.dumps(entry) + ("," if number < len(entries) else "")
            for number, entry in enumerate(entries, 1)
        )
        yield "]"
    yield "}"


def _replace(path: Path, lines: Iterable[str]) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        new = Path(file.name)
        try:
            file.writelines(f"{line}\n" for line in lines)
            file.close()
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
