"""The list of safeguards in tests/controls/<area>.toml: what to switch off where, and which tests must notice.

    [slow-reader]
    is = "a call whose reader takes nothing is cut"
    file = "libs/rpc/trunk/server_call.py"
    old = "the one place in the file"
    new = "the same without the safeguard"
    tests = ["tests/contract/libs/rpc/test_channels.py::test_a_reader_that_takes_nothing_is_cut"]

The name of an entry is `<area>/<table>`. `old` must stand in the file exactly once, or the entry is stale.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from repo import ROOT

FOLDER = ROOT / "tests/controls"
KEYS = {"is", "file", "old", "new", "tests"}


class EntryError(Exception):
    """What is wrong with the list itself."""


@dataclass(frozen=True)
class Control:
    """One safeguard, how to switch it off, and the node ids of the tests that must go red then."""

    name: str
    says: str
    file: Path
    old: str
    new: str
    tests: tuple[str, ...]

    def stale(self, root: Path) -> str:
        """Why it does not fit the tree at `root`; empty when it does."""
        path = root / self.file
        if not path.is_file():
            return f"{self.file} has gone"
        found = path.read_text(encoding="utf-8").count(self.old)
        if found != 1:
            return f"its text stands {found} times in {self.file}, not once"
        return next((f"there is no {test}" for test in self.tests if not _exists(root, test)), "")


def _exists(root: Path, test: str) -> bool:
    file, _, function = test.partition("::")
    path, name = root / file, re.escape(function.partition("[")[0])
    return path.is_file() and bool(re.search(rf"(?m)^def {name}\(", path.read_text(encoding="utf-8")))


def load(folder: Path = FOLDER) -> list[Control]:
    """All entries in the order of files and lines. Raises EntryError for one that is not complete."""
    return [
        _entry(f"{path.stem}/{name}", values)
        for path in sorted(folder.glob("*.toml"))
        for name, values in tomllib.loads(path.read_text(encoding="utf-8")).items()
    ]


def _entry(name: str, values: dict[str, object]) -> Control:
    if not isinstance(values, dict) or values.keys() != KEYS:
        raise EntryError(f"{name}: an entry has {', '.join(sorted(KEYS))}")
    says, file, old, new = (str(values[key]) for key in ("is", "file", "old", "new"))
    tests = values["tests"]
    if not isinstance(tests, list) or not tests or not old or old == new:
        raise EntryError(f"{name}: it needs tests, a text to replace, and another one in its place")
    return Control(name, says, Path(file), old, new, tuple(map(str, tests)))


def chosen(controls: list[Control], only: list[str]) -> list[Control]:
    """Those named, by name or area; all when nothing is named. Raises EntryError for a name that is none."""
    known = {control.name for control in controls} | {control.name.partition("/")[0] for control in controls}
    if unknown := set(only) - known:
        raise EntryError(f"no such safeguard or area: {', '.join(sorted(unknown))}")
    return [control for control in controls if not only or {control.name, control.name.partition("/")[0]} & set(only)]
