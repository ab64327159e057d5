import importlib
from pathlib import Path

import pytest

GUARD = "def clamp(n):\n    return min(n, 10)\n\n\ndef other(n):\n    return n\n"
TESTS = """
import pytest
from libs.guard import clamp, other


@pytest.fixture
def clamped():
    assert clamp(11) == 10


def test_clamp():
    assert clamp(11) == 10


def test_other():
    assert other(1) == 1


@pytest.mark.parametrize("n", [1, 12])
def test_each(n):
    assert clamp(n) <= 10


def test_around(clamped):
    pass


def test_always_red():
    assert clamp(1) == 2


@pytest.mark.skip
def test_elsewhere():
    pass
"""
ENTRY = """[{name}]
is = "nothing over 10"
file = "libs/guard.py"
old = "{old}"
new = "{new}"
tests = [{tests}]
"""


@pytest.fixture
def tool():
    return importlib.import_module("controls")


@pytest.fixture
def tree(repository):
    """A checkout with one safeguard."""
    for package in ("libs", "services", "cli", "protos/gen/headrace/common/v1"):
        repository(f"{package}/__init__.py", "")
    repository("protos/gen/headrace/common/v1/trunk_pb2.py", "")
    repository("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['.', 'protos/gen']\n")
    repository("libs/guard.py", GUARD)
    return repository("tests/test_guard.py", TESTS)


def entry(name, *tests, old="return min(n, 10)", new="return n"):
    return ENTRY.format(name=name, old=old, new=new, tests=", ".join(f'"tests/test_guard.py::{t}"' for t in tests))


@pytest.fixture
def campaign(tool, tree, capsys, tmp_path):
    """Runs entries; returns the exit status and the verdicts by name."""

    def run(*entries, **more):
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists/area.toml").write_text("\n".join(entries))
        code = tool.main(**{"words": [], "folder": tmp_path / "lists", "source": tree, **more})
        rows = [line.split("area/") for line in capsys.readouterr().out.splitlines() if "area/" in line]
        return code, {rest.split()[0]: word.strip() for word, rest in rows}

    return run


def test_safeguards_whose_tests_go_red_pass_and_the_checkout_is_only_read(campaign, tree):
    code, verdicts = campaign(entry("plain", "test_clamp"), entry("one-parameter", "test_each", "test_each[12]"))
    assert (code, verdicts) == (0, {"plain": "red", "one-parameter": "red"})
    assert (tree / "libs/guard.py").read_text() == GUARD
    assert not list(tree.rglob("*.pyc"))


def test_what_proves_nothing_is_a_fault_each_by_its_name(campaign):
    code, verdicts = campaign(
        entry("unnoticed", "test_other"),
        entry("one-of-two-unnoticed", "test_clamp", "test_other"),
        entry("no-code", "test_clamp", new="return ("),
        entry("no-name", "test_clamp", new="return infinite"),
        entry("fixture", "test_around"),
        entry("red-anyway", "test_always_red"),
        entry("skipped", "test_elsewhere"),
        entry("text-has-gone", "test_clamp", old="return min(n, 11)"),
        entry("text-twice", "test_clamp", old="return"),
        entry("test-has-gone", "test_clam"),
        entry("sound", "test_clamp"),
    )
    assert code == 1
    assert verdicts == {
        "unnoticed": "STILL GREEN",
        "one-of-two-unnoticed": "STILL GREEN",
        "no-code": "ERROR",
        "no-name": "ERROR",
        "fixture": "ERROR",
        "red-anyway": "ERROR",
        "skipped": "ERROR",
        "text-has-gone": "STALE",
        "text-twice": "STALE",
        "test-has-gone": "STALE",
        "sound": "red",
    }


def test_a_run_without_an_end_or_with_no_tests_is_no_proof(tool):
    entries, copies = importlib.import_module("control_entries"), importlib.import_module("control_copy")
    control = entries.Control("area/a", "", Path("a"), "b", "c", ("t.py::test_a",))
    red = {"t.py::test_a": copies.Case("failed", "assert False")}
    assert tool.judge(control, copies.Run(1, red, ""))[0] == "red"
    assert tool.judge(control, copies.Run(None, red, ""))[0] == "error"
    assert [tool.judge(control, copies.Run(code, {}, ""))[0] for code in (1, 2, 4, 5)] == ["error"] * 4
    hangs = {"t.py::test_a": copies.Case("failed", "Failed: Timeout (>60.0s) from pytest-timeout.")}
    assert tool.judge(control, copies.Run(1, hangs, ""))[0] == "error"


def test_code_that_does_not_come_from_the_copy_is_refused(tool, campaign, tree):
    (tree / "protos/gen/headrace/common/v1/trunk_pb2.py").unlink()
    assert campaign(entry("plain", "test_clamp"))[0] == 2


@pytest.mark.parametrize("text", ["[a]\nis = 'b'\n", entry("a", "test_clamp", new="return min(n, 10)"), entry("a")])
def test_an_entry_that_is_not_complete_is_refused(campaign, text):
    assert campaign(text)[0] == 2


def test_a_name_or_an_area_chooses_and_a_wrong_name_is_refused(campaign):
    two = (entry("a", "test_clamp"), entry("b", "test_clamp"))
    assert campaign(*two, words=["--only", "area/b"]) == (0, {"b": "red"})
    assert campaign(*two, words=["--only", "area"]) == (0, {"a": "red", "b": "red"})
    assert campaign(*two, words=["--only", "c"])[0] == 2
