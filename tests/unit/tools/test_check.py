import importlib
import sys

import pytest


@pytest.fixture
def check(monkeypatch):
    tool = importlib.import_module("check")
    good, bad = [sys.executable, "-c", "print('fine')"], [sys.executable, "-c", "print('broken'); raise SystemExit(1)"]
    monkeypatch.setattr(tool, "CHECKS", {"a": bad, "b": good, "c": bad})
    return tool.main


def test_all_checks_run_though_the_first_fails(check, capsys):
    assert check([]) == 1
    out = capsys.readouterr().out
    assert [line.split(" (")[0] for line in out.splitlines() if " (" in line] == ["FAIL a", "ok   b", "FAIL c"]
    assert "broken" in out
    assert "fine" not in out


def test_chosen_checks_alone_decide(check):
    assert check(["b"]) == 0
    assert check(["b", "c"]) == 1


def test_an_unknown_check_is_refused(check, capsys):
    assert check(["d"]) == 2
    assert "no such check: d" in capsys.readouterr().out
