import importlib

import pytest

PROTO = 'syntax = "proto3";\npackage headrace.demo.v1;\nmessage A { string %s = 1; }\n'


@pytest.fixture
def tool():
    return importlib.import_module("check_generated")


@pytest.fixture
def generated(tool, repository):
    """A checkout whose generated code is up to date."""
    root = repository("protos/headrace/demo/v1/a.proto", PROTO % "name")
    (root / "protos/gen").mkdir()
    tool.generate(root, root / "protos/gen")
    return root


def test_fresh_code_passes(tool, generated):
    assert tool.find_problems(generated) == []


def test_a_changed_proto_is_found(tool, generated, repository):
    repository("protos/headrace/demo/v1/a.proto", PROTO % "title")
    assert len(tool.find_problems(generated)) == 2


def test_code_of_a_proto_that_has_gone_is_found(tool, generated, repository):
    repository("protos/gen/headrace/old/v1/b_pb2.py", "")
    assert tool.find_problems(generated) == [
        "protos/gen/headrace/old/v1/b_pb2.py: is not what the protos say; run `make gen`"
    ]


def test_missing_code_is_found(tool, generated):
    (generated / "protos/gen/headrace/demo/v1/a_pb2.py").unlink()
    assert len(tool.find_problems(generated)) == 1
