"""A copy of the checkout in which tests run while one file is changed; the checkout itself is only read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import psutil
from control_entries import Control
from repo import ROOT, files

# The project is installed from the checkout: this asks what an import in the copy would really bring.
PROBE = """
import importlib, pathlib, sys
for name in ("libs", "services", "cli", "headrace.common.v1.trunk_pb2"):
    file = importlib.import_module(name).__file__
    if not pathlib.Path(file).is_relative_to(pathlib.Path.cwd()):
        sys.exit(f"{name} would be imported from {file}")
"""
# Every process of a copy has it in its environment, so that none is left behind.
MARK = "HEADRACE_CONTROLS_COPY"
FLAGS = ("-q", "-p", "no:cacheprovider", "--tb=short", "--continue-on-collection-errors", "-o", "junit_family=xunit1")


class CopyError(Exception):
    """A copy that cannot prove anything."""


@dataclass(frozen=True)
class Case:
    """How one test went. `failed` is a failure in its body, `error` one around it (fixtures, collection)."""

    outcome: Literal["passed", "skipped", "failed", "error"]
    message: str = ""


@dataclass(frozen=True)
class Run:
    """A run of pytest: its exit status (None = it took too long), its tests by node id, its output."""

    code: int | None
    cases: dict[str, Case]
    output: str

    def of(self, test: str) -> dict[str, Case]:
        """The cases that a node id names: itself, or all its parameters."""
        return {node: case for node, case in self.cases.items() if node == test or node.startswith(f"{test}[")}


class Copy:
    """Files that git has or would add, below `home`; hard copies with their times, so that bytecode stays valid."""

    def __init__(self, home: Path, source: Path = ROOT) -> None:
        self.home, self.root = home, home / "tree"
        for path in files(source):
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / path, target)

    def probe(self) -> None:
        """Raises CopyError when other code than the copy's would be imported in it."""
        code, output = self._python("-c", PROBE, seconds=60, bytecode=True)
        if code != 0:
            raise CopyError(output.strip())

    def test(self, tests: Sequence[str], *, seconds: float, bytecode: bool = False) -> Run:
        """Runs the named tests. `bytecode` keeps what was compiled, which only an unchanged tree may."""
        report = self.home / "report.xml"
        report.unlink(missing_ok=True)
        words = ("-m", "pytest", *FLAGS, f"--timeout={seconds:g}", f"--junitxml={report}", *tests)
        code, output = self._python(*words, seconds=seconds, bytecode=bytecode)
        return Run(code, _cases(report) if report.exists() else {}, output)

    @contextmanager
    def without(self, control: Control) -> Iterator[None]:
        """Switches one safeguard off for the block."""
        path = self.root / control.file
        text, times = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(text.replace(control.old, control.new), encoding="utf-8")
        # Never the time that compiled files know: they would be taken for this text when it has the same length.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10_000_000_000))
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _python(self, *words: str, seconds: float, bytecode: bool) -> tuple[int | None, str]:
        paths = f"{self.root}{os.pathsep}{self.root / 'protos/gen'}"
        env = {**os.environ, "PYTHONPATH": paths, MARK: str(self.home)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        if not bytecode:
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        # Into a file: a process that a test left behind may hold a pipe open for ever.
        with (self.home / "output").open("w+b") as output:
            try:
                code = _wait([sys.executable, *words], self.root, env, output, seconds)
            finally:
                self._sweep()
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def _sweep(self) -> None:
        """Ends what a run left behind: without the safeguard, processes outlive those that they should die with."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.home):
                    process.kill()


def _wait(command: list[str], cwd: Path, env: dict[str, str], output: object, seconds: float) -> int | None:
    options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
    try:
        return subprocess.run(command, cwd=cwd, env=env, timeout=seconds, check=False, **options).returncode
    except subprocess.TimeoutExpired:
        return None


def _cases(report: Path) -> dict[str, Case]:
    tree = ET.parse(report)  # noqa: S314 - written by the pytest that has just run here
    return {_node(case): _case(case) for case in tree.iter("testcase")}


def _node(case: ET.Element) -> str:
    return f"{case.get('file')}::{case.get('name')}"


def _case(case: ET.Element) -> Case:
    found = {child.tag: child.get("message", "").strip() for child in case}
    for tag, outcome in (("error", "error"), ("failure", "failed"), ("skipped", "skipped")):
        if tag in found:
            return Case(outcome, found[tag].partition("\n")[0])  # type: ignore[arg-type]
    return Case("passed")
