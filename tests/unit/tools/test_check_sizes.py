import importlib

import pytest


@pytest.fixture
def check():
    return importlib.import_module("check_sizes").find_problems


def function(lines):
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def protocol(members):
    return "class P(Protocol[T]):\n" + "".join(f"    def m{n}(self): ...\n" for n in range(members))


@pytest.mark.parametrize(
    ("at_most", "too_much"),
    [(function(70), function(71)), ("x = 1\n" * 400, "x = 1\n" * 401), (protocol(5), protocol(6))],
)
def test_a_limit_is_kept_up_to_its_last_line_and_broken_by_the_next(check, repository, at_most, too_much):
    assert check(repository("libs/a.py", at_most)) == []
    (problem,) = check(repository("libs/a.py", too_much))
    assert problem.startswith("libs/a.py")


def test_methods_and_coroutines_count_too(check, repository):
    inside = "class C:\n" + "".join(f"    {line}\n" for line in ("async " + function(71)).splitlines())
    assert "f has 71 lines" in check(repository("libs/a.py", inside))[0]


def test_generated_and_ignored_files_are_let_be(check, repository):
    repository("protos/gen/a_pb2.py", "x = 1\n" * 500)
    repository(".gitignore", "build/\n")
    assert check(repository("build/a.py", "x = 1\n" * 500)) == []


def test_asyncios_protocols_are_no_ports(check, repository):
    assert check(repository("libs/a.py", protocol(9).replace("Protocol[T]", "asyncio.Protocol"))) == []
